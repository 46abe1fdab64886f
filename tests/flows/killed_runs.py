"""A run that is killed at each of its steps in turn, in a process of its own each time."""

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

# Keeps so many new steps, and dies when another one is done but not kept yet.
RUN = """
import asyncio, importlib, os, signal, sys
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from tasks import review_output, steps

review_output.POLL_SECONDS, review_output.HEARTBEAT = 0.1, 0.2
module, name, left = sys.argv[2], sys.argv[3], int(sys.argv[4])
fetch = steps.fetch

async def dying(statement, *a, **k):
    global left
    if statement == "keep_step":
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
    return await fetch(statement, *a, **k)

steps.fetch = dying

async def main():
    async with get_client() as client:
        run = await client.read_flow_run(sys.argv[1])
    flow = getattr(importlib.import_module(module), name)
    await run_flow(flow, flow_run=run, parameters=run.parameters)

asyncio.run(main())
"""


async def attempt(run: UUID, flow: str, steps: int) -> bool:
    """Start a run in a process of its own, which dies when so many steps are kept and the next one
    is done, and approve what it waits for; whether it came to its end. ``flow``: module.name."""
    async with get_client() as client:
        await client.set_flow_run_state(run, Pending(), force=True)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUN, str(run), *flow.rsplit(".", 1), str(steps)),
        env=os.environ,
        stderr=asyncio.subprocess.PIPE,
    )
    ended = asyncio.create_task(process.communicate())
    while not ended.done():
        await asyncio.sleep(0.1)
        for review in await reviews():
            await decide(review.id, approval(review))
    _, said = await ended
    assert process.returncode in (0, -signal.SIGKILL), said.decode()
    return process.returncode == 0
