"""Shards of a map: runs of the deployment ``read-shard`` on the workers of a pool, which help a run
to read. Whatever becomes of them, the run itself reads what they leave."""

from collections.abc import Sequence
from uuid import UUID

from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus
from prefect.client.schemas.objects import FlowRun, State, WorkerStatus
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.runtime import flow_run as runtime
from prefect.states import Cancelled
from prefect.utilities.urls import url_for
from pydantic import BaseModel, ConfigDict, Field

from infra.budget import Budget
from infra.shared_budget import SharedBudget
from infra.slots import return_slots
from tasks.facts import PROMPT
from tasks.progress import Progress
from tasks.reading import Batch
from tasks.shared_reading import (
    SHARD,
    followed,
    given_up,
    passing,
    read_shared,
    share,
    unshare,
)
from tasks.steps import current_root_run

POOL = "patterns"
DEPLOYMENT = "read-shard/read-shard"
NOBODY = (
    f"No worker serves the pool {POOL}: the run reads alone until one comes. Start some, here or "
    "on other machines, with `patterns worker`."
)
_NOTHING = (
    "Nothing was left to read. If that run was still reading, this worker has another database "
    "than it: compare PATTERNS_DATABASE_URL."
)
_STARTS = 5  # of one shard of one run, which may itself be started anew


class Shard(BaseModel):
    """A run whose passages are to be read, and what it may cost in all. It holds no text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: UUID = Field(description="Id of the summary's run.", json_schema_extra={"position": 0})
    max_cost: float | None = Field(
        None,
        gt=0,
        description="Most USD that it and its shards cost.",
        json_schema_extra={"position": 1},
    )

    @property
    def prompts(self) -> tuple[str, ...]:
        """Names of the prompts that it takes."""
        return (PROMPT,)

    def budget(self) -> Budget:
        """What the run may use, with all its shards."""
        return SharedBudget(self.max_cost) if self.max_cost else Budget()


class ShardRead(BaseModel):
    """What a shard did: how many passages it has read."""

    model_config = ConfigDict(frozen=True)

    passages: int


async def read_in_shards(
    batches: Sequence[Batch], shards: int, max_cost: float | None, following: Progress
) -> dict[str, str]:
    """Read batches together with so many shards; passages given up -> why.

    Nothing waits for a shard: one that is late, dead, or set up otherwise than the run costs some
    time, and no passage. Raises what `tasks.shared_reading.read_shared` raises.
    """
    run = current_root_run()
    await share(run, batches)
    started: list[UUID] = []
    try:
        with passing("Shards cannot be started now, so the run reads alone"):
            if not await is_served():
                get_run_logger().warning("%s", NOBODY)
            started += await start(Shard(run=run, max_cost=max_cost), min(shards, len(batches)))
        async with followed(run, following):
            await read_shared(run, to_the_end=True)
        return await given_up(run)
    finally:
        await unshare(run)
        with passing("Shards that wait cannot be cancelled now: they will find nothing to read"):
            await end_those_that_never_began(started)


async def help_to_read(shard: Shard) -> ShardRead:
    """Read what nobody reads of a run's passages, and say on this run's page how many those were.

    Raises what `tasks.shared_reading.read_shared` raises.
    """
    try:
        read = ShardRead(passages=await read_shared(shard.run))
    finally:
        await return_slots()
    page = url_for("flow-run", shard.run)
    nothing = "" if read.passages else f"\n\n{_NOTHING}"
    await acreate_markdown_artifact(
        f"{read.passages} passages read for [a summary]({page}).{nothing}", key="shard"
    )
    return read


async def is_served() -> bool:
    """Whether a worker is there who takes shards."""
    there = WorkerFilter(status=WorkerFilterStatus(any_=[WorkerStatus.ONLINE]))
    async with get_client() as client:
        try:
            return bool(await client.read_workers_for_work_pool(POOL, worker_filter=there, limit=1))
        except ObjectNotFound:
            return False


async def start(shard: Shard, shards: int) -> list[UUID]:
    """Start shards, each once, however often its run is started; ids of their runs, none where
    the deployment was never registered."""
    async with get_client() as client:
        try:
            deployment = await client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            return []
        return [
            (await _start_one(client, deployment.id, shard, n)).id for n in range(1, shards + 1)
        ]


async def _start_one(client: PrefectClient, deployment: UUID, shard: Shard, n: int) -> FlowRun:
    """Shard number n: one that is under way, or a new one where the last has ended."""
    for times in range(1, _STARTS + 1):
        run = await arun_deployment(
            deployment,
            client=client,
            parameters={"request": shard.model_dump(mode="json")},
            flow_run_name=f"{runtime.name}-shard-{n}",
            tags=[SHARD],
            idempotency_key=f"{shard.run}-{SHARD}-{n}-{times}",
            as_subflow=False,  # a parent that starts anew would take its results by their order
            timeout=0,
        )
        if not (run.state and run.state.is_final()):
            break
    return run


async def end_those_that_never_began(runs: Sequence[UUID]) -> None:
    """Cancel the shards that no worker has taken: they would wait for ever."""
    async with get_client() as client:
        for run in runs:
            found = await client.read_flow_run(run)
            if found.state and (found.state.is_scheduled() or found.state.is_pending()):
                ended: State[None] = Cancelled(message="There is nothing left to help with.")
                await client.set_flow_run_state(run, ended, force=True)
