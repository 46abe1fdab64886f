"""A run that dies in the midst of its work, in a process of its own each time."""

import asyncio
import os
import signal
import sys
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.states import Pending

from tasks.decisions import decide
from tasks.reviews import reviews
from tests.tasks.kept_reviews import approval

_RUN = """
import asyncio, importlib, os, signal, sys
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from tasks import review_output

review_output.POLL_SECONDS, review_output.HEARTBEAT = 0.1, 0.2
run_id, flow_module, flow_name, *told = sys.argv[1:]

def die():
    os.kill(os.getpid(), signal.SIGKILL)
{dying}
async def main():
    async with get_client() as client:
        run = await client.read_flow_run(run_id)
    flow = getattr(importlib.import_module(flow_module), flow_name)
    await run_flow(flow, flow_run=run, parameters=run.parameters)

asyncio.run(main())
"""
# Told how many, it keeps so many new steps, and dies when another one is done but not kept yet.
UNKEPT = """
from tasks import steps

fetch, left, under_way = steps.fetch, int(told[0]), 0

async def dying(statement, *a, **k):
    global left, under_way
    if statement != "keep_step":
        return await fetch(statement, *a, **k)
    if not left:
        while under_way:  # another step, done at the same time, is being kept
            await asyncio.sleep(0.01)
        die()
    left, under_way = left - 1, under_way + 1
    try:
        return await fetch(statement, *a, **k)
    finally:
        under_way -= 1

steps.fetch = dying
"""
# Told the module and name of a function, it dies before or after that.
AT = """
where, name, when = told
module = importlib.import_module(where)
step = getattr(module, name)

async def dying(*a, **k):
    if when == "before":
        die()
    done = await step(*a, **k)
    die()

setattr(module, name, dying)
"""
NEVER = ""


async def attempt(run: UUID, flow: str, dying: str, *told: str) -> bool:
    """Start a run in a process of its own, and approve what it waits for; whether it came to its
    end. ``flow``: module.name; ``dying``: when it dies, and ``told`` the details."""
    async with get_client() as client:
        await client.set_flow_run_state(run, Pending(), force=True)
    code = _RUN.replace("{dying}", dying)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, str(run), *flow.rsplit(".", 1), *told),
        env=os.environ,
        stderr=asyncio.subprocess.PIPE,
    )
    ended = asyncio.create_task(process.communicate())
    while not ended.done():
        await asyncio.sleep(0.1)
        for review in await reviews() if await _is_paused(run) else []:
            await decide(review.id, approval(review))
    _, said = await ended
    assert process.returncode in (0, -signal.SIGKILL), said.decode()
    return process.returncode == 0


async def _is_paused(run: UUID) -> bool:
    async with get_client() as client:
        now = (await client.read_flow_run(run)).state
    return bool(now and now.is_paused())
