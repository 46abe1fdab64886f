"""Named SQL statements: ``queries/*.sql``, each statement under a line ``-- name: its_name``.

One that changes something and may be run twice with the same effect as once says so in that line:
``-- name: its_name (repeatable)``.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+)( \(repeatable\))?\s*$", re.MULTILINE)
_READS = re.compile(r"(?:--.*\n)*select\b")


@cache
def queries() -> dict[str, LiteralString]:
    """Every named statement. Raises ValueError when a name stands twice."""
    found: dict[str, LiteralString] = {}
    for name, _, statement in _parts():
        if name in found:
            raise ValueError(f"The SQL statement {name} is defined twice")
        found[name] = statement
    return found


@cache
def repeatable() -> frozenset[str]:
    """Names of the statements that may be run again when nobody knows whether they were."""
    return frozenset(name for name, mark, text in _parts() if mark or _READS.match(text))


def _parts() -> Iterator[tuple[str, str | None, LiteralString]]:
    for file in files(__package__).joinpath("queries").iterdir():
        if file.name.endswith(".sql"):
            _, *parts = _NAME.split(file.read_text(encoding="utf-8"))
            for name, mark, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
                yield name, mark, cast(LiteralString, text.strip())
