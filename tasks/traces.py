"""Traces: the words by which a text is found again in what was made of it.

A copy may be cut, wrapped, escaped for JSON, HTML or Markdown, or stand in a longer text: what
stays is the order of its words. Eight in a row are taken for a copy, or all of a shorter text; one
or two words alone say nothing, so such a text is found only where it stands by itself.
"""

import html
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Self

FORGOTTEN = "[forgotten]"

_LONG = 8  # words in a row that nobody else writes by chance
_FEWEST = 3  # words that mean something inside of a longer text
_ESCAPED = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|[nrt])")  # in JSON, also in JSON within JSON
_TAG = re.compile(r"<[^<>]*>")
# A word, or one character of a script that puts no spaces between words.
_ALONE = r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+")


class Traces:
    """What some texts are found by. Immutable; opaque to Prefect: it holds text."""

    __slots__ = ("_alone", "_runs")

    def __init__(self, texts: Iterable[str]) -> None:
        runs, alone = defaultdict[int, set[str]](set), set[str]()
        for text in texts:
            words = words_of(text)
            alone.add(" ".join(words))
            if len(words) >= _FEWEST:
                runs[min(len(words), _LONG)].update(_in_a_row(words, min(len(words), _LONG)))
        self._runs, self._alone = dict(runs), alone - {""}

    def without(self, others: Iterable[str]) -> Self:
        """These, but what stands in other texts as well: it is theirs, too."""
        runs, alone = {n: set(each) for n, each in self._runs.items()}, set(self._alone)
        for text in others:
            words = words_of(text)
            alone.discard(" ".join(words))
            for n, each in runs.items():
                each.difference_update(_in_a_row(words, n))
        left = type(self)(())
        left._runs, left._alone = {n: each for n, each in runs.items() if each}, alone
        return left

    def __or__(self, other: "Traces") -> "Traces":
        both = Traces(())
        both._alone = self._alone | other._alone
        both._runs = {
            n: self._runs.get(n, set()) | other._runs.get(n, set())
            for n in {*self._runs, *other._runs}
        }
        return both

    def are_in(self, text: str) -> bool:
        """Whether the text has words of these."""
        words = words_of(text)
        return " ".join(words) in self._alone or any(
            not known.isdisjoint(_in_a_row(words, n)) for n, known in self._runs.items()
        )

    def make_up(self, text: str) -> bool:
        """Whether the text is rather a copy than one that these quote: half of its words in a row
        are theirs."""
        words = words_of(text)
        if " ".join(words) in self._alone:
            return True
        for n, known in self._runs.items():
            rows = [*_in_a_row(words, n)]
            if rows and 2 * sum(row in known for row in rows) >= len(rows):
                return True
        return False

    def patterns(self) -> list[str]:
        """For SQL's ``like any``, on lower case: no text that has these is left out, many that have
        not are."""
        rows = {row for each in self._runs.values() for row in each} | self._alone
        chosen = set[str]()
        for row in sorted(rows):
            plain = [word for word in row.split() if word.isascii()]
            if not plain:  # it may stand there escaped
                return ["%"]
            if chosen.isdisjoint(plain):
                chosen.add(max(plain, key=len))
        return [f"%{word}%" for word in sorted(chosen)]

    def taken_from(self, value: Any) -> Any:
        """JSON with each text that has words of these replaced; JSON within JSON as well."""
        match value:
            case str():
                return self._taken_from_text(value)
            case dict():
                return {self.taken_from(k): self.taken_from(v) for k, v in value.items()}
            case list():
                return [self.taken_from(each) for each in value]
        return value

    def _taken_from_text(self, text: str) -> str:
        if not self.are_in(text):
            return text
        try:
            inner = json.loads(text)
        except ValueError:
            return FORGOTTEN
        if not isinstance(inner, dict | list):
            return FORGOTTEN
        left = json.dumps(self.taken_from(inner), ensure_ascii=False, indent=1)
        return FORGOTTEN if self.are_in(left) else left


def words_of(text: str) -> list[str]:
    """The words of a text in order, whatever it is escaped for."""
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)) if found[1] else " ", text)
    return _WORD.findall(_TAG.sub(" ", html.unescape(plain)).casefold())


def _in_a_row(words: list[str], n: int) -> Iterator[str]:
    return (" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
