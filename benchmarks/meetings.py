"""Whether a summary of a meeting rests on what people find worth asking about.

QMSum (Zhong et al. 2021): people asked specific questions about a meeting and marked the turns that
answer them. Held against those: the turns that a summary cites. Ours quotes them. Plain map-reduce
(a summary a chunk, then one of these) cites nothing: its evidence is the turns nearest to its
sentences by embedding, as many as ours. It has as many calls as ours, and is as long as they allow.
Beside both: turns drawn at random, each as likely as any or as its length.
"""

import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.spending import counted, spent_by
from benchmarks.strategies import summarized
from infra.embeddings import embed
from tasks.asking import ask
from tasks.facts import Strategy
from tasks.findings import Report
from tasks.quotes import sentences_of

MOST_MARKED = 0.6  # of the turns: of a meeting where nearly all are, nothing can be learned
DRAWS = 2000
_TURN = re.compile(r"^\[\d+\] ", re.MULTILINE)
_NOISE = re.compile(r"\{[^}]*\}")
_CHUNK = "Summarize this part of a meeting in at most {words} words."
_WHOLE = (
    "These are summaries of the parts of a meeting. Summarize the meeting in at most {words} words."
)


class Meeting(NamedTuple):
    """Its turns, as lines, and the stretches of turns that people marked."""

    id: str
    turns: tuple[str, ...]
    marked: tuple[range, ...]

    @property
    def marked_turns(self) -> set[int]:
        return set[int]().union(*self.marked)


class Held(NamedTuple):
    """Cited turns against the marked ones, as shares."""

    stretches: float  # of the marked ones, that have a cited turn
    turns: float  # of the marked ones
    precision: float

    @property
    def line(self) -> str:
        return (
            f"stretches found {self.stretches:6.1%}, marked turns cited {self.turns:6.1%}, "
            f"cited turns marked {self.precision:6.1%}"
        )


def meetings_of(table: pd.DataFrame, queries: pd.DataFrame) -> list[Meeting]:
    """The meetings of which people marked a part, the shortest first."""
    specific = queries[queries["kind"] == "specific"].groupby("meeting_id")["relevant_spans"]
    spans = specific.agg(list).to_dict()
    found = []
    for row in table.sort_values(["n_words", "meeting_id"]).itertuples():
        turns = [_NOISE.sub("", turn) for turn in _TURN.split(row.transcript)[1:]]
        said = tuple(" ".join(turn.split()) for turn in turns)
        marked = {
            range(int(first), min(int(last), len(said) - 1) + 1)
            for each in spans.get(row.meeting_id, [])
            for first, last in json.loads(each)
        }
        meeting = Meeting(row.meeting_id, said, tuple(sorted(marked, key=lambda r: r.start)))
        if 0 < len(meeting.marked_turns) <= MOST_MARKED * len(said):
            found.append(meeting)
    return found


async def against_people(
    table: pd.DataFrame, queries: pd.DataFrame, most: int, strategy: Strategy
) -> None:
    """Print how the summaries of so many meetings hold against people."""
    rows: dict[str, list[Held]] = {}
    for meeting in meetings_of(table, queries)[:most]:
        print(
            f"{meeting.id}: {len(meeting.turns)} turns in {len(meeting.marked)} marked stretches "
            f"({len(meeting.marked_turns) / len(meeting.turns):.0%} of them)",
            flush=True,
        )
        held = await _of(meeting, strategy)
        for name, each in held.items():
            print(f"  {name:26}{each.line}", flush=True)
            rows.setdefault(name, []).append(each)
    for name, several in rows.items():
        mean = Held(*np.mean(several, axis=0))
        print(f"mean of {len(several)}: {name:26}{mean.line}")


async def _of(meeting: Meeting, strategy: Strategy) -> dict[str, Held]:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / f"{meeting.id}.txt"
        source.write_text("\n".join(meeting.turns))
        ours, spent = await summarized(source, strategy)
    cited = quoted_turns(ours, meeting.turns)
    print(
        f"  ours, {strategy}: {len(ours.themes)} themes, {len(ours.rare)} rare, {len(cited)} turns "
        f"cited; {spent.line}"
    )
    with counted() as run:
        summary = await map_reduce(meeting.turns, spent.calls, spent.completion_tokens)
        beside = await spent_by(run)
    print(f"  map-reduce: {len(sentences_of(summary))} sentences; {beside.line}")
    near = await nearest_turns(summary, meeting.turns, len(cited))
    lengths = np.array([len(turn.split()) for turn in meeting.turns], float)
    return {
        "ours": held(cited, meeting),
        "map-reduce, nearest turns": held(near, meeting),
        "random turns": drawn(meeting, len(cited), np.ones(len(meeting.turns))),
        "random, by length": drawn(meeting, len(cited), lengths),
    }


def quoted_turns(report: Report, turns: Sequence[str]) -> set[int]:
    """The turns in which the quotes of a report stand."""
    found = set[int]()
    for quote in (quote for finding in report.findings for quote in finding.quotes):
        words = " ".join(quote.text.split())
        found |= {next((n for n, turn in enumerate(turns) if words in turn), -1)}
    return found - {-1}


async def map_reduce(turns: Sequence[str], calls: int, tokens: int) -> str:
    """A summary by chunks, in so many calls that write about so many tokens together."""
    words = max(20, int(tokens / calls * 0.7))
    count = max(1, calls - 1)
    sizes = np.cumsum([len(turn) for turn in turns])
    parts = np.minimum((sizes - 1) * count // sizes[-1], count - 1)
    said = []
    for part in range(count):
        chunk = "\n".join(turn for turn, at in zip(turns, parts, strict=True) if at == part)
        instruction = _CHUNK.format(words=words)
        reply = await ask("compose_text", {"material": chunk, "instruction": instruction})
        said.append(reply.text)
    whole = {"material": "\n\n".join(said), "instruction": _WHOLE.format(words=words)}
    return (await ask("compose_text", whole)).text if count > 1 else said[0]


async def nearest_turns(summary: str, turns: Sequence[str], count: int) -> set[int]:
    """So many turns that are nearest to the sentences of a text, each sentence's in turn."""
    sentences = sentences_of(summary) or [summary]
    similar = await embed(sentences) @ (await embed(turns)).T
    order = np.argsort(-similar, axis=1)
    found: dict[int, None] = {}
    for place in order.T.ravel().tolist():
        found.setdefault(place)
    return set(list(found)[:count])


def held(cited: Iterable[int], meeting: Meeting) -> Held:
    """Cited turns against those that people marked."""
    said, marked = set(cited), meeting.marked_turns
    hit = sum(not said.isdisjoint(stretch) for stretch in meeting.marked)
    right = len(said & marked)
    return Held(hit / len(meeting.marked), right / len(marked), right / max(len(said), 1))


def drawn(meeting: Meeting, count: int, weights: Any) -> Held:
    """What so many turns drawn at random reach on average."""
    draw = np.random.default_rng(0)
    chances = weights / weights.sum()
    several = [
        held(draw.choice(len(weights), count, replace=False, p=chances).tolist(), meeting)
        for _ in range(DRAWS)
    ]
    return Held(*np.mean(several, axis=0))
