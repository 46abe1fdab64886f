"""The semantic cache on labelled pairs of questions: what it would hit, and how often wrongly."""

import random
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from infra.embeddings import embed
from infra.errors import InputError
from infra.postgres import transaction
from infra.providers import model_of
from infra.sql import queries
from tasks.guards import differences
from tasks.prompts import load_prompt
from tasks.semantic_cache import lesson_of, relearn
from tasks.tables import read_table
from tasks.thresholds import Certified, judge, learn

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("text_a", "text_b", "label")
_SAME = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
Pair = tuple[str, str, bool]


class Evaluation(BaseModel):
    """What a threshold that one half of the pairs taught does on the other half.

    ``pairs``, ``hits`` and ``wrong_hits`` are of the other half; ``hit_rate`` and ``wrong_share``
    are shares of its pairs, ``wrong_share_of_hits`` of its hits (None without); ``interval`` is the
    95 % one of ``wrong_share``. ``threshold``: None when none is certified: no hits then.
    """

    model_config = ConfigDict(frozen=True)

    pairs: int
    hits: int
    wrong_hits: int
    hit_rate: float
    wrong_share: float
    wrong_share_of_hits: float | None
    interval: tuple[float, float]
    threshold: float | None
    taught_on: int


def read_pairs(path: Path) -> list[Pair]:
    """Pairs of a table with text_a, text_b and label (1: same meaning, 0: another).

    Raises InputError naming file, row and column.
    """
    table, _ = read_table(path)
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}. Pairs need {', '.join(_COLUMNS)}."
        )
    return [_pair(path, number, row) for number, row in enumerate(_rows(table), 1)]


async def evaluate(pairs: list[Pair], bound: float, seed: int = 0) -> Evaluation:
    """Learn the threshold on the half of the pairs that ``seed`` chooses; judge it on the other."""
    shuffled = random.Random(seed).sample(range(len(pairs)), len(pairs))
    taught, tested = shuffled[: len(pairs) // 2], shuffled[len(pairs) // 2 :]
    if not taught:
        raise InputError(f"{len(pairs)} pairs are too few: one half teaches, the other tests.")
    similar = await similarities(pairs)
    right = [same for _, _, same in pairs]
    certified = learn([similar[i] for i in taught], [right[i] for i in taught], bound)
    found = judge([similar[i] for i in tested], [right[i] for i in tested], certified.threshold)
    return Evaluation(
        pairs=found.requests,
        hits=found.hits,
        wrong_hits=found.wrong_hits,
        hit_rate=found.hit_rate,
        wrong_share=found.wrong_share,
        wrong_share_of_hits=found.wrong_hits / found.hits if found.hits else None,
        interval=found.interval,
        threshold=certified.threshold,
        taught_on=len(taught),
    )


async def similarities(pairs: list[Pair]) -> list[float | None]:
    """How similar the questions of each pair are; None where the guards tell them apart."""
    texts = list(dict.fromkeys(text for a, b, _ in pairs for text in (a, b)))
    vector = dict(zip(texts, await embed(texts), strict=True))
    return [None if differences(a, b) else float(vector[a] @ vector[b]) for a, b, _ in pairs]


async def teach(prompt: str, pairs: list[Pair]) -> Certified:
    """Give a prompt's cache the pairs as observations; what its threshold is then.

    Raises InputError for a prompt that has no question.
    """
    asked = load_prompt(prompt)
    if asked.question is None:
        raise InputError(f"The prompt {prompt} has no `question`, so nothing is similar to it.")
    lesson = await lesson_of(prompt, asked.version, model_of(asked.model))
    similar = await similarities(pairs)
    copying = queries()["copy_observations"]
    async with transaction() as connection, connection.cursor().copy(copying) as copy:
        for similarity, (_, _, same) in zip(similar, pairs, strict=True):
            await copy.write_row((lesson, similarity, same, "pair"))
    return await relearn(lesson)


def _rows(table: "pd.DataFrame") -> list[tuple[object, ...]]:
    return list(table[list(_COLUMNS)].itertuples(index=False, name=None))


def _pair(path: Path, number: int, row: tuple[object, ...]) -> Pair:
    a, b, label = row
    for column, text in (("text_a", a), ("text_b", b)):
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{path}, row {number}: {column} is empty.")
    same = _SAME.get(str(label).strip().lower())
    if same is None:
        raise InputError(f"{path}, row {number}: label is {label!r}; 1 is the same, 0 another.")
    return str(a), str(b), same
