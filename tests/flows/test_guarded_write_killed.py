"""A run of change-records that is killed at each of its steps in turn, and started again."""

import asyncio
import json
import os
import signal
import sys
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.states import Pending

from flows.guarded_write import change_records
from tasks.change_application import changes
from tasks.change_requests import ChangeRequest
from tasks.decisions import decide
from tasks.reviews import reviews
from tests.endpoint import ScriptedEndpoint
from tests.flows.test_guarded_write import CREDIT
from tests.tasks.guarded_records import everything, guarded
from tests.tasks.kept_reviews import approval

REQUEST = ChangeRequest(request="Give Brackenfield 65", requester="Zoe")
# Dies before or after the step that it is told.
RUN = """
import asyncio, importlib, os, signal, sys
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from flows.guarded_write import change_records
from tasks import review_output

review_output.POLL_SECONDS, review_output.HEARTBEAT = 0.1, 0.2
where, name, when = sys.argv[2:5]
module = importlib.import_module(where)
step = getattr(module, name)

async def dying(*a, **k):
    if when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    done = await step(*a, **k)
    os.kill(os.getpid(), signal.SIGKILL)
    return done

if when != "never":
    setattr(module, name, dying)

async def main():
    async with get_client() as client:
        run = await client.read_flow_run(sys.argv[1])
    await run_flow(change_records, flow_run=run, parameters=run.parameters)

asyncio.run(main())
"""
STEPS = [
    ("tasks.change_proposals", "ask"),
    ("tasks.change_requests", "propose"),
    ("tasks.change_requests", "rehearse"),
    ("tasks.review_output", "open_review"),
    ("tasks.review_output", "apause_flow_run"),
    ("tasks.change_requests", "apply_changes"),
    ("tasks.change_report", "read_change"),
]


async def is_paused(run: UUID) -> bool:
    async with get_client() as client:
        now = (await client.read_flow_run(run)).state
    return bool(now and now.is_paused())


async def attempt(run: UUID, where: str, name: str, when: str) -> int:
    """Start the run in a process of its own, approve what it waits for, and wait for its end."""
    async with get_client() as client:
        await client.set_flow_run_state(run, Pending(), force=True)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUN, str(run), where, name, when),
        env=os.environ,
        stderr=asyncio.subprocess.PIPE,
    )
    ended = asyncio.create_task(process.communicate())
    while not ended.done():
        await asyncio.sleep(0.2)
        for review in await reviews() if await is_paused(run) else []:
            await decide(review.id, approval(review))
    _, said = await ended
    assert process.returncode in (0, -signal.SIGKILL), said.decode()
    return int(process.returncode or 0)


async def test_a_run_that_is_killed_at_each_step_in_turn_changes_its_records_once(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    await guarded(database)
    untouched = everything(database)
    endpoint.answer = lambda body, n: json.dumps({"changes": [CREDIT]})
    async with get_client() as client:
        run = await client.create_flow_run(
            change_records, parameters={"request": REQUEST.model_dump()}
        )
    for where, name in STEPS:
        # Before a step is after the one before it.
        for when in ("before", "after") if (where, name) == STEPS[0] else ("after",):
            assert await attempt(run.id, where, name, when) == -signal.SIGKILL, (name, when)
            applied = name == "read_change" or (name, when) == ("apply_changes", "after")
            assert len(await changes()) == applied
            assert (everything(database) == untouched) == (not applied)
    assert await attempt(run.id, "tasks.change_report", "read_change", "never") == 0
    [change] = await changes()
    assert change.cells[0].after == "65.00"
    assert len(endpoint.answered) <= 2  # the reply that was on its way when the process died
    async with get_client() as client:
        done = await client.read_flow_run(run.id)
    assert done.state is not None
    assert done.state.is_completed()
