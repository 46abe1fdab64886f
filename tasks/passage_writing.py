"""The passages of a version: cut, embedded, written, and made quick to search."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import chain
from statistics import mean
from typing import TYPE_CHECKING, Any

from infra.embeddings import embedder_name
from infra.errors import SettingsError
from infra.postgres import (
    HalfVector,
    Jsonb,
    SparseVector,
    TsVector,
    fetch,
    statement,
    transaction,
)
from infra.sql import queries
from tasks.collection_changes import Change
from tasks.document_collections import View, view_of
from tasks.document_passages import CUT, Passage, passages_of
from tasks.documents import Documents
from tasks.embedding import require_length, vectors
from tasks.lexemes import DIMENSIONS, passage_weights
from tasks.progress import progress

if TYPE_CHECKING:
    import numpy as np

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
