"""Retention: what is old is dropped, so that the platform stays as small as what it is used for.

    runs → steps → ledger → replies → reports → what was dropped

Use it on a schedule (the deployment `apply-retention`, daily, is switched on in the UI). Costs no
call of a model. What waits for a person is kept however old it is.
"""

from importlib import import_module
from pkgutil import iter_modules

from prefect import Flow, flow

import flows
from tasks.retention import (
    Dropped,
    RetentionRequest,
    drop_ledger,
    drop_replies,
    drop_reports,
    drop_runs,
    drop_steps,
    publish_retention,
)
from tasks.runs import charged


@flow(name="apply-retention")
async def apply_retention(request: RetentionRequest) -> Dropped:
    """Drop what is older than the days that it is kept for."""
    async with charged():
        ended = await drop_runs(our_flows(), request.runs)
        dropped = Dropped(
            runs=ended.runs,
            artifacts=ended.artifacts,
            steps=await drop_steps(request.runs),
            ledger=await drop_ledger(request.ledger),
            replies=await drop_replies(),
            reports=await drop_reports(request.reports),
        )
        await publish_retention(dropped, request)
    return dropped


def our_flows() -> list[str]:
    """The names of this project's flows: a server may have runs of others."""
    modules = [import_module(f"flows.{each.name}") for each in iter_modules(flows.__path__)]
    found = (value for module in modules for value in vars(module).values())
    return sorted({each.name for each in found if isinstance(each, Flow)})
