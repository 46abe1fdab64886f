"""Local runs that wait for a review, and the means to answer their form."""

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun

Form = dict[str, Any]


@dataclass
class WaitingRun:
    """A flow that runs in this process. ``task``: its result."""

    task: asyncio.Task[Any]
    started: list[FlowRun] = field(default_factory=list)

    async def paused(self, key: str) -> FlowRun:
        """The run, once it waits under the key."""
        async with asyncio.timeout(60), get_client() as client:
            while True:
                await asyncio.sleep(0.05)
                if self.task.done():
                    raise AssertionError(f"the run ended: {self.task.exception()}")
                if not self.started:
                    continue
                run = await client.read_flow_run(self.started[0].id)
                now = run.state
                if now and now.is_paused() and now.state_details.pause_key == key:
                    return run

    async def answer(self, key: str, form: Form) -> str:
        """Answer the form of that key; the text that stands above it."""
        run = await self.paused(key)
        async with asyncio.timeout(30), get_client() as client:
            while True:
                resumed = await client.resume_flow_run(run.id, run_input=form)
                if resumed.status.value == "ACCEPT":
                    return await shown(run, key)
                # Prefect stores the form a moment after the state.
                assert "schema not found" in str(resumed.details), resumed.details
                await asyncio.sleep(0.05)


async def shown(run: FlowRun, key: str) -> str:
    """What stands above the form of that key."""
    async with get_client() as client:
        said = await client.read_flow_run_input(run.id, f"paused-{key}-description")
        return str(json.loads(said))


def start(flow: "Flow[..., Any]", *arguments: Any) -> WaitingRun:
    """Run a flow in the background."""
    started: list[FlowRun] = []
    announced = flow.with_options(on_running=[lambda flow, run, state: started.append(run)])
    work: Awaitable[Any] = announced(*arguments)
    return WaitingRun(asyncio.ensure_future(work), started)
