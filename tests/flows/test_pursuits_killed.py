"""Agent and controller, killed at each of their steps: nothing that was finished is done again."""

import json
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow
from prefect.client.orchestration import get_client

from flows.agentic_workflow import work_on_task
from flows.controller import pursue_goal
from infra.settings import get_settings
from tests.endpoint import Body, ScriptedEndpoint
from tests.flows.killed_runs import UNKEPT, attempt
from tests.flows.scripted_models import agent, planner
from tests.flows.test_controller import BOOK, LIST, LOOK, OK_BOOK

BOOKING = ("book", {"room": "Elm"})  # which can be drafted only as long as Elm is free


@pytest.fixture
def log(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file in which calls of the sample tools are noted."""
    monkeypatch.setenv("PATTERNS_TOOLS", '["tests.tasks.sample_tools"]')
    monkeypatch.setenv("SAMPLE_TOOLS_LOG", str(tmp_path / "calls"))
    get_settings.cache_clear()
    return tmp_path / "calls"


async def killed_everywhere(flow: "Flow[..., Any]", name: str, request: dict[str, Any]) -> int:
    """Kill a run before its first step is kept, and then, each time that it starts, when one more
    is kept and the next one is done, until it comes to its end; how often."""
    async with get_client() as client:
        run = await client.create_flow_run(flow, parameters={"request": request})
    for kills in range(60):
        if await attempt(run.id, name, UNKEPT, str(min(kills, 1))):
            break
    async with get_client() as client:
        state = (await client.read_flow_run(run.id)).state
    assert state is not None
    assert state.is_completed()
    return kills


def once_each(calls: list[Body]) -> None:
    """No request was answered twice."""
    asked = [json.dumps(body, sort_keys=True) for body in calls]
    assert len(asked) == len(set(asked))


async def test_an_agent_that_is_killed_at_each_step_repeats_nothing(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    script = [[("list_things", {"most": 2})], [BOOKING], "Two things; Elm is booked."]
    endpoint.answer = agent("native", ["list_things", "book"], script)
    request = {"task": "List two things and book Elm", "requester": "Zoe"}
    kills = await killed_everywhere(work_on_task, "flows.agentic_workflow.work_on_task", request)
    assert kills == 8  # plan, three turns, two calls, what is shown of one, the critic
    once_each(endpoint.answered)
    assert len(endpoint.answered) == 5
    done = log.read_text().splitlines()
    # What was finished, but not kept, is done again under the same key.
    keys = {line.split()[-1] for line in done if line.startswith("book")}
    assert len(keys) == 1
    assert len(done) == 4


async def test_a_workflow_that_is_killed_at_each_step_repeats_nothing(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    look = {**LOOK, "for_each": None, "arguments": {"name": "one"}}
    endpoint.answer = planner([LIST, look, BOOK, OK_BOOK])
    request = {"goal": "List and look up", "planning": "free", "requester": "Zoe"}
    kills = await killed_everywhere(pursue_goal, "flows.controller.pursue_goal", request)
    assert kills == 6  # plan, three calls of which two are at once, what is shown of one, the end
    once_each(endpoint.answered)
    assert len(endpoint.answered) == 2
    booked = [line.split()[-1] for line in log.read_text().splitlines() if "book" in line]
    assert len({*booked}) == 1
