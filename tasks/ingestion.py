"""Documents into a collection: what changed is embedded, and goes live when it is found as well.

An ingest makes a version. Passages of new and changed documents are born with it, those of changed
and removed ones die with it, and until it is live nobody sees any of that: an ingest that was
killed is undone by the next one. With another embedder, or another way to cut, everything is made
anew in an index beside the old one, which serves until the new one is good.
"""

from datetime import UTC, datetime
from statistics import mean
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict, Field

from infra.errors import WorkIncomplete
from infra.postgres import transaction
from infra.sql import queries
from tasks.collection_changes import Change, change_of
from tasks.document_collections import Name, PinnedQuestions, View, pinned_questions
from tasks.documents import DocumentColumns, Documents, load_documents
from tasks.passage_writing import write_passages
from tasks.ranking_metrics import recall_at
from tasks.retrieval import documents_found, question_vector
from tasks.runs import is_transient

_AMONG = 10  # a pinned question must find its documents among so many
_READING: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [1, 5, 15],
    "retry_condition_fn": is_transient,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}


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


async def _shares_found(view: View, pinned: PinnedQuestions) -> dict[str, float]:
    """Of each pinned question's documents, the share that is found."""
    shares = dict[str, float]()
    for question, documents in pinned.items():
        vector = await question_vector(view, question)
        found = await documents_found(view, question, vector, k=_AMONG)
        shares[question] = recall_at(_AMONG, found, documents)
    return shares
