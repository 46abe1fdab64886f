"""Saved workflows as deployments."""

import asyncio
from datetime import UTC, datetime

import pytest

from deployments import saved
from deployments.declaration import Declaration
from deployments.saved import declaration_of, follow_workflows
from tasks.saved_workflows import (
    SavedWorkflow,
    Schedule,
    parse_workflow,
    save_workflow,
    schedule_workflow,
    unschedule_workflow,
)
from tests.flows.test_controller import SAVED

WORKFLOW = parse_workflow(SAVED, "a file")


def one(schedule: Schedule | None = None) -> SavedWorkflow:
    return SavedWorkflow(
        name="listed",
        workflow=WORKFLOW,
        saved_by="Zoe",
        saved_at=datetime.now(UTC),
        schedule=schedule,
    )


def test_a_saved_workflow_is_a_deployment_with_its_usual_parameters() -> None:
    declared = declaration_of(one())
    request = {"name": "listed", "params": {"count": 2, "word": "size"}}
    assert declared.parameters == {"request": request}
    assert (declared.name, declared.schedules) == ("listed", [])
    declared.load().validate_parameters(declared.parameters)


def test_one_that_is_scheduled_runs_then_with_those_of_the_schedule() -> None:
    scheduled = Schedule(cron="0 7 * * 1", timezone="Europe/Vienna", params={"count": 5})
    declared = declaration_of(one(scheduled))
    [when] = declared.schedules
    assert (when.cron, when.timezone) == ("0 7 * * 1", "Europe/Vienna")
    assert declared.parameters["request"]["params"] == {"count": 5, "word": "size"}


async def test_what_is_saved_or_scheduled_meanwhile_is_served_too(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "_PAUSE", 0.05)
    added = list[Declaration]()

    async def add(declared: Declaration) -> None:
        added.append(declared)

    async def until(count: int) -> None:
        async with asyncio.timeout(10):
            while len(added) < count:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.15)
        assert len(added) == count  # each once

    following = asyncio.create_task(follow_workflows(add))
    try:
        await save_workflow("listed", WORKFLOW, "Zoe")
        await until(1)
        await schedule_workflow("listed", "0 7 * * 1", "UTC", {"count": 1}, "Zoe")
        await until(2)
        await unschedule_workflow("listed")
        await until(3)
    finally:
        following.cancel()
    assert [len(each.schedules) for each in added] == [0, 1, 0]
