"""A model that answers anything: what a run must survive without losing a ticket."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from tests.endpoint import Body, Fault, Said, plausible, schema_of
from tests.tasks.reports import anything

Answer = Callable[[Body, int], str | Said | Fault]

_PASSING = (Fault(500), Fault(429, {"Retry-After": "0"}), Fault(dropped=True))
_BROKEN = (
    "",
    "nonsense",
    "null",
    "[]",
    '{"title": 7}',
    '{"P1": {"kind": "none"}, "P99": {}}',
    Said('{"title": "Expo', "length"),
    Said("", "content_filter"),
)


@st.composite
def any_answers(draw: st.DrawFn) -> Answer:
    """A few ways to answer, of which each request always gets the same one: a plausible reply, one
    that fits its schema and means nothing, one of other labels, one that is no reply, and a fault
    that passes."""
    ways = draw(st.lists(st.one_of(_fitting(), st.sampled_from(_WAYS)), min_size=1, max_size=5))

    def answer(body: Body, n: int) -> str | Said | Fault:
        own = json.dumps(body, sort_keys=True).encode()
        return ways[hashlib.sha256(own).digest()[0] % len(ways)](body, n)

    return answer


@st.composite
def _fitting(draw: st.DrawFn) -> Answer:
    said = draw(st.lists(anything, min_size=1, max_size=4))
    choice = draw(st.integers(0, 20))
    return lambda body, n: json.dumps(_filled(schema_of(body) or {}, said, choice))


def _broken(said: str | Said) -> Answer:
    return lambda body, n: said


def _passing(fault: Fault) -> Answer:
    return lambda body, n: fault if n == 1 else plausible(body)


def _plausible(body: Body, n: int) -> str:
    return plausible(body)


_WAYS: Sequence[Answer] = (_plausible, *map(_broken, _BROKEN), *map(_passing, _PASSING))


def _filled(schema: dict[str, Any], said: Sequence[str], choice: int) -> Any:
    """A value that a server which enforces the schema would let pass."""
    definitions = schema.get("$defs", {})

    def fill(part: dict[str, Any], depth: int) -> Any:
        if "$ref" in part:
            return fill(definitions[part["$ref"].split("/")[-1]], depth)
        if "enum" in part:
            return part["enum"][(choice + depth) % len(part["enum"])]
        if part.get("type") == "object":
            fields = enumerate(part["properties"].items())
            return {name: fill(each, depth + n) for n, (name, each) in fields}
        text = said[(choice + depth) % len(said)]
        return text.ljust(part.get("minLength", 0), "?")[: part.get("maxLength")]

    return fill(schema, 0)
