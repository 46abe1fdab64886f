"""What is old is dropped: runs of the server with their artifacts and steps, ledger rows, replies
that may not be given any more, reports.

Never dropped: what waits for a person or may go on, reviews and changes (their chain is only ever
added to), what people have released, and reports that lie elsewhere than in PATTERNS_HOME.
"""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel, ConfigDict, Field

from infra.postgres import fetch
from infra.settings import get_settings
from infra.storage import writing
from tasks.cache_upkeep import drop_unusable
from tasks.markdown import table
from tasks.runs import RETRIED

_PAGE = 200  # runs or artifacts that the server gives out at once
_REPORT = re.compile(r".+-\d{8}-\d{6}-\d{6}$")  # a folder that a run of ours has named


class RetentionRequest(BaseModel):
    """How long things are kept, in days."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: int = Field(
        90,
        ge=1,
        description="Days after its end: a run, its artifacts, logs and durable steps.",
        json_schema_extra={"position": 0},
    )
    ledger: int = Field(
        400,
        ge=1,
        description="Days: rows of the ledger, which costs come from.",
        json_schema_extra={"position": 1},
    )
    reports: int = Field(
        180,
        ge=1,
        description="Days: reports in PATTERNS_HOME/reports.",
        json_schema_extra={"position": 2},
    )


class Dropped(BaseModel):
    """How much of each was dropped."""

    model_config = ConfigDict(frozen=True)

    runs: int
    artifacts: int
    steps: int
    ledger: int
    replies: int
    reports: int


class DroppedRuns(BaseModel):
    """Runs of the server, and artifacts of theirs."""

    model_config = ConfigDict(frozen=True)

    runs: int
    artifacts: int


@task(name="drop runs", **RETRIED)
async def drop_runs(flows: Sequence[str], days: int) -> DroppedRuns:
    """Delete the runs of these flows that ended so many days ago, and what they left behind.

    Other projects' runs on the same server are theirs to keep. What Prefect calls events it drops
    by itself, after PREFECT_SERVER_EVENTS_RETENTION_PERIOD.
    """
    runs = artifacts = 0
    ended = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[*TERMINAL_STATES])),
        end_time=FlowRunFilterEndTime(before_=_before(days)),
    )
    ours = FlowFilter(name=FlowFilterName(any_=[*flows]))
    async with get_client() as client:
        # The artifacts first: a run that is still there when this is killed is found again.
        while found := await _runs(client, ended, ours):
            for run in found:
                artifacts += await _drop_artifacts(client, run)
                await _drop_run(client, run)
            runs += len(found)
    return DroppedRuns(runs=runs, artifacts=artifacts)


@task(name="drop steps", **RETRIED)
async def drop_steps(days: int) -> int:
    """Delete durable steps of so many days ago whose run the server does not have any more: one
    that has failed since may be resumed, and would do all of it again. Steps may be those of any
    flow that has a review."""
    before = _before(days)
    began = FlowRunFilter(start_time=FlowRunFilterStartTime(before_=before))
    async with get_client() as client:
        there = [run.id async for run in _every(client, began)]
    [row] = await fetch("drop_steps", {"before": before, "there": there})
    return int(row["dropped"])


@task(name="drop ledger rows", **RETRIED)
async def drop_ledger(days: int) -> int:
    """Delete ledger rows of so many days ago."""
    [row] = await fetch("drop_ledger", {"before": _before(days)})
    return int(row["dropped"])


@task(name="drop replies", **RETRIED)
async def drop_replies() -> int:
    """Delete kept replies older than PATTERNS_CACHE_DAYS, and damaged ones."""
    return await drop_unusable()


@task(name="drop reports", cache_policy=NO_CACHE, persist_result=False)
async def drop_reports(days: int) -> int:
    """Delete reports of so many days ago in PATTERNS_HOME."""
    folder = get_settings().home / "reports"
    old = await asyncio.to_thread(old_reports, folder, _before(days))
    for report in old:
        with writing(folder):
            await asyncio.to_thread(shutil.rmtree, report)
    return len(old)


def old_reports(folder: Path, before: datetime) -> list[Path]:
    """Reports in a folder, as runs name them, that were last written before a time."""
    if not folder.is_dir():
        return []
    return sorted(
        each
        for each in folder.iterdir()
        if each.is_dir()
        and _REPORT.fullmatch(each.name)
        and datetime.fromtimestamp(each.stat().st_mtime, UTC) < before
    )


def dropped_markdown(dropped: Dropped, request: RetentionRequest) -> str:
    """What was dropped, and what is kept how long, as Markdown."""
    runs = f"{request.runs} days after the run's end"
    rows = [
        ("Runs", f"{dropped.runs:,}", runs),
        ("Artifacts of runs", f"{dropped.artifacts:,}", runs),
        ("Durable steps", f"{dropped.steps:,}", runs),
        ("Ledger rows", f"{dropped.ledger:,}", f"{request.ledger} days"),
        ("Kept replies", f"{dropped.replies:,}", _cache_days()),
        ("Reports", f"{dropped.reports:,}", f"{request.reports} days"),
    ]
    return table(("What", "Dropped", "Kept for"), "lrl", rows)


@task(name="publish retention", cache_policy=NO_CACHE, persist_result=False)
async def publish_retention(dropped: Dropped, request: RetentionRequest) -> None:
    """Leave on the run's page what was dropped."""
    await acreate_markdown_artifact(
        dropped_markdown(dropped, request), key="retention", description="What was old"
    )


def _cache_days() -> str:
    days = get_settings().cache_days
    return "ever (PATTERNS_CACHE_DAYS is unset)" if days is None else f"{days:g} days"


def _before(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


async def _every(client: PrefectClient, which: FlowRunFilter) -> AsyncIterator[FlowRun]:
    start = 0
    while found := await _runs(client, which, start=start):
        for run in found:
            yield run
        start += len(found)


async def _runs(
    client: PrefectClient,
    which: FlowRunFilter,
    of: FlowFilter | None = None,
    start: int = 0,
) -> list[FlowRun]:
    return await client.read_flow_runs(
        flow_filter=of,
        flow_run_filter=which,
        sort=FlowRunSort.ID_DESC,
        limit=_PAGE,
        offset=start,
    )


async def _drop_artifacts(client: PrefectClient, run: FlowRun) -> int:
    dropped = 0
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    while found := await client.read_artifacts(artifact_filter=of_run, limit=_PAGE):
        for artifact in found:
            try:
                await client.delete_artifact(artifact.id)
            except ObjectNotFound:  # somebody else was quicker
                continue
            dropped += 1
    return dropped


async def _drop_run(client: PrefectClient, run: FlowRun) -> None:
    try:
        await client.delete_flow_run(run.id)
    except ObjectNotFound:  # somebody else was quicker, or it went with its parent
        return
