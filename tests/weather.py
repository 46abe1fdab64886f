"""A model that always says the same of the same, behind an endpoint that has its days."""

import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping

from tests.endpoint import Answer, Body, Fault, Said, plausible, schema_of

FAULTS: Mapping[str, Callable[[str], Answer]] = {
    "500": lambda said: Fault(500),
    "503": lambda said: Fault(503),
    "429": lambda said: Fault(429, {"Retry-After": "0.1"}),
    "dropped": lambda said: Fault(dropped=True),
    "hung": lambda said: Fault(endless=True),
    "truncated": lambda said: Said(said[: len(said) // 2], "length"),
    "malformed": lambda said: said[: len(said) // 2],
}
# Of a hundred requests.
BAD_DAY = {"500": 2, "503": 1, "429": 3, "dropped": 1, "hung": 1, "truncated": 1, "malformed": 1}
WORST_DAY = {kind: 5 * number for kind, number in BAD_DAY.items()}


def truthful(body: Body, n: int = 1) -> str:
    """A reply that depends on the question alone, also when it is asked again; of each passage, on
    that passage alone."""
    asked = next(m["content"] for m in body["messages"] if m["role"] == "user")
    labels = [name for name in (schema_of(body) or {})["properties"] if re.fullmatch(r"P\d+", name)]
    if not labels:
        return plausible({**body, "messages": [{"role": "user", "content": asked}]})
    _, *parts = re.split(r"\[(P\d+)\] ", asked)
    texts = dict(zip(parts[::2], parts[1::2], strict=True))
    return json.dumps({label: _fact(texts[label].split("\n\n")[0]) for label in labels})


def _fact(text: str) -> dict[str, str]:
    words = text.split()
    problem, quote = " ".join(words[:8]), " ".join(words[:4])
    said = {"kind": "problem", "severity": "low", "problem": problem, "quote": quote}
    return {**said, "also": ""}


class Weather:
    """Answers truthfully, but for so many of each hundred requests, in an order by chance.

    ``met``: how often each fault was met.
    """

    def __init__(self, faults: Mapping[str, int], seed: int = 0) -> None:
        self.met = Counter[str]()
        self._faults, self._chance = faults, random.Random(seed)
        self._dealt = list[str]()
        self._lock = threading.Lock()

    def __call__(self, body: Body, n: int) -> Answer:
        said, kind = truthful(body), self._next()
        return FAULTS[kind](said) if kind else said

    def _next(self) -> str:
        with self._lock:
            if not self._dealt:
                self._dealt = [kind for kind, number in self._faults.items() for _ in range(number)]
                self._dealt += [""] * (100 - len(self._dealt))
                self._chance.shuffle(self._dealt)
            kind = self._dealt.pop()
            if kind:
                self.met[kind] += 1
            return kind
