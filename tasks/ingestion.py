"""Documents into a collection: what changed is embedded, and goes live when it is found as well.

An ingest makes a version. Passages of new and changed documents are born with it, those of changed
and removed ones die with it, and until it is live nobody sees any of that: an ingest that was
killed is undone by the next one. With another embedder, or another way to cut, everything is made
anew in an index beside the old one, which serves until the new one is good.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from statistics import mean
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict, Field

from infra.embeddings import embedder_name
from infra.errors import InputError, SettingsError, WorkIncomplete
from infra.postgres import (
    HalfVector,
    Jsonb,
    SparseVector,
    TsVector,
    alone,
    fetch,
    statement,
    transaction,
)
from infra.sql import queries
from tasks.document_collections import (
    Name,
    PinnedQuestions,
    View,
    collection_lock,
    current_view,
    pinned_questions,
    view_of,
)
from tasks.document_passages import CUT, Passage, passages_of
from tasks.documents import DocumentColumns, Documents, load_documents
from tasks.embedding import require_length, vectors
from tasks.lexemes import DIMENSIONS, passage_weights
from tasks.progress import progress
from tasks.ranking_metrics import recall_at
from tasks.retrieval import documents_found, question_vector
from tasks.runs import is_transient

_AMONG = 10  # a pinned question must find its documents among so many
_BLOCK = 500  # passages that are embedded and written at a time
_SAMPLE = 1000  # documents of which the mean length of a passage is taken
_MOST_DIMENSIONS = 4000  # of vectors that an HNSW index of half floats takes
_LINKS = 1200  # bytes that the graph of an HNSW index takes a passage, beside its vector
_LEAST_MEMORY, _MOST_MEMORY = 64 * 2**20, 2**31  # bytes for its making
_COLUMNS = [
    *("bigint", "bigint", "text", "text", "bytea", "integer", "text", "text", "jsonb"),
    *("halfvec", "tsvector", "sparsevec"),
]
_Row = tuple[Any, ...]
_READING: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [1, 5, 15],
    "retry_condition_fn": is_transient,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}


if TYPE_CHECKING:
    import numpy as np


class IngestRequest(BaseModel):
    """What to ingest, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        min_length=1,
        description="A folder, a file, corpus:NAME, sql:FILE or query:SELECT …",
        json_schema_extra={"position": 0},
    )
    collection: Name = Field(json_schema_extra={"position": 1})
    columns: DocumentColumns = Field(
        default_factory=DocumentColumns,
        description="Columns of a table.",
        json_schema_extra={"position": 2},
    )
    lineage: str | None = Field(
        None,
        description="What to call the source, when its path or query changes. Empty: these.",
        json_schema_extra={"position": 5},
    )
    max_skipped: int = Field(
        0,
        ge=0,
        description="Documents that may be unreadable without the run failing.",
        json_schema_extra={"position": 3},
    )
    force: bool = Field(
        False,
        description="Go live also when fewer pinned questions find their documents.",
        json_schema_extra={"position": 4},
    )


@dataclass(frozen=True)
class Change:
    """What an ingest has to do to a collection.

    ``index``: where to write, None for a new one; ``documents``: new and changed ones; ``ended``:
    ids of changed and removed ones; ``unread``: ids of those that could not be read now, whose
    passages stay; ``unchanged``, ``removed``: how many.
    """

    collection: int
    name: str
    before: View | None
    index: int | None
    documents: Documents
    ended: tuple[str, ...]
    unread: tuple[str, ...]
    unchanged: int
    removed: int

    @property
    def is_none(self) -> bool:
        """Whether the collection is already what it is to be."""
        return self.index is not None and not self.documents.all and not self.ended


class Judged(BaseModel):
    """A version, and how well it finds the documents of its pinned questions.

    ``recall``: share of them among the first ten, None without pinned questions; ``recall_before``:
    that of the version that was live; ``lost``: questions that find fewer than there.
    """

    model_config = ConfigDict(frozen=True)

    view: View
    live: bool
    recall: float | None = None
    recall_before: float | None = None
    lost: tuple[str, ...] = ()


class Ingested(BaseModel):
    """What an ingest did. ``documents``, ``passages``: of the collection; ``embedded``: documents
    that were new or changed; ``unchanged``, ``removed``: documents of the source; ``skipped``: what
    could not be read, and why. ``live``: whether the version is searched now."""

    model_config = ConfigDict(frozen=True)

    collection: str
    version: int
    live: bool
    documents: int
    passages: int
    embedded: int
    unchanged: int
    removed: int
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    recall: float | None
    recall_before: float | None
    lost: tuple[str, ...]
    seconds: float


@asynccontextmanager
async def one_at_a_time(collection: str) -> AsyncIterator[None]:
    """Wait until no other ingest into the collection is under way."""
    async with alone(collection_lock(collection)):
        yield


async def change_of(documents: Documents, name: str) -> Change:
    """What of the documents is not in the collection yet, and what is no longer in the source.

    Undoes what a killed or refused ingest has left. Raises InputError for a document whose id
    another source of the collection has.
    """
    [row] = await fetch("open_collection", {"name": name})
    before = await current_view(name)
    await _undo(row["id"], before)
    known = await _known(before)
    _require_own_ids(documents, known, name)
    there = {*documents.skipped, *(each.id for each in documents.all)}
    gone = [
        id_ for id_, (source, _) in known.items() if source == documents.name and id_ not in there
    ]
    changed = [
        each for each in documents.all if known.get(each.id) != (documents.name, each.digest)
    ]
    stays = before is not None and (before.embedder, before.cut) == (embedder_name(), CUT)
    return Change(
        collection=row["id"],
        name=name,
        before=before,
        index=before.index if before and stays else None,
        documents=Documents(documents.name, changed if stays else documents.all),
        ended=tuple([each.id for each in changed if each.id in known] + gone),
        unread=tuple(documents.skipped),
        unchanged=len(documents.all) - len(changed),
        removed=len(gone),
    )


async def write_passages(change: Change) -> View:
    """Cut, embed and write what has changed, as a version that nobody searches yet.

    The version that is live, where nothing has changed. Raises what `tasks.embedding.vectors`
    raises, and SettingsError for vectors that cannot be indexed.
    """
    if change.is_none and change.before:
        return change.before
    index, dimensions, mean_lexemes = await _index(change)
    [row] = await fetch("make_version", {"collection": change.collection, "index": index})
    version = row["version"]
    async with progress("Ingesting documents", len(change.documents.all)) as following:
        rows = list[_Row]()
        for passages in chain(_blocks(change.documents), [[]]):  # the last one is only written
            written = len({row[1] for row in rows})
            writing = asyncio.create_task(_write(rows, index, version))
            try:
                rows = await _rows(passages, mean_lexemes)
            finally:  # also when these fail: what is written later, the next ingest cannot undo
                await writing
            await following.advance(written)
    if change.before and change.before.index != index:
        async for passages in _carried(change, change.before):
            await _write(await _rows(passages, mean_lexemes), index, version)
    await _complete(change, version, index, dimensions)
    return await view_of(change.name, version)


async def judge_version(change: Change, view: View, *, force: bool = False) -> Judged:
    """Make a version live, unless its pinned questions find fewer of their documents than before.

    ``force``: also then.
    """
    if change.before == view:
        return Judged(view=view, live=True)
    pinned = await pinned_questions(change.collection)
    found = await _shares_found(view, pinned)
    before = await _shares_found(change.before, pinned) if change.before else {}
    judged = Judged(
        view=view,
        live=force or not before or sum(found.values()) >= sum(before.values()),
        recall=mean(found.values()) if found else None,
        recall_before=mean(before.values()) if before else None,
        lost=tuple(question for question in before if found[question] < before[question]),
    )
    state = "good" if judged.live else "refused"
    async with transaction() as connection:
        result = {"version": view.version, "state": state, "recall": judged.recall}
        await connection.execute(queries()["judge_version"], result)
        if judged.live:
            place = {"collection": change.collection, "version": view.version}
            await connection.execute(queries()["go_live"], place)
    return judged


def ingested(change: Change, documents: Documents, judged: Judged, started: datetime) -> Ingested:
    """What an ingest that began at ``started`` (UTC) has done."""
    return Ingested(
        collection=change.name,
        version=judged.view.version,
        live=judged.live,
        documents=judged.view.documents,
        passages=judged.view.passages,
        embedded=len(change.documents.all),
        unchanged=change.unchanged if change.index is not None else 0,
        removed=change.removed,
        skipped=tuple(documents.skipped.values()),
        notes=documents.notes,
        recall=judged.recall,
        recall_before=judged.recall_before,
        lost=judged.lost,
        seconds=(datetime.now(UTC) - started).total_seconds(),
    )


def require_ingested(done: Ingested, max_skipped: int) -> None:
    """Raise WorkIncomplete when the version is not live, or more documents than allowed could not
    be read. What was read is kept, and searched where the version is live."""
    if not done.live:
        questions = "; ".join(done.lost[:5]) + (" …" if len(done.lost) > 5 else "")
        raise WorkIncomplete(
            f"The collection {done.collection} stays at the version that it was: with the new "
            f"documents {len(done.lost)} pinned questions find fewer of theirs ({questions}). "
            "Mend the documents, unpin what no longer holds, or ingest with --force."
        )
    if len(done.skipped) > max_skipped:
        more = f" And {len(done.skipped) - 3} more." if len(done.skipped) > 3 else ""
        raise WorkIncomplete(
            f"The collection {done.collection} is live, and what could not be read is missing "
            f"({len(done.skipped)}): {' '.join(done.skipped[:3])}{more} Or allow it: --max-skipped."
        )


@task(name="load documents", **_READING)
async def load(request: IngestRequest) -> Documents:
    """`load_documents` as a task."""
    return await load_documents(request.source, request.columns, request.lineage)


@task(name="compare with the collection", **_READING)
async def compare(documents: Documents, collection: str) -> Change:
    """`change_of` as a task."""
    return await change_of(documents, collection)


@task(name="write passages", cache_policy=NO_CACHE, persist_result=False)
async def write(change: Change) -> View:
    """`write_passages` as a task; not tried again: the next ingest undoes what is half done."""
    return await write_passages(change)


@task(name="judge version", **_READING)
async def judge(change: Change, view: View, force: bool) -> Judged:
    """`judge_version` as a task."""
    return await judge_version(change, view, force=force)


async def _undo(collection: int, live: View | None) -> None:
    """Leave what the live version and the good one before it need, and nothing else."""
    async with transaction() as connection:
        place = {"collection": collection}
        unused = await connection.execute(queries()["forget_versions"], place)
        for row in await unused.fetchall():
            await connection.execute(statement("drop_passages_of_index", index=row["index"]))
            await connection.execute(queries()["drop_index"], row)
        if live:
            seen = {"index": live.index, "version": live.version}
            await connection.execute(queries()["revive_passages"], seen)
            await connection.execute(queries()["bury_passages"], seen)


async def _known(live: View | None) -> dict[str, tuple[str, bytes]]:
    """Source and digest of each document that is searched now."""
    if live is None:
        return {}
    rows = await fetch("known_documents", {"index": live.index, "version": live.version})
    return {row["document"]: (row["source"], row["digest"]) for row in rows}


def _require_own_ids(
    documents: Documents, known: Mapping[str, tuple[str, bytes]], name: str
) -> None:
    for document in documents.all:
        source, _ = known.get(document.id, (documents.name, b""))
        if source != documents.name:
            raise InputError(
                f"The collection {name} has a document {document.id!r} from {source} already. Give "
                "the ids of one source a prefix, use another collection, or, where the source has "
                f"only moved, call it what it was: --lineage {source}"
            )


async def _index(change: Change) -> tuple[int, int, float]:
    """The index to write into, the length of its vectors and the mean lexemes of a passage."""
    some = _sample(change.documents)
    [vector] = await vectors([some[0].whole], quiet=True) if some else [()]
    before = change.before
    if before and change.index is not None:
        if some:
            require_length(before.embedder, {before.dimensions, len(vector)})
        return change.index, before.dimensions, before.mean_lexemes
    if len(vector) > _MOST_DIMENSIONS:
        raise SettingsError(
            f"{embedder_name()} makes vectors of {len(vector)} numbers; {_MOST_DIMENSIONS} can be "
            "indexed. Name a model with fewer in PATTERNS_EMBEDDING_MODEL."
        )
    mean_lexemes = mean(passage.lexemes.total() for passage in some)
    made = {
        "collection": change.collection,
        "embedder": embedder_name(),
        "cut": CUT,
        "dimensions": len(vector),
        "mean_lexemes": mean_lexemes,
    }
    async with transaction() as connection:
        found = await connection.execute(queries()["make_index"], made)
        [row] = await found.fetchall()
        await connection.execute(statement("make_passages", index=row["index"]))
    return row["index"], len(vector), mean_lexemes


def _sample(documents: Documents) -> list[Passage]:
    """Passages of documents from all over the source."""
    every = max(1, len(documents.all) // _SAMPLE)
    return [
        passage
        for document in documents.all[::every]
        for passage in passages_of(document, documents.name)
    ]


def _blocks(documents: Documents) -> Iterator[list[Passage]]:
    """The passages of whole documents, as many as are embedded and written at a time."""
    block = list[Passage]()
    for document in documents.all:
        block += passages_of(document, documents.name)
        if len(block) >= _BLOCK:
            yield block
            block = []
    if block:
        yield block


async def _carried(change: Change, live: View) -> AsyncIterator[list[Passage]]:
    """The passages of the live version that the source has no say in, for an index beside it: those
    of other sources, and of documents that could not be read now. As nobody knows how they would be
    cut now, their digest is none, and their next ingest makes them anew."""
    after = 0
    while rows := await fetch(
        "read_passages",
        {
            "index": live.index,
            "version": live.version,
            "source": change.documents.name,
            "documents": list(change.unread),
            "after": after,
            "most": _BLOCK,
        },
    ):
        after = rows[-1].pop("id")
        yield [Passage(**{**row, "digest": b""}) for row in rows]


async def _rows(passages: Sequence[Passage], mean: float) -> list[_Row]:
    if not passages:
        return []
    found = await vectors([passage.whole for passage in passages], quiet=True)
    pairs = zip(passages, found, strict=True)
    return await asyncio.to_thread(lambda: [_row(each, vector, mean) for each, vector in pairs])


async def _write(rows: Sequence[_Row], index: int, version: int) -> None:
    if not rows:
        return
    async with (
        transaction() as connection,
        connection.cursor().copy(statement("copy_passages", index=index)) as copy,
    ):
        copy.set_types(_COLUMNS)
        for row in rows:
            await copy.write_row((index, version, *row))


def _row(passage: Passage, vector: "np.ndarray", mean: float) -> _Row:
    return (
        passage.source,
        passage.document,
        passage.digest,
        passage.number,
        passage.context,
        passage.text,
        Jsonb(passage.fields),
        HalfVector(vector),
        TsVector(passage.lexemes),
        SparseVector(passage_weights(passage.lexemes, mean), DIMENSIONS),
    )


async def _complete(change: Change, version: int, index: int, dimensions: int) -> None:
    """End what the version no longer has, make it quick to search, and count what it holds."""
    if change.index == index:
        ended = {"index": index, "version": version, "documents": list(change.ended)}
        await fetch("end_documents", ended)
    else:  # its indexes are made now, in one go: quicker than row by row
        await fetch("attach_passages", index=index)
    async with transaction() as connection:
        counted = await connection.execute(statement("count_passages", index=index))
        [row] = await counted.fetchall()
        memory = min(max(row["passages"] * (2 * dimensions + _LINKS), _LEAST_MEMORY), _MOST_MEMORY)
        await connection.execute(queries()["give_memory"], {"memory": f"{memory // 1024}kB"})
        await connection.execute(statement("index_embeddings", index=index, dimensions=dimensions))
        await connection.execute(queries()["forget_lexemes"], {"index": index})
        await connection.execute(statement("count_lexemes", index=index))
        await connection.execute(statement("measure_version", index=index), {"version": version})
    await fetch("analyze_passages", index=index)


async def _shares_found(view: View, pinned: PinnedQuestions) -> dict[str, float]:
    """Of each pinned question's documents, the share that is found."""
    shares = dict[str, float]()
    for question, documents in pinned.items():
        vector = await question_vector(view, question)
        found = await documents_found(view, question, vector, k=_AMONG)
        shares[question] = recall_at(_AMONG, found, documents)
    return shares
