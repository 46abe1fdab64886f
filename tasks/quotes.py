"""Quotes: for each theme a few verbatim sentences, from different tickets where there are some."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tasks.embedding import vectors
from tasks.findings import Quote

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from tasks.facts import Facts
    from tasks.tree import Tree
    from tasks.wording import Words

MOST = 3  # a theme
LONGEST = 300  # characters
_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])\s+|\n+")
_SPEAKER = re.compile(r"^[^\s:][^:\n]{0,40}:(\s+|$)")
_TELLING = 3  # words: of fewer, as in "Okay.", nobody learns anything


async def quotes_of(
    tree: "Tree", facts: "Facts", words: "Mapping[int, Words]"
) -> dict[int, tuple[Quote, ...]]:
    """Quotes by leaf, for what it says in words. A fact that is its own passage is quoted by the
    sentence that is nearest to these, whoever says it; one that a model wrote has the quote that it
    came with, or none."""
    chosen = {leaf.id: _shown(facts.table.iloc[list(leaf.sample)]) for leaf in tree.leaves}
    claims = {leaf.id: f"{words[leaf.id].title}. {words[leaf.id].detail}" for leaf in tree.leaves}
    sentences = {
        text: sentences_of(text)
        for rows in chosen.values()
        for text in (rows["problem"] if facts.strategy == "embed" else ())
    }
    flat = [_said(sentence) for several in sentences.values() for sentence in several]
    flat += claims.values() if flat else ()
    vector = dict(zip(flat, (await vectors(flat)).astype("float32"), strict=True))
    return {
        leaf: tuple(
            Quote(ticket=row.record, text=quote)
            for row in rows.itertuples()
            if (
                quote := row.quote or _nearest(sentences.get(row.problem, []), claims[leaf], vector)
            )
        )
        for leaf, rows in chosen.items()
    }


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, verbatim, with letters in them, and not too long to be quoted."""
    parts = (part.strip()[:LONGEST].strip() for part in _SENTENCE_END.split(text))
    return [part for part in parts if any(character.isalpha() for character in part)]


def _shown(sample: "pd.DataFrame") -> "pd.DataFrame":
    """Facts of different records, then others of theirs: one long record may be all there is."""
    again = sample.duplicated("record").sort_values(kind="stable")
    return sample.loc[again.index].head(MOST)


def _nearest(sentences: list[str], claim: str, vector: "dict[str, np.ndarray]") -> str | None:
    telling = [each for each in sentences if len(_said(each).split()) >= _TELLING] or sentences
    return max(telling, key=lambda each: float(vector[_said(each)] @ vector[claim]), default=None)


def _said(sentence: str) -> str:
    """A sentence without the name of who says it: else themes about a manager are quoted by
    whatever a manager says."""
    return _SPEAKER.sub("", sentence)
