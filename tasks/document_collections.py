"""Collections: documents that are searched together, in versions of which one is live."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from infra.errors import InputError
from infra.postgres import alone, fetch, statement, transaction
from infra.sql import queries
from tasks.suggestions import did_you_mean


def _name(given: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,100}", given):
        told = {"given": repr(given[:100])}
        rule = "{given} is no name: up to 100 letters, digits, and _ . - in between"
        raise PydanticCustomError("collection_name", rule, told)
    return given


Name = Annotated[str, AfterValidator(_name), Field(description="Name of the collection.")]
PinnedQuestions = Mapping[str, Sequence[str]]
"""Questions, each with the ids of the documents that answer it."""


class View(BaseModel):
    """One version of a collection, as a search sees it.

    ``index``: where its passages lie, which were cut as ``cut`` says and embedded by ``embedder``
    into ``dimensions`` numbers; ``mean_lexemes``: of a passage, when the index was made.
    ``fields``: by which a search may be filtered.
    """

    model_config = ConfigDict(frozen=True)

    collection: int
    name: str
    version: int
    index: int
    embedder: str
    cut: str
    dimensions: int
    mean_lexemes: float
    documents: int
    passages: int
    fields: tuple[str, ...]


class Version(BaseModel):
    """What a collection held after an ingest. ``state``: building, good, or refused because fewer
    pinned questions found their documents; ``recall``: of these, None without any."""

    model_config = ConfigDict(frozen=True)

    version: int
    state: str
    live: bool
    documents: int | None
    passages: int | None
    recall: float | None
    embedder: str
    made_at: datetime


class Kept(BaseModel):
    """A collection and what is live of it, if anything is."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: int | None
    documents: int | None
    passages: int | None
    recall: float | None
    embedder: str | None
    made_at: datetime | None


async def list_collections() -> list[Kept]:
    """All collections, by name."""
    return [Kept(**row) for row in await fetch("list_collections")]


async def live_view(name: str) -> View:
    """What is searched in a collection now. Raises InputError when there is nothing yet."""
    view = await current_view(name)
    if view is None:
        raise await _unknown(name)
    return view


async def current_view(name: str) -> View | None:
    """What is searched in a collection now, or None when there is nothing yet."""
    rows = await fetch("read_view", {"name": name, "version": None})
    return View(**rows[0]) if rows else None


async def view_of(name: str, version: int) -> View:
    """A version of a collection. Raises InputError for one that is not kept."""
    rows = await fetch("read_view", {"name": name, "version": version})
    if not rows:
        raise InputError(f"The collection {name} has no version {version}.")
    return View(**rows[0])


async def kept_views(name: str) -> list[View]:
    """The good version before the live one, if it is kept, and the live one."""
    live = await live_view(name)
    [row] = await fetch("earlier_good_version", {"name": name})
    return [*([await view_of(name, row["version"])] if row["version"] else []), live]


@task(name="read versions", cache_policy=NO_CACHE, persist_result=False)
async def read_kept_views(name: str) -> list[View]:
    """`kept_views` as a task."""
    return await kept_views(name)


async def versions_of(name: str) -> list[Version]:
    """The kept versions, the oldest first. Raises InputError for a collection that is not there."""
    found = await fetch("list_versions", {"name": name})
    if not found:
        raise await _unknown(name)
    return [Version(**row) for row in found]


async def rollback(name: str) -> View:
    """Make the good version before the live one live again. The next ingest starts from it.

    Raises InputError when there is none.
    """
    async with alone(collection_lock(name)):
        live = await live_view(name)
        [row] = await fetch("earlier_good_version", {"name": name})
        if row["version"] is None:
            raise InputError(f"The collection {name} has no good version before {live.version}.")
        await fetch("go_live", {"collection": live.collection, "version": row["version"]})
        return await live_view(name)


async def pin(name: str, questions: PinnedQuestions) -> int:
    """Pin questions: an ingest goes live only when it finds their documents as well as before.

    How many are pinned now. Raises InputError for a document that the collection does not have.
    """
    view = await live_view(name)
    wanted = {document for documents in questions.values() for document in documents}
    missing = sorted(wanted - await documents_there(view, wanted))
    if missing:
        raise InputError(
            f"The collection {name} has no document {', '.join(map(repr, missing[:5]))}"
            f"{' …' if len(missing) > 5 else ''}. Pinned questions name documents that answer them."
        )
    async with transaction() as connection:
        for question, documents in questions.items():
            await connection.execute(
                queries()["pin_question"],
                {
                    "collection": view.collection,
                    "question": question,
                    "documents": list(documents),
                },
            )
    return len(await pinned_questions(view.collection))


async def documents_there(view: View, ids: Collection[str]) -> set[str]:
    """Those of the ids that are documents of the version."""
    place = {"index": view.index, "version": view.version, "documents": sorted(ids)}
    return {row["document"] for row in await fetch("documents_there", place)}


async def unpin(name: str, questions: Sequence[str]) -> int:
    """Forget pinned questions, all of them when none is named. How many were pinned."""
    view = await live_view(name)
    pinned = await pinned_questions(view.collection)
    if unknown := [question for question in questions if question not in pinned]:
        raise InputError(
            f"{unknown[0]!r} is not pinned in {name}.{did_you_mean(unknown[0], pinned)}"
        )
    chosen = list(questions) or list(pinned)
    await fetch("unpin_questions", {"collection": view.collection, "questions": chosen})
    return len(chosen)


async def pinned_questions(collection: int) -> PinnedQuestions:
    """The pinned questions of a collection, with the documents that answer them."""
    rows = await fetch("pinned_questions", {"collection": collection})
    return {row["question"]: row["documents"] for row in rows}


async def remove(name: str) -> None:
    """Remove a collection with all its versions and pinned questions. Vectors stay kept by content.

    Raises InputError for one that is not there.
    """
    async with alone(collection_lock(name)), transaction() as connection:
        found = await connection.execute(queries()["indexes_of_collection"], {"name": name})
        indexes = [row["index"] for row in await found.fetchall()]
        for index in indexes:
            await connection.execute(statement("drop_passages_of_index", index=index))
        gone = await connection.execute(queries()["remove_collection"], {"name": name})
        if not gone.rowcount:
            raise await _unknown(name)


def collection_lock(name: str) -> str:
    """What `infra.postgres.alone` is given by whoever changes which passages a collection has."""
    return f"collection {name}"


async def _unknown(name: str) -> InputError:
    names = [each.name for each in await list_collections() if each.version is not None]
    if not names:
        return InputError(
            f"There is no collection {name!r}, nor any other. Make one: "
            f"patterns ingest SOURCE --collection {name}"
        )
    near = did_you_mean(name, names)
    return InputError(
        f"There is nothing to search in a collection {name!r}.{near} There are: {', '.join(names)}."
    )
