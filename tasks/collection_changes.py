"""What an ingest has to do to a collection: what of its documents is new, changed or gone."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from infra.embeddings import embedder_name
from infra.errors import InputError
from infra.postgres import alone, fetch, statement, transaction
from infra.sql import queries
from tasks.document_collections import View, collection_lock, current_view
from tasks.document_passages import CUT
from tasks.documents import Documents


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
