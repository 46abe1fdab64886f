"""Tickets that are forgotten, taken out of what Prefect keeps of runs: parameters, forms and their
answers, artifacts, stored results.

What Prefect stores of results only saves time: a run that goes on makes them anew, or finds them in
our own steps.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect import task
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import Artifact, FlowRun, StateType
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from prefect.settings import get_current_settings

from infra.prefect_events import empty_events
from infra.settings import get_settings
from infra.signs_of_life import LEASE, Sign, signs_of_life
from infra.storage import writing
from tasks.forgetting import Forgetting
from tasks.review_wakeup import wake
from tasks.reviews import reviews
from tasks.runs import RETRIED
from tasks.steps import current_root_run
from tasks.traces import Traces

_PAGE = 200  # most that Prefect's server gives at once
_PAUSE = 1.0  # seconds between two looks at the runs that are under way
_WRITTEN = 6.0  # seconds after which Prefect's server has written the events that it was told of
_FORM = "-description"  # end of the key under which the text above a form is kept
_EMPTIED = "What stood here was forgotten. See `patterns review list`."


@dataclass
class FoundInRuns:
    """What was found in runs. ``folders``: those that runs were told to write their reports to."""

    removed: dict[str, int] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)

    def count(self, place: str, number: int = 1) -> None:
        """Note pieces that were removed."""
        self.removed[place] = self.removed.get(place, 0) + number


@task(name="wait for runs that are under way", **RETRIED)
async def wait_for_runs(since: datetime, minutes: float) -> list[str]:
    """Wait until the runs have ended that were under way already, and may know the text; the names
    of those that have not after so many minutes."""
    async with get_client() as client:
        for _ in range(1 + int(60 * minutes / _PAUSE)):
            if not (names := await _under_way(client, since)):
                return []
            await asyncio.sleep(_PAUSE)
    return names


@task(name="forget in Prefect", **RETRIED)
async def forget_in_prefect(forgetting: Forgetting) -> FoundInRuns:
    """Take words out of parameters, drop the forms and their answers, artifacts and results that
    have some, and wake the runs that wait for a review that has ended with it."""
    found = FoundInRuns()
    for review in await reviews("recent"):
        if review.forgotten and review.outcome:
            await wake(review)
    async with get_client() as client:
        async for run in _runs(client):
            await _forget_in_run(client, run, forgetting, found)
        async for artifact in _artifacts(client, forgetting):
            # Not deleted: of that Prefect would keep an event with all that it said.
            nothing = ArtifactUpdate(data=_EMPTIED, description=None)
            await client.update_artifact(artifact.id, nothing)
            found.count("artifacts")
    found.count("results", await asyncio.to_thread(_drop_results, forgetting.own))
    return found


@task(name="forget in events", **RETRIED)
async def forget_in_events(forgetting: Forgetting) -> dict[str, int]:
    """Take what artifacts said out of the events of our Prefect server; how many. Another server
    forgets its events by itself, after a week, if it is not told otherwise."""
    if forgetting.runs:
        await asyncio.sleep(_WRITTEN)
    count = await asyncio.to_thread(
        empty_events,
        get_settings().home,
        str(get_current_settings().api.url),
        forgetting.runs,
        forgetting.own.patterns(),
        forgetting.own.are_in,
    )
    return {"events": count or 0}


async def _forget_in_run(
    client: PrefectClient, run: FlowRun, forgetting: Forgetting, found: FoundInRuns
) -> None:
    told = run.parameters.get("request")
    if isinstance(told, dict) and isinstance(told.get("out"), str):
        found.folders.append(Path(told["out"]))
    has_read = run.id in forgetting.runs
    words = forgetting.words if has_read else forgetting.own
    left = words.taken_from(run.parameters)
    if left != run.parameters:
        await client.update_flow_run(run.id, parameters=left)
        found.count("parameters")
    ended = run.state is None or run.state.is_final()
    if has_read:
        found.count("forms", await _empty_forms(client, run, words, ended=ended))
        found.count("results", await asyncio.to_thread(_drop_result, run))


async def _empty_forms(client: PrefectClient, run: FlowRun, words: Traces, *, ended: bool) -> int:
    """Empty the forms of a run with words, and of one that has ended all of them."""
    kept = await client.filter_flow_run_input(
        run.id, key_prefix="", limit=_PAGE, exclude_keys=set()
    )
    chosen = [
        each
        for each in kept
        if _EMPTIED not in each.value
        and not each.key.endswith("-schema")
        and (ended or words.are_in(each.value))
    ]
    for each in chosen:
        await client.delete_flow_run_input(run.id, each.key)
        if each.key.endswith(_FORM):
            await client.create_flow_run_input(run.id, each.key, json.dumps(_EMPTIED))
    return len(chosen)


async def _runs(
    client: PrefectClient, chosen: FlowRunFilter | None = None
) -> AsyncIterator[FlowRun]:
    offset = 0
    while page := await client.read_flow_runs(
        flow_run_filter=chosen, limit=_PAGE, offset=offset, sort=FlowRunSort.ID_DESC
    ):
        for run in page:
            yield run
        offset += len(page)


async def _artifacts(client: PrefectClient, forgetting: Forgetting) -> AsyncIterator[Artifact]:
    """The artifacts of runs that have read the tickets, and others with their words."""
    offset = 0
    while page := await client.read_artifacts(
        limit=_PAGE, offset=offset, sort=ArtifactSort.ID_DESC
    ):
        for each in page:
            said = f"{each.description} {each.data}"
            if each.type == "progress" or each.data == _EMPTIED:
                continue
            if each.flow_run_id in forgetting.runs or forgetting.own.are_in(said):
                yield each
        offset += len(page)


async def _under_way(client: PrefectClient, since: datetime) -> list[str]:
    # No other forgetting, as there is one at a time; and none whose process is gone.
    ours = (await client.read_flow_run(current_root_run())).flow_id
    at_work = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    )
    runs = {
        run.id: run
        async for run in _runs(client, at_work)
        if run.flow_id != ours and (run.start_time or datetime.now(UTC)) < since
    }
    signs = await signs_of_life(runs)
    return [run.name for run in runs.values() if _is_at_work(run, signs.get(run.id))]


def _is_at_work(run: FlowRun, sign: Sign | None) -> bool:
    """Whether a run that counts as running may be. The first sign is given soon after it began."""
    if sign:
        return sign.fresh
    begun = run.start_time or datetime.now(UTC)
    return datetime.now(UTC) - begun < timedelta(seconds=LEASE)


def _drop_result(run: FlowRun) -> int:
    """Drop the stored result of a run, where this machine has it."""
    key = getattr(run.state.data, "storage_key", None) if run.state else None
    if not key:
        return 0
    file = _stored() / key
    there = file.is_file()
    with writing(file.parent):
        file.unlink(missing_ok=True)
    return int(there)


def _drop_results(own: Traces) -> int:
    """Drop the stored results, and parameters of tasks in the background, that have words."""
    chosen = [each for each in _stored().rglob("*") if each.is_file() and own.are_in(_said(each))]
    for each in chosen:
        with writing(each.parent):
            each.unlink()
    return len(chosen)


def _said(file: Path) -> str:
    """What a stored result says, as it is and as it was before it was packed: Prefect pickles it,
    and keeps that in base 64, alone or in JSON with what it knows of it."""
    text = file.read_text(encoding="utf-8", errors="replace")
    with suppress(ValueError):
        record = json.loads(text)
        packed = record.get("result") if isinstance(record, dict) else None
        return f"{text} {_unpacked(str(packed))}"
    return f"{text} {_unpacked(text)}"


def _unpacked(text: str) -> str:
    try:
        return base64.b64decode(text).decode(errors="replace")
    except ValueError:
        return ""


def _stored() -> Path:
    return Path(get_current_settings().results.local_storage_path)
