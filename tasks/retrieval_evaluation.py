"""How well a collection finds what was judged relevant: by version and mode, and how quickly."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, quantiles
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict, Field

from infra.embeddings import embed
from infra.errors import InputError
from tasks.cited_answers import QuestionRequest, answer
from tasks.corpus import read_source
from tasks.document_collections import Name, PinnedQuestions, View, documents_there
from tasks.progress import progress
from tasks.ranking_metrics import ndcg_at, recall_at, reciprocal_rank_at
from tasks.retrieval import Mode, documents_found

if TYPE_CHECKING:
    import pandas as pd

AMONG = 10  # all metrics look at so many documents
Relevance = Mapping[str, float]


class EvaluationRequest(BaseModel):
    """What to measure a collection by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collection: Name = Field(json_schema_extra={"position": 0})
    queries: str = Field(
        description="Table with the columns query_id, text: a file, `sql:FILE`, `query:SELECT …`.",
        json_schema_extra={"position": 1},
    )
    qrels: str = Field(
        description="Table with the columns query_id, doc_id, relevance, likewise.",
        json_schema_extra={"position": 2},
    )
    modes: tuple[Mode, ...] = Field(
        ("hybrid",),
        min_length=1,
        description="Ways to search: hybrid, vector, text.",
        json_schema_extra={"position": 3},
    )
    answers: int = Field(
        0,
        ge=0,
        description="Queries that a model is asked to answer, and so many off-topic ones.",
        json_schema_extra={"position": 4},
    )


class Judged(BaseModel):
    """A query, and how relevant documents are to it. One without any is off topic: nothing in the
    collection answers it."""

    model_config = ConfigDict(frozen=True)

    id: str
    text: str
    relevance: dict[str, float]


class Quality(BaseModel):
    """How well one version finds documents in one mode: means over the queries that have any.

    ``ranks``: of the first relevant document of each query, None where it is not among the first
    ten; ``p50_ms``, ``p95_ms``: of a search without embedding its question.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    mode: Mode
    queries: int
    ndcg_at_10: float
    recall_at_10: float
    mrr_at_10: float
    p50_ms: float
    p95_ms: float
    ranks: dict[str, int | None]


class Answered(BaseModel):
    """How queries were answered: of ``asked`` ones with relevant documents how many with support,
    and how many citing a relevant document; of ``off_topic`` ones how many were refused."""

    model_config = ConfigDict(frozen=True)

    asked: int
    supported: int
    cited_relevant: int
    off_topic: int
    refused: int


class Evaluation(BaseModel):
    """What was measured, the live version last. ``answers``: None when none were asked for."""

    model_config = ConfigDict(frozen=True)

    collection: str
    qualities: tuple[Quality, ...]
    answers: Answered | None


async def read_judged(queries: str, qrels: str) -> list[Judged]:
    """Queries (columns query_id, text) with their judgements (query_id, doc_id, relevance), each a
    source as `tasks.corpus` reads it.

    Raises InputError naming file, row and column.
    """
    relevance = defaultdict[str, dict[str, float]](dict)
    for row, (query, document, value) in await _rows(qrels, ("query_id", "doc_id", "relevance")):
        try:
            relevant = float(value)
        except ValueError:
            raise InputError(
                f"{qrels}, row {row}: relevance is {value!r}. Give a number, 0 for irrelevant."
            ) from None
        if relevant > 0:
            relevance[query][document] = relevant
    judged = [
        Judged(id=query, text=text, relevance=relevance.get(query, {}))
        for _, (query, text) in await _rows(queries, ("query_id", "text"))
    ]
    _require_known(relevance, judged, queries, qrels)
    return judged


def pinnable(judged: Iterable[Judged]) -> PinnedQuestions:
    """The queries that have relevant documents, as questions to pin."""
    return {each.text: [*each.relevance] for each in judged if each.relevance}


async def measure(view: View, judged: Iterable[Judged], mode: Mode) -> Quality:
    """How well a version finds the documents of the queries that have any.

    Raises InputError when it has none of these documents at all.
    """
    answerable = [each for each in judged if each.relevance]
    await _require_there(view, answerable)
    vectors = await embed([each.text for each in answerable], embedder=view.embedder)
    rankings, seconds = [], []
    async with progress(f"Searching version {view.version}, {mode}", len(answerable)) as following:
        for each, vector in zip(answerable, vectors, strict=True):
            started = time.perf_counter()
            rankings.append(await documents_found(view, each.text, vector, mode=mode, k=AMONG))
            seconds.append(time.perf_counter() - started)
            await following.advance()
    pairs = list(zip(rankings, answerable, strict=True))
    return Quality(
        version=view.version,
        mode=mode,
        queries=len(answerable),
        ndcg_at_10=mean(ndcg_at(AMONG, found, each.relevance) for found, each in pairs),
        recall_at_10=mean(recall_at(AMONG, found, each.relevance) for found, each in pairs),
        mrr_at_10=mean(reciprocal_rank_at(AMONG, found, each.relevance) for found, each in pairs),
        p50_ms=1000 * _percentile(seconds, 50),
        p95_ms=1000 * _percentile(seconds, 95),
        ranks={each.id: _first_rank(found, each.relevance) for found, each in pairs},
    )


async def answered(request: EvaluationRequest, judged: Sequence[Judged]) -> Answered | None:
    """How the first queries of either kind are answered from the live version."""
    if not request.answers:
        return None
    asked = [each for each in judged if each.relevance][: request.answers]
    off_topic = [each for each in judged if not each.relevance][: request.answers]
    supported = cited = refused = 0
    async with progress("Answering queries", len(asked) + len(off_topic)) as following:
        for each in (*asked, *off_topic):
            question = QuestionRequest(question=each.text, collection=request.collection)
            found = await answer(question)
            supported += bool(each.relevance) and found.supported
            cited += any(citation.document in each.relevance for citation in found.citations)
            refused += not each.relevance and not found.supported
            await following.advance()
    return Answered(
        asked=len(asked),
        supported=supported,
        cited_relevant=cited,
        off_topic=len(off_topic),
        refused=refused,
    )


@task(name="load judged queries", cache_policy=NO_CACHE, persist_result=False)
async def load_judged(request: EvaluationRequest) -> list[Judged]:
    """`read_judged` as a task."""
    return await read_judged(request.queries, request.qrels)


@task(name="answer judged queries", cache_policy=NO_CACHE, persist_result=False)
async def answer_judged(request: EvaluationRequest, judged: Sequence[Judged]) -> Answered | None:
    """`answered` as a task."""
    return await answered(request, judged)


@task(name="measure retrieval", cache_policy=NO_CACHE, persist_result=False)
async def measure_retrieval(view: View, judged: Iterable[Judged], mode: Mode) -> Quality:
    """`measure` as a task."""
    return await measure(view, judged, mode)


def _first_rank(found: list[str], relevance: Relevance) -> int | None:
    return next((rank for rank, each in enumerate(found, 1) if each in relevance), None)


def _percentile(values: list[float], share: int) -> float:
    return quantiles(values, n=100, method="inclusive")[share - 1] if values[1:] else values[0]


async def _require_there(view: View, judged: list[Judged]) -> None:
    wanted = {document for each in judged for document in each.relevance}
    if not wanted:
        raise InputError("No query has a relevant document. Check that the ids of both files fit.")
    if not await documents_there(view, wanted):
        raise InputError(
            f"The collection {view.name} has none of the documents that were judged, such as "
            f"{min(wanted)!r}. Ingest them with these ids: --id names their column."
        )


def _require_known(
    relevance: Mapping[str, Relevance], judged: list[Judged], queries: str, qrels: str
) -> None:
    unknown = sorted(relevance.keys() - {each.id for each in judged})
    if unknown:
        raise InputError(
            f"{qrels} judges the query {unknown[0]!r}, which {queries} does not have. Add it there "
            "or take its rows out."
        )


async def _rows(source: str, columns: tuple[str, ...]) -> list[tuple[int, list[str]]]:
    """The rows of a table, counted from 1, with the texts of these columns."""
    table = (await read_source(source)).table
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(
            f"{source} has no column {', '.join(missing)}. It needs {', '.join(columns)}."
        )
    rows = list[tuple[int, list[str]]]()
    for number, row in enumerate(_values(table, columns), 1):
        cells = ["" if value is None or value != value else str(value).strip() for value in row]
        if empty := [name for name, cell in zip(columns, cells, strict=True) if not cell]:
            raise InputError(f"{source}, row {number}: {empty[0]} is empty. Fill it.")
        rows.append((number, cells))
    return rows


def _values(table: "pd.DataFrame", columns: tuple[str, ...]) -> Iterable[tuple[object, ...]]:
    return table[list(columns)].itertuples(index=False, name=None)
