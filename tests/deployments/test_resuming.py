"""`patterns resume`: runs that have failed or died go on."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed, Crashed, Running, Scheduled, State

from flows.controller import pursue_goal
from infra import signs_of_life
from infra.postgres import close_pool, fetch
from infra.settings import get_settings
from tests.deployments.conftest import Command, refused
from tests.endpoint import Body, ScriptedEndpoint, schema_of
from tests.flows.scripted_models import planner
from tests.flows.test_controller import LIST

pytestmark = pytest.mark.usefixtures("database", "prefect_server")

IN_AN_HOUR = Scheduled(
    scheduled_time=datetime.now(UTC) + timedelta(hours=1)
)  # else it is late soon
GOAL = {"goal": "List things", "planning": "free"}


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch, endpoint: ScriptedEndpoint, tmp_path: Path) -> Path:
    monkeypatch.setenv("PATTERNS_TOOLS", '["tests.tasks.sample_tools"]')
    monkeypatch.setenv("SAMPLE_TOOLS_LOG", str(tmp_path / "calls"))
    get_settings.cache_clear()
    return tmp_path / "calls"


def made(state: State[Any] | None = None) -> FlowRun:
    """A run of pursue-goal that nobody is at work on."""

    async def make() -> FlowRun:
        async with get_client() as client:
            run = await client.create_flow_run(pursue_goal, parameters={"request": GOAL})
            if state:
                await client.set_flow_run_state(run.id, state, force=True)
            return run

    return asyncio.run(make())


def state_of(run: UUID) -> str:
    async def read() -> str:
        async with get_client() as client:
            state = (await client.read_flow_run(run)).state
            return state.name if state else ""

    return asyncio.run(read())


def test_a_run_that_failed_goes_on_and_does_nothing_again(
    patterns: Command, endpoint: ScriptedEndpoint, log: Path
) -> None:
    well = planner([LIST], answer="There are three.")

    def ill(body: Body, n: int) -> Any:
        return "no JSON" if (schema_of(body) or {})["title"] == "GoalAnswer" else well(body, n)

    endpoint.answer = ill
    failed = patterns("goal", "List things", "--planning", "free")
    refused(failed, "3 times")
    asked = len(endpoint.answered)
    name = failed.err.split("Run ")[1].split(":")[0]
    endpoint.answer = well
    done = json.loads(patterns("resume", name, "--json").out)
    assert (done["name"], done["result"]["answer"]) == (name, "There are three.")
    assert log.read_text().splitlines() == ["list_things 3"]
    assert len(endpoint.answered) == asked + 1
    assert state_of(UUID(done["run"])) == "Completed"
    refused(patterns("resume", name), "is completed: there is nothing to go on with")


def test_what_failed_is_tried_again(
    patterns: Command, endpoint: ScriptedEndpoint, log: Path
) -> None:
    book = {"id": "seen", "tool": "break_down_once"}
    endpoint.answer = planner([LIST, book], answer="Done at last.")
    failed = patterns("goal", "List things", "--planning", "free", "--max-replans", "0")
    refused(failed, "not yet")
    name = failed.err.split("Run ")[1].split(":")[0]
    assert patterns("resume", name).out == "Done at last.\n"
    assert sorted(log.read_text().splitlines()) == [
        "break_down_once",
        "break_down_once",
        "list_things 3",
    ]


def test_a_run_that_died_goes_on(patterns: Command, endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = planner([LIST], answer="There are three.")
    assert patterns("resume", str(made(Crashed()).id)).out == "There are three.\n"


def test_a_run_that_counts_as_running_goes_on_once_its_process_is_said_to_be_gone(
    patterns: Command, endpoint: ScriptedEndpoint
) -> None:
    endpoint.answer = planner([LIST], answer="There are three.")
    run = made(Running())
    refused(patterns("resume", run.name), "If its process is gone, say so with --dead")
    assert endpoint.calls == []
    assert patterns("resume", run.name, "--dead").out == "There are three.\n"


def test_a_run_that_counts_as_running_goes_on_after_a_while_without_a_sign_of_life(
    patterns: Command, endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.answer = planner([LIST], answer="There are three.")
    run = made(Running())
    asyncio.run(a_sign_of(run.id))
    refused(patterns("resume", run.name), "or wait for two minutes without a sign")
    monkeypatch.setattr(signs_of_life, "LEASE", 0.0)
    assert patterns("resume", run.name).out == "There are three.\n"


def test_an_old_sign_says_nothing_of_a_run_that_was_begun_anew(
    patterns: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs_of_life, "LEASE", 0.0)
    run = made(Crashed())
    asyncio.run(a_sign_of(run.id))
    asyncio.run(set_to(run.id, Running()))
    refused(patterns("resume", run.name), "If its process is gone, say so with --dead: two")


async def a_sign_of(run: UUID) -> None:
    await fetch("first_sign_of_life", {"flow_run": run, "holder": uuid4()})
    await close_pool()


async def set_to(run: UUID, state: State[Any]) -> None:
    async with get_client() as client:
        await client.set_flow_run_state(run, state, force=True)


@pytest.mark.parametrize(
    ("state", "said"),
    [(Completed(), "is completed"), (IN_AN_HOUR, "is scheduled, and will be run")],
)
def test_a_run_that_needs_nobody_is_left_alone(
    patterns: Command, state: State[Any], said: str
) -> None:
    refused(patterns("resume", made(state).name), said)


def test_a_run_that_is_not_there_is_said_to_be_none(patterns: Command) -> None:
    refused(patterns("resume", "no-such-run"), "There is no run 'no-such-run'")
