"""Search: the passages of a collection that are nearest to a question, in meaning and in words.

Both legs run in one SQL statement: the nearest vectors (HNSW, Malkov & Yashunin 2016), and the best
passages by BM25 among those with the question's rarest words. What either finds is scored by both,
exactly, and ranked by the weighted sum: on judged sets it is as good as the better leg everywhere
and better on the mean, which fused ranks (Cormack et al. 2009) are not.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from infra.embeddings import embed
from infra.errors import InputError
from infra.postgres import HalfVector, Jsonb, SparseVector, fetch
from tasks.document_collections import View, live_view
from tasks.embedding import require_length
from tasks.lexemes import DIMENSIONS, lexemes, question_weights
from tasks.runs import is_transient
from tasks.suggestions import did_you_mean

if TYPE_CHECKING:
    import numpy as np

Mode = Literal["hybrid", "vector", "text"]

MOST_CHARACTERS = 8000  # of a question
TEXT_SHARE = 0.4  # of BM25 in a score; the rest is the vectors' cosine
_SHARE = {"vector": 0.0, "hybrid": TEXT_SHARE, "text": 1.0}
_POOL = 50  # passages that each leg brings, at least
_CANDIDATES = 2000  # passages with the rarest words, of which BM25 chooses
_MOST_LEXEMES = 64  # of a question, the rarest


class Found(BaseModel):
    """A passage that was found.

    ``score``: what it is ranked by, of ``similarity`` (cosine, -1 to 1) and ``text_score`` (BM25 as
    a share of the most that any passage could have); ``context``: title and headings above it.
    """

    model_config = ConfigDict(frozen=True)

    document: str
    passage: int
    score: float
    similarity: float
    text_score: float
    context: str
    text: str
    fields: dict[str, list[str]]


async def search(
    collection: str,
    question: str,
    *,
    k: int = 10,
    mode: Mode = "hybrid",
    fields: Mapping[str, Sequence[str]] | None = None,
) -> list[Found]:
    """The ``k`` best passages, the best first, of those whose documents have all of ``fields``.

    Raises InputError for an unknown collection or field, and for a question that is empty or too
    long; what `infra.embeddings.embed` raises.
    """
    require_question(question)
    view = await live_view(collection)
    require_fields(view, fields or {})
    vector = None if mode == "text" else await question_vector(view, question)
    return await search_view(view, question, vector, k=k, mode=mode, fields=fields)


def require_question(question: str) -> None:
    """Raise InputError for a question that is none."""
    if not question.strip():
        raise InputError("The question is empty. Ask something.")
    if len(question) > MOST_CHARACTERS:
        raise InputError(
            f"The question has {len(question):,} characters, and may have {MOST_CHARACTERS:,}. Ask "
            "for what you want to know, and leave out the material."
        )


def require_fields(view: View, fields: Mapping[str, Sequence[str]]) -> None:
    """Raise InputError for a field that no document of the version has."""
    for name in fields:
        if name not in view.fields:
            there = f"It has: {', '.join(view.fields)}." if view.fields else "It has none."
            raise InputError(
                f"The collection {view.name} has no field {name!r} to filter by."
                f"{did_you_mean(name, view.fields)} {there}"
            )


async def question_vector(view: View, question: str) -> "np.ndarray":
    """The question as the version's embedder sees it, which may be another than the settings'."""
    [vector] = await embed([question], embedder=view.embedder)
    require_length(view.embedder, {view.dimensions, len(vector)})
    return vector


async def search_view(
    view: View,
    question: str,
    vector: "np.ndarray | None",
    *,
    k: int,
    mode: Mode = "hybrid",
    fields: Mapping[str, Sequence[str]] | None = None,
) -> list[Found]:
    """`search` in one version, with the question's vector, None in the mode ``text``."""
    rarity = await _rarity(view, question)
    rarest = _rarest(rarity)
    row = {
        "version": view.version,
        "mode": mode,
        "fields": Jsonb({name: list(values) for name, values in fields.items()})
        if fields
        else None,
        "embedding": HalfVector(vector) if vector is not None else None,
        "rarest": _any_of(rarest),
        "commoner": _any_of([lexeme for lexeme in rarity if lexeme not in rarest]),
        "weights": SparseVector(question_weights(rarity, view.passages), DIMENSIONS),
        "text_share": _SHARE[mode],
        "k": k,
    }
    found = await fetch(
        "search",
        row,
        index=view.index,
        dimensions=view.dimensions,
        pool=max(_POOL, k),
        candidates=_CANDIDATES,
    )
    return [Found(**each) for each in found]


async def documents_found(
    view: View, question: str, vector: "np.ndarray | None", *, mode: Mode = "hybrid", k: int = 10
) -> list[str]:
    """The ``k`` best documents, each by its best passage, the best first."""
    found = await search_view(view, question, vector, k=_POOL * 2, mode=mode)
    return list(dict.fromkeys(each.document for each in found))[:k]


@task(
    name="find passages",
    retries=3,
    retry_delay_seconds=[1, 5, 15],
    retry_condition_fn=is_transient,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def find_passages(
    collection: str, question: str, k: int, fields: Mapping[str, Sequence[str]]
) -> list[Found]:
    """`search` as a task."""
    return await search(collection, question, k=k, fields=fields)


async def _rarity(view: View, question: str) -> dict[str, int]:
    """In how many passages each lexeme of the question stands, the rarest first: 0 for those that
    stand in none."""
    asked = list(lexemes(question))[: 10 * _MOST_LEXEMES]
    rows = await fetch("rarity", {"index": view.index, "lexemes": asked})
    counts = {**dict.fromkeys(asked, 0), **{row["lexeme"]: row["passages"] for row in rows}}
    return dict(sorted(counts.items(), key=lambda each: each[1])[:_MOST_LEXEMES])


def _rarest(rarity: Mapping[str, int]) -> list[str]:
    """Those that stand in no more passages together than can be looked at; one at least."""
    chosen, passages = list[str](), 0
    for lexeme, count in rarity.items():
        if count and (not chosen or passages + count <= _CANDIDATES):
            chosen.append(lexeme)
            passages += count
    return chosen


def _any_of(chosen: Sequence[str]) -> str:
    """A tsquery for passages with any of the lexemes."""
    return " | ".join("'" + lexeme.replace("'", "''") + "'" for lexeme in chosen)
