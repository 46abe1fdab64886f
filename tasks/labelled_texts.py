"""Labelled texts: read, checked, and parted into what a model learns from and what it is held to.

A text's part follows from its hash, a seed and how many texts there are; the more there are, the
smaller the share that is held back. So what a model is tested on no earlier one has learned from,
however the data grow, and champion and challenger can be compared on it.
"""

import asyncio
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from infra.errors import InputError
from tasks.columns import Columns, first_of, recognise, require
from tasks.corpus import read_source
from tasks.records import to_records
from tasks.suggestions import did_you_mean
from tasks.times import parse_times

if TYPE_CHECKING:
    import pandas as pd

Part = Literal["train", "check", "test"]

LABELS = ("label", "category", "intent", "class", "topic", "queue", "tag", "type")  # usual names
FEWEST = 40  # texts that can be learned from and measured at all
NONE = "none"  # what is said of a text that no label fits, where the data have no word of their own
_NAMED, _LISTED = 5, 20  # rows that a note names, labels that an error does
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Example:
    """A text and its label; ``origin``: where the label is from, such as a row of a file, or a
    review; ``outside``: none of the labels fits, ``label`` says so in the data's own word."""

    text: str
    label: str
    origin: str
    outside: bool = False

    @property
    def key(self) -> str:
        """SHA-256 (hex) of the text, spaces and case apart: what makes two texts the same."""
        plain = _SPACE.sub(" ", self.text).strip().casefold()
        return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True)
class Examples:
    """Examples that are fit to learn from, in the order of their keys, and notes for the user on
    what was left out, and why."""

    source: str
    items: tuple[Example, ...]
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in order."""
        return tuple(sorted({each.label for each in self.items if not each.outside}))

    @property
    def sha256(self) -> str:
        """Of all texts and labels, whatever order they came in."""
        lines = (f"{each.key} {int(each.outside)} {each.label}\n" for each in self.items)
        return hashlib.sha256("".join(lines).encode("utf-8", "replace")).hexdigest()


async def load_examples(
    source: str, text: Sequence[str] = (), label: str | None = None, outside: str | None = None
) -> Examples:
    """The labelled texts of a source, as `tasks.corpus` reads it.

    ``outside``: the label of texts that none of the others fits. Rows without a text or a label are
    left out, and so are equal texts, all of them where their labels differ: notes say which.

    Raises InputError naming source and column: a column that is not there, one label only, labels
    that are ids or dates, too few texts; a word for texts outside that no row has.
    """
    read = await read_source(source)
    names = list(read.table.columns)
    require([label], names, read.name)
    label = label or first_of(LABELS, names)
    if label is None:
        raise InputError(
            f"{read.name}: no column looks like a label. Its columns: {', '.join(names[:40])}. "
            "Name it with --label."
        )
    if label in text:
        raise InputError(f"{read.name}: the column {label} is named both as text and as label.")
    rest = [name for name in names if name != label]
    columns = recognise(Columns(id="row", text=tuple(text)), rest, read.name)
    records, _, _ = await asyncio.to_thread(
        to_records, read.table, columns, Columns(id="row"), read.name
    )
    said_of = _words(read.table[label])
    _require_labels(said_of, outside, f"{read.name}: the column {label}")
    rows = list(zip(records["text"], said_of, strict=True))
    notes = [*read.notes, *_left_out(rows)]
    items = [
        Example(words.strip(), said, f"row {number}", outside=said == outside)
        for number, (words, said) in enumerate(rows, 1)
        if words.strip() and said
    ]
    return fit(read.name, items, notes, label)


def fit(
    source: str, items: Iterable[Example], notes: Iterable[str] = (), label: str = "label"
) -> Examples:
    """What can be learned from of these examples. Raises InputError as `load_examples` does."""
    kept, said = _once_each(items)
    found = Examples(source, tuple(kept), (*notes, *said))
    counts = Counter(each.label for each in found.items if not each.outside)
    if len(counts) < 2:
        only = f"only {next(iter(counts))!r}" if counts else "none"
        raise InputError(
            f"{source}: a classifier needs two labels or more, and the column {label} has {only}."
        )
    single = [name for name, count in counts.items() if count == 1]
    if len(single) > len(counts) / 2:
        raise InputError(
            f"{source}: the column {label} has {len(counts):,} labels, and {len(single):,} of them "
            "have a single text. Is it an id? Name the labels' column, or merge rare labels."
        )
    if len(found.items) < FEWEST:
        raise InputError(
            f"{source} has {len(found.items)} labelled texts. {FEWEST} are the fewest that a model "
            "can learn from and be measured on. Label more."
        )
    if single:
        told = (
            f"{len(single)} labels have a single text, which is learned from but cannot be "
            f"measured: {', '.join(sorted(single)[:_NAMED])}"
            f"{' and others' if len(single) > _NAMED else ''}."
        )
        found = Examples(source, found.items, (*found.notes, told))
    return found


def parted(examples: Examples, seed: int = 0) -> dict[Part, tuple[Example, ...]]:
    """The examples by part: to learn from; to stop learning by, and to learn how sure to be; to
    test on. Each label has a text to learn from.

    Raises InputError where chance has left a part without a text that has a label.
    """
    share = _shares(len(examples.items))
    places = {each: _place(each, seed) for each in examples.items}
    found: dict[Part, list[Example]] = {"train": [], "check": [], "test": []}
    for each, place in places.items():
        found[_part(place, share)].append(each)
    learned = {each.label for each in found["train"]}
    for label in sorted({*examples.labels} - learned):
        last = max((e for e in examples.items if e.label == label), key=lambda e: places[e])
        found[_part(places[last], share)].remove(last)
        found["train"].append(last)
    if empty := [part for part, items in found.items() if all(each.outside for each in items)]:
        raise InputError(
            f"{examples.source}: of {len(examples.items)} labelled texts none fell to the part "
            f"{empty[0]}, which needs one. Label more, or take another seed."
        )
    return {part: tuple(items) for part, items in found.items()}


def _shares(number: int) -> dict[Part, float]:
    """How much of so many texts is held back: as much as a figure needs, no more than is due. The
    more texts there are, the smaller the shares."""
    return {
        "test": min(0.2, max(0.075, 1000 / number), 2000 / number),
        "check": min(0.1, max(0.05, 30 / number), 1000 / number),
    }


def _part(place: float, shares: Mapping[Part, float]) -> Part:
    for part, share in shares.items():
        if place < share:
            return part
        place -= share
    return "train"


def _place(example: Example, seed: int) -> float:
    """Between 0 and 1, by the text and the seed alone."""
    said = hashlib.sha256(f"{seed} {example.key}".encode()).digest()
    return int.from_bytes(said[:8]) / 2**64


def _words(values: "pd.Series[Any]") -> list[str]:
    """The labels as words; '' where there is none. Numbers beside gaps are read as 1.0, not 1."""
    words = (str(int(v)) if isinstance(v, float) and v.is_integer() else str(v) for v in values)
    gaps = values.isna()
    return ["" if gap else word.strip() for gap, word in zip(gaps, words, strict=True)]


def _require_labels(said: Sequence[str], outside: str | None, where: str) -> None:
    """Raise InputError where the words are no labels, or none of them is the one for outside."""
    names = sorted({each for each in said if each})
    if names and not parse_times(names).isna().any():
        raise InputError(f"{where} holds dates, and no labels. Name the labels' column.")
    if NONE in names and outside != NONE:
        raise InputError(
            f"{where} has the label {NONE!r}, which is what is said of a text that no label fits. "
            f"Where it means that, say so with --outside {NONE}; else rename it."
        )
    if outside is not None and outside not in names:
        raise InputError(
            f"{where} has no label {outside!r}, which texts outside are to have."
            f"{did_you_mean(outside, names)} Its labels: {', '.join(names[:_LISTED])}"
            f"{' and others' if len(names) > _LISTED else ''}."
        )


def _left_out(rows: Sequence[tuple[str, str]]) -> list[str]:
    found = {
        "no text": [n for n, (words, _) in enumerate(rows, 1) if not words.strip()],
        "no label": [n for n, (words, said) in enumerate(rows, 1) if words.strip() and not said],
    }
    return [f"{_rows(numbers)} left out: {what}." for what, numbers in found.items() if numbers]


def _once_each(items: Iterable[Example]) -> tuple[list[Example], list[str]]:
    """The examples in the order of their keys, each text once; none whose labels differ."""
    by_key: defaultdict[str, list[Example]] = defaultdict(list)
    for each in items:
        by_key[each.key].append(each)
    same, torn, kept = 0, list[list[Example]](), list[Example]()
    for key in sorted(by_key):
        several = by_key[key]
        if len({each.label for each in several}) > 1:
            torn.append(several)
        else:
            kept.append(several[0])
            same += len(several) - 1
    notes = [f"{same} texts stand there twice, and count once."] if same else []
    if torn:
        shown = "; ".join(
            " and ".join(f"{each.origin} ({each.label})" for each in several[:3])
            for several in torn[:_NAMED]
        )
        more = f"; and {len(torn) - _NAMED} others" if len(torn) > _NAMED else ""
        notes.append(f"{len(torn)} texts have several labels and are left out: {shown}{more}.")
    return kept, notes


def _rows(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_NAMED]))
    more = f" and {len(numbers) - _NAMED} others" if len(numbers) > _NAMED else ""
    return f"row {shown}{more}" if len(numbers) == 1 else f"rows {shown}{more}"
