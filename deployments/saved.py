"""Saved workflows as deployments: each has its form in the UI, and runs at its time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from prefect.client.orchestration import get_client

from deployments.declaration import Declaration, Schedule
from infra.errors import DatabaseError
from tasks.saved_workflows import SavedWorkflow, saved_workflows

_PAUSE = 5.0  # seconds between two looks at what was saved
_SLUG = "saved"  # of the schedule that `patterns workflow schedule` makes
_ENTRYPOINT = "flows.controller.run_workflow"


def declaration_of(saved: SavedWorkflow) -> Declaration:
    """The deployment that a saved workflow is, its parameters as they usually are, or as they were
    scheduled."""
    defaults = {name: param.default for name, param in saved.workflow.params.items()}
    given = {name: value for name, value in defaults.items() if value is not None}
    when = saved.schedule
    if when:
        given |= when.params
    schedules = [Schedule(slug=_SLUG, cron=when.cron, timezone=when.timezone)] if when else []
    return Declaration(
        name=saved.name,
        entrypoint=_ENTRYPOINT,
        description=saved.workflow.goal,
        tags=["workflow"],
        parameters={"request": {"name": saved.name, "params": given}},
        schedules=schedules,
    )


async def drop_schedule(declared: Declaration) -> None:
    """Take the schedule off a deployment that has none any more: to declare none leaves it there.
    Those that people have made in the UI stay."""
    if declared.schedules:
        return
    async with get_client() as client:
        known = await client.read_deployment_by_name(f"{declared.load().name}/{declared.name}")
        for each in known.schedules:
            if each.slug == _SLUG:
                await client.delete_deployment_schedule(known.id, each.id)


async def follow_workflows(add: Callable[[Declaration], Awaitable[None]]) -> None:
    """Add every saved workflow, now and whenever one is saved or scheduled, until cancelled."""
    known = dict[str, Declaration]()
    while True:
        try:
            found = [declaration_of(each) for each in await _saved()]
        except DatabaseError as error:
            logging.getLogger("prefect").warning("Saved workflows cannot be read: %s", error)
        else:
            for each in found:
                if known.get(each.name) != each:
                    await add(each)
                    known[each.name] = each
        await asyncio.sleep(_PAUSE)


async def _saved() -> list[SavedWorkflow]:
    """Those that people have saved; the project's own skeletons are run by `run-workflow`."""
    return [each for each in (await saved_workflows()).values() if each.saved_by is not None]
