"""How many passages a model reads well in one call: quality of its facts against tokens a ticket.

The same labelled texts, shuffled, in packs of 1, 2, 4, … passages. Two measures of a fact, by the
vectors of its words: whether the nearest label is its text's own (a label is the mean of the other
texts that have it), and whether the nearest text is. The second falls when a model mixes passages
up, or words them so generally that they could be another's.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.label_measures import agreeing
from benchmarks.spending import Spent, counted, spent_by
from infra.embeddings import embed
from infra.errors import ReplyMalformed, ReplyTruncated
from tasks.reading import ask_pack, facts_of

SIZES = (1, 2, 4, 8, 16)
HEADING = (
    f"{'pack':>5}{'calls':>7}{'label':>8}{'text':>8}{'verbatim':>10}{'none':>8}{'invalid':>9}"
    f"{'read':>7}{'written':>9}{'seconds':>9}"
)


class Reading(NamedTuple):
    """What came of one size. ``label`` and ``text``: share of all passages with a fact nearest to
    their own; ``verbatim`` is a share of the facts, the others of the passages."""

    size: int
    passages: int
    label: float
    text: float
    verbatim: float
    none: float
    invalid: float
    spent: Spent

    @property
    def line(self) -> str:
        n = self.passages
        return (
            f"{self.size:>5}{self.spent.calls:>7}{self.label:>8.1%}{self.text:>8.1%}"
            f"{self.verbatim:>10.1%}{self.none:>8.1%}{self.invalid:>9.1%}"
            f"{self.spent.prompt_tokens / n:>7.0f}{self.spent.completion_tokens / n:>9.0f}"
            f"{self.spent.seconds / n:>9.1f}"
        )


class Read(NamedTuple):
    """Of one passage: what it says, in the model's words, '' when nothing is known."""

    problem: str = ""
    quoted: bool = False
    invalid: bool = False


async def read_in_packs(table: pd.DataFrame, most: int, size: int) -> Reading:
    """Read the first texts of a table in packs of so many."""
    texts = list(table["text"][:most])
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    passages = list(zip(hashes, texts, strict=True))
    read = list[Read]()
    with counted() as run:
        for start in range(0, len(passages), size):
            read += await _read(passages[start : start + size])
    said = await embed([each.problem for each in read])
    have = np.array([bool(each.problem) for each in read])
    everything, labels = await embed(list(table["text"])), list(table["label"])
    rows = np.flatnonzero(have)
    right = agreeing(said[rows], rows, everything, labels)
    own = (said[rows] @ everything.T).argmax(axis=1) == rows
    n = len(read)
    return Reading(
        size,
        n,
        label=float(right.sum()) / n,
        text=float(own.sum()) / n,
        verbatim=sum(each.quoted for each in read) / max(len(rows), 1),
        none=sum(not each.problem and not each.invalid for each in read) / n,
        invalid=sum(each.invalid for each in read) / n,
        spent=await spent_by(run),
    )


async def _read(pack: list[tuple[str, str]]) -> list[Read]:
    try:
        found = await ask_pack(pack)
    except (ReplyMalformed, ReplyTruncated):
        return [Read(invalid=True)] * len(pack)
    read = []
    for sha256, text in pack:
        facts, _ = facts_of(text, found[sha256])
        said = facts[0]["problem"] if facts else ""
        read.append(Read(said, quoted=bool(facts and facts[0]["quote"])))
    return read


async def as_they_are(table: pd.DataFrame, most: int) -> str:
    """What facts are measured against: the texts themselves."""
    vectors, labels = await embed(list(table["text"])), list(table["label"])
    rows = np.arange(min(most, len(table)))
    right = agreeing(vectors[rows], rows, vectors, labels).mean()
    return f"{'texts':>5}{0:>7}{right:>8.1%}{1:>8.1%}"


def plot(readings: Sequence[Reading], file: Path) -> None:
    """Quality and cost by size, as a PNG."""
    from tasks.plots import ACCENT, WARNING, panels

    figure, (quality, cost) = panels(2)
    sizes = [str(each.size) for each in readings]
    shares = {"label": ACCENT, "text": "#7a9e4a", "verbatim": WARNING}
    for name, colour in shares.items():
        values = [getattr(each, name) for each in readings]
        quality.plot(sizes, values, "o-", color=colour, label=name)
    quality.set(xlabel="passages a call", ylim=(0, 1.02))
    quality.legend(fontsize=8)
    tokens = [each.spent.prompt_tokens / each.passages for each in readings]
    made = [each.spent.completion_tokens / each.passages for each in readings]
    cost.bar(sizes, tokens, color="#a9cbd9", label="read")
    cost.bar(sizes, made, bottom=tokens, color=ACCENT, label="written")
    cost.set(xlabel="passages a call", ylabel="tokens a ticket")
    cost.legend(fontsize=8)
    figure.savefig(file)
