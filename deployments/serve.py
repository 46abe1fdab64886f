"""`python -m deployments.serve PORT`: serve every deployment that `prefect.yaml` declares, every
workflow that was saved, and the background tasks.

It fails at once when an entrypoint or a task does not import or a declaration has a field that
nobody reads.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments import arun_deployment
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.runner import Runner
from prefect.task_worker import TaskWorker
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker

from deployments.declaration import Declaration, Schedule
from deployments.saved import drop_schedule, follow_workflows
from infra.llm import close_door
from tasks.answering import answer_in_background
from tasks.reviews import reviews

BACKGROUND_TASKS = (answer_in_background,)
_TEND = "tend-reviews/tend-reviews"
_AT_ONCE = 64  # background tasks; how many ask a model at once is decided elsewhere
_POOL_RUNS = 64  # of a pool at once, as it is made
_PAUSE = 1.0  # seconds before a broken subscription is made anew


def declarations() -> list[Declaration]:
    """What `prefect.yaml` declares. Raises ValidationError for a field that is not known here."""
    source = files(__package__).joinpath("prefect.yaml").read_text(encoding="utf-8")
    return [Declaration.model_validate(entry) for entry in yaml.safe_load(source)["deployments"]]


async def switches(declared: Declaration) -> dict[str, bool]:
    """The schedules of a deployment on the server, on or off, by slug; none for a new one."""
    async with get_client() as client:
        try:
            name = f"{declared.load().name}/{declared.name}"
            known = await client.read_deployment_by_name(name)
        except ObjectNotFound:
            return {}
    return {schedule.slug: schedule.active for schedule in known.schedules if schedule.slug}


async def deployment_of(
    declared: Declaration, switched: Mapping[str, bool] = MappingProxyType({})
) -> RunnerDeployment:
    """What Prefect's runner serves. ``switched``: schedules that people have put on or off."""
    return await declared.load().ato_deployment(
        name=declared.name,
        description=declared.description,
        tags=declared.tags,
        parameters=declared.parameters,
        schedules=[_schedule(each, switched) for each in declared.schedules],
        concurrency_limit=declared.concurrency_limit,
        work_pool_name=declared.work_pool.name if declared.work_pool else None,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


async def register_pooled() -> None:
    """Register the deployments that run on workers, and make their pools. A pool that is there
    stays as people have put it in the UI."""
    for each in declarations():
        if each.work_pool:
            await _ensure_pool(each.work_pool.name)
            await (await deployment_of(each, await switches(each))).aapply()


async def serve(port: int) -> None:
    """Register all deployments and run what is triggered or scheduled, until told to stop.

    Once they are registered, the port on loopback answers any HTTP request. A schedule stays on or
    off as it was put in the UI. Schedules go on while nobody serves: what is due then runs late.
    """
    declared = [each for each in declarations() if each.work_pool is None]
    deployments = [await deployment_of(each, await switches(each)) for each in declared]
    runner = Runner(name="patterns", pause_on_shutdown=False)
    for deployment in deployments:
        await runner.aadd_deployment(deployment)
    await register_pooled()

    async def add(declared: Declaration) -> None:
        await runner.aadd_deployment(await deployment_of(declared, await switches(declared)))
        await drop_schedule(declared)

    # What people decided while nobody served is heard of now, not at the next quarter of an hour.
    if await reviews("recent"):
        await arun_deployment(_TEND, timeout=0)
    async with await asyncio.start_server(_say_yes, "127.0.0.1", port), asyncio.TaskGroup() as all_:
        all_.create_task(follow_workflows(add))
        all_.create_task(serve_tasks())
        all_.create_task(runner.start())  # last: both listen to SIGTERM, and it must end its runs


class BackgroundWorker(TaskWorker):
    """Prefect's, which leaves SIGTERM to whoever heard it before: one that is started again would
    else take it from the runner. By itself it exits; Prefect's raises an error instead, which is
    lost where what it interrupts catches errors."""

    def __init__(self, *tasks: Any, limit: int) -> None:
        super().__init__(*tasks, limit=limit)
        self._heard_before = signal.getsignal(signal.SIGTERM)

    def handle_sigterm(self, signum: int, frame: Any) -> None:
        """Called by Python, between two steps of whatever is under way."""
        if callable(self._heard_before):
            self._heard_before(signum, frame)
        else:
            sys.exit(0)


async def serve_tasks() -> None:
    """Run what is asked of the background tasks, until cancelled.

    Prefect's worker gives up when its server goes away in the wrong moment. It is started again:
    the runs of deployments, which are served beside it, must not end with it.
    """
    try:
        while True:
            try:
                await BackgroundWorker(*BACKGROUND_TASKS, limit=_AT_ONCE).astart()
            except Exception:
                logging.getLogger("prefect").exception("The task worker broke and starts again.")
                await asyncio.sleep(_PAUSE)
    finally:
        await close_door()


async def _ensure_pool(name: str) -> None:
    pool = WorkPoolCreate(
        name=name,
        description="Workers that help with large runs: `patterns worker`.",
        type=ProcessWorker.type,
        base_job_template=ProcessWorker.get_default_base_job_template(),
        concurrency_limit=_POOL_RUNS,
    )
    async with get_client() as client:
        with suppress(ObjectAlreadyExists):
            await client.create_work_pool(pool)


async def _say_yes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
    writer.close()


def _schedule(declared: Schedule, switched: Mapping[str, bool]) -> DeploymentScheduleCreate:
    return DeploymentScheduleCreate(
        schedule=CronSchedule(cron=declared.cron, timezone=declared.timezone),
        parameters=declared.parameters,
        slug=declared.slug,
        active=switched.get(declared.slug, declared.active),
    )


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
