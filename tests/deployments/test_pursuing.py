"""`patterns task`, `goal` and `workflow`."""

import json
from pathlib import Path

import pytest

from infra.settings import get_settings
from tests.deployments.conftest import Command, refused
from tests.endpoint import ScriptedEndpoint
from tests.flows.scripted_models import agent, planner
from tests.flows.test_controller import LIST, LOOK, SAVED

pytestmark = pytest.mark.usefixtures("database", "prefect_server")


@pytest.fixture(autouse=True)
def _sample_tools(monkeypatch: pytest.MonkeyPatch, endpoint: ScriptedEndpoint) -> None:
    monkeypatch.setenv("PATTERNS_TOOLS", '["tests.tasks.sample_tools"]')
    get_settings.cache_clear()


@pytest.fixture
def saved(patterns: Command, tmp_path: Path) -> Path:
    """A workflow in a file, which is saved as listed."""
    file = tmp_path / "listed.yaml"
    file.write_text(SAVED)
    assert patterns("workflow", "save", file, "--by", "Zoe").out == "listed is saved.\n"
    return file


def test_a_task_tells_its_calls_and_prints_its_answer(
    patterns: Command, endpoint: ScriptedEndpoint, tmp_path: Path
) -> None:
    ticket = tmp_path / "ticket.txt"
    ticket.write_text("It is broken.")
    endpoint.answer = agent("native", ["list_things"], [[("list_things", {"most": 2})], "Two."])
    done = patterns("task", "How many?", "--material", ticket, "--tool", "list_things")
    assert done.out == "Two.\n"
    assert "list_things(most=2): done" in done.err
    assert "It is broken." in json.dumps(endpoint.calls[1])
    result = json.loads(patterns("task", "How many?", "--json").out)
    assert (result["answer"], result["supported"]) == ("Two.", True)
    assert result["calls"][0]["line"] == "list_things(most=2)"


def test_a_task_without_an_answer_has_exit_status_1(
    patterns: Command, endpoint: ScriptedEndpoint
) -> None:
    endpoint.answer = agent("native", ["tell"], lambda done, _: [("tell", {"text": str(done)})])
    refused(patterns("task", "Never end", "--max-turns", "2"), "no answer after 2 turns")


def test_a_plan_is_shown_and_none_of_it_is_done(
    patterns: Command, endpoint: ScriptedEndpoint
) -> None:
    endpoint.answer = planner([LIST, LOOK])
    shown = patterns("goal", "Look all up", "--plan-only", "--planning", "free").out
    assert "1. things: list_things(most=3)" in shown
    assert "2. look: look_up(name=${item.name}) for each of ${things}" in shown
    endpoint.answer = planner([LIST, LOOK])
    command = ("goal", "Look all up", "--plan-only", "--planning", "free", "--json")
    plan = json.loads(patterns(*command).out)
    assert [step["tool"] for step in plan["workflow"]["steps"]] == ["list_things", "look_up"]


def test_a_goal_is_pursued_saved_and_run_again(
    patterns: Command, endpoint: ScriptedEndpoint
) -> None:
    endpoint.answer = planner([LIST], answer="There are three.")
    done = patterns("goal", "List things", "--planning", "free", "--save-as", "three-things")
    assert done.out == "There are three.\n"
    again = json.loads(patterns("workflow", "run", "three-things", "--json").out)
    assert (again["answer"], again["saved"]) == ("There are three.", "three-things")
    assert [step["state"] for step in again["steps"]] == ["done"]


def test_a_goal_that_is_not_reached_says_what_failed(
    patterns: Command, endpoint: ScriptedEndpoint
) -> None:
    endpoint.answer = planner([{"id": "bad", "tool": "break_down"}])
    done = patterns("goal", "Break down", "--planning", "free", "--max-replans", "0")
    refused(done, "bad: break_down: ZeroDivisionError")


def test_a_saved_workflow_is_listed_shown_run_and_scheduled(
    patterns: Command, endpoint: ScriptedEndpoint, saved: Path
) -> None:
    assert "listed  List things and say how large" in patterns("workflow", "list").out
    assert "count (integer, usually 2)" in patterns("workflow", "show", "listed").out
    shown = json.loads(patterns("workflow", "show", "listed", "--json").out)
    assert shown["workflow"]["steps"][0]["tool"] == "list_things"
    ran = patterns("workflow", "run", "listed", "--param", "count=1", "--param", "word=width")
    assert ran.out == "width of - thing 1: 10\n"
    assert endpoint.calls == []
    assert patterns("workflow", "schedule", "listed", "--cron", "0 7 * * 1").status == 0
    assert "listed  at 0 7 * * 1 (UTC)" in patterns("workflow", "list").out
    assert "no more" in patterns("workflow", "schedule", "listed", "--off").out
    assert "0 7 * * 1" not in patterns("workflow", "list").out


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("goal", " "), "The goal says nothing"),
        (("task", " "), "The task says nothing"),
        (("goal", "Do it", "--tool", "tel"), "no tool 'tel'. Did you mean 'tell'"),
        (("goal", "Do it", "--planning", "wild"), "planning: Input should be"),
        (("task", "Do it", "--material", "nowhere.txt"), "cannot be read as a text"),
        (("workflow", "show", "listd"), "no workflow 'listd'. Did you mean 'listed'"),
        (("workflow", "run", "nothing"), "no workflow 'nothing'"),
        (("workflow", "run", "listed", "--param", "count=x"), "count: 'x' is no integer"),
        (("workflow", "schedule", "listed"), "Say when, with --cron, or --off"),
        (("workflow", "schedule", "listed", "--cron", "daily"), "A time has five fields"),
        (("workflow", "schedule", "listed", "--cron", "0 7 * * * *"), "has not five fields"),
        (("goal", "Do it", "--save-as", "a b!"), "cannot name a workflow"),
        (("goal", "Do it", "--save-as", "count_tickets"), "one of the project's own workflows"),
        (("workflow", "schedule", "nothing", "--cron", "0 7 * * *"), "no workflow 'nothing'"),
    ],
)
def test_what_is_none_is_refused(
    patterns: Command, saved: Path, command: tuple[str, ...], said: str
) -> None:
    refused(patterns(*command), said)


def test_the_tools_there_are_are_named_with_what_they_take(patterns: Command) -> None:
    told = patterns("workflow", "tools").out
    assert "list_things(most?: integer) -> [{name: text, size: integer, tags: [text]}]" in told
    assert "  most: Most things." in told
    found = json.loads(patterns("workflow", "tools", "--json").out)
    tools = {each["name"]: each for each in found["tools"]}
    assert tools["send"]["writes"]
    assert tools["look_up"]["seconds"] == 660.0


def test_a_projects_own_workflow_can_be_scheduled_under_its_name(patterns: Command) -> None:
    command = ("workflow", "schedule", "look_up_records", "--cron", "0 7 * * 1")
    assert patterns(*command, "--param", "question=Which accounts are there?").status == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("goal: [", "neither YAML nor JSON"),
        ("steps: []", "goal: Field required"),
        ("goal: g\nsteps: [{id: a}]", r"steps.0.tool: Field required"),
        ("goal: g\nsteps: [{id: a, tool: nowhere}]", "a: there is no tool 'nowhere'"),
        ("goal: g", "there is no step"),
    ],
)
def test_a_file_that_is_no_workflow_is_not_saved(
    patterns: Command, tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    refused(patterns("workflow", "save", file), said)
    assert "wrong" not in patterns("workflow", "list").out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("run-workflow", "Choose another name"),
        ("count_tickets", "one of the project's own workflows"),
        ("a/b", "cannot name a workflow"),
        ("-", "cannot name a workflow"),
    ],
)
def test_a_name_that_is_none_or_taken_is_refused(
    patterns: Command, saved: Path, name: str, said: str
) -> None:
    refused(patterns("workflow", "save", saved, "--name", name), said)
