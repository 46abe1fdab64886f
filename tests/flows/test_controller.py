"""Goals that become workflows: planned, checked, mended, approved, carried out, run again."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from prefect.artifacts import Artifact

from flows.controller import plan_goal, pursue_goal, run_workflow
from infra.errors import InputError, PlanRefused, SettingsError, WorkIncomplete
from infra.settings import get_settings
from tasks import review_output
from tasks.decisions import decide
from tasks.goals import GoalRequest
from tasks.reviews import reviews
from tasks.saved_workflows import parse_workflow, read_workflow, save_workflow
from tasks.workflow_runs import WorkflowRequest
from tests.endpoint import ScriptedEndpoint, user_text
from tests.flows.scripted_models import planner
from tests.flows.waiting_runs import WaitingRun, start
from tests.tasks.kept_reviews import approval, rejection

LIST = {"id": "things", "tool": "list_things", "arguments": {"most": 3}}
LOOK = {
    "id": "look",
    "tool": "look_up",
    "arguments": {"name": "${item.name}"},
    "for_each": "${things}",
}
TELL = {"id": "told", "tool": "tell", "arguments": {"text": "Ids: ${look[*].id}"}}
SEND = {"id": "mail", "tool": "send", "arguments": {"to": "Ann", "body": "Size ${things[0].size}"}}
OK = {"id": "ok", "tool": "approve", "arguments": {"steps": ["mail"]}}


@pytest.fixture(autouse=True)
def log(
    endpoint: ScriptedEndpoint, database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Path:
    """Sample tools; the file in which their calls are noted."""
    monkeypatch.setattr(review_output, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(review_output, "HEARTBEAT", 0.2)
    monkeypatch.setenv("PATTERNS_TOOLS", '["tests.tasks.sample_tools"]')
    monkeypatch.setenv("SAMPLE_TOOLS_LOG", str(tmp_path / "calls"))
    get_settings.cache_clear()
    return tmp_path / "calls"


def calls(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def request(goal: str = "Look all things up", **rest: Any) -> GoalRequest:
    return GoalRequest.model_validate({"goal": goal, "planning": "free", "requester": "Zoe"} | rest)


async def artifact(key: str) -> str:
    found = await Artifact.aget(key)
    assert found is not None
    return str(found.data)


async def test_steps_map_over_lists_and_use_each_others_results(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    endpoint.answer = planner([LIST, LOOK, TELL], answer="Three ids of 7.")
    done = await pursue_goal(request())
    assert done.answer == "Three ids of 7."
    assert calls(log)[:1] == ["list_things 3"]
    assert sorted(calls(log)[1:4]) == ["look_up thing 1", "look_up thing 2", "look_up thing 3"]
    assert calls(log)[4:] == ["tell Ids: - 7", "- 7", "- 7"]
    material = user_text(endpoint.calls[-1])
    assert "Ids: - 7" in material
    assert "Look all things up" in material
    shown = await artifact("workflow-run")
    assert "| `look` | look\\_up | done | 3 |" in shown
    assert "data:image/png" in shown


async def test_a_faulty_plan_is_mended_with_its_faults(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    endpoint.answer = planner([{**LOOK, "for_each": "${thing}"}], [LIST, LOOK])
    done = await pursue_goal(request())
    assert [step.state for step in done.steps] == ["done", "done"]
    mended = user_text(endpoint.calls[1])
    assert "there is no step 'thing'" in mended
    assert '"for_each": "${thing}"' in mended
    shown = await artifact("plan")
    assert "Plan 1 was refused" in shown
    assert "| 2 | `look` | look\\_up | name = ${item.name} | ${things} |  | things |" in shown


async def test_a_plan_that_stays_faulty_calls_no_tool(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    bad = [[{**SEND, "id": f"m{n}"}] for n in range(9)]
    endpoint.answer = planner(*bad)
    with pytest.raises(PlanRefused, match=r"4 tries.*nobody approves it"):
        await pursue_goal(request())
    assert (calls(log), len(endpoint.calls)) == ([], 4)


async def test_a_planner_that_repeats_itself_is_not_asked_again(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    endpoint.answer = planner(*[[SEND]] * 9)
    with pytest.raises(PlanRefused, match=r"2 tries.*nobody approves it"):
        await pursue_goal(request())
    assert (calls(log), len(endpoint.calls)) == ([], 2)


@pytest.mark.parametrize("nonsense", ["no JSON at all", '{"why": "maybe"}', "[]"])
async def test_a_planner_that_answers_no_json_is_refused(
    endpoint: ScriptedEndpoint, log: Path, nonsense: str
) -> None:
    from infra.errors import ReplyMalformed

    endpoint.answer = planner(*[nonsense] * 9)
    with pytest.raises(ReplyMalformed, match="3 times"):
        await pursue_goal(request())
    assert calls(log) == []


async def test_an_impossible_goal_is_said_to_be_one(endpoint: ScriptedEndpoint, log: Path) -> None:
    endpoint.answer = planner({"cannot": "No tool paints."})
    with pytest.raises(PlanRefused, match="No tool paints"):
        await pursue_goal(request("Paint the office"))
    assert calls(log) == []


@pytest.mark.parametrize("goal", ["   ", "\n\t  \n"])
async def test_a_goal_that_says_nothing_is_refused_before_a_model_is_asked(
    endpoint: ScriptedEndpoint, goal: str
) -> None:
    with pytest.raises(InputError, match="The goal says nothing"):
        await pursue_goal(request(goal))
    assert endpoint.calls == []


async def test_only_the_tools_that_are_allowed_can_be_planned(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = planner({"cannot": "x"})
    with pytest.raises(PlanRefused):
        await pursue_goal(request(tools=["tell"]))
    schema = endpoint.calls[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["steps"]["items"]["properties"]["tool"] == {"const": "tell"}
    with pytest.raises(InputError, match=r"no tool 'tel'\. Did you mean 'tell'"):
        await pursue_goal(request(tools=["tel"]))


async def test_a_condition_leaves_a_step_out(endpoint: ScriptedEndpoint, log: Path) -> None:
    small = {"value": "${things[0].size}", "test": "less", "to": 5}
    endpoint.answer = planner([LIST, {**TELL, "arguments": {"text": "small"}, "when": small}])
    done = await pursue_goal(request())
    assert [(step.state, step.why) for step in done.steps] == [
        ("done", ""),
        ("skipped", "its condition does not hold"),
    ]
    assert calls(log) == ["list_things 3"]


async def test_a_condition_chooses_among_the_elements_of_a_map(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    large = {"value": "${item.size}", "test": "greater", "to": 15}
    endpoint.answer = planner([LIST, {**LOOK, "when": large}])
    await pursue_goal(request())
    assert sorted(calls(log)[1:]) == ["look_up thing 2", "look_up thing 3"]


async def test_a_failed_step_leads_to_a_new_plan_that_reuses_what_is_done(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    broken = {"id": "again", "tool": "look_up", "arguments": {"name": "nothing"}}
    better = {"id": "again", "tool": "look_up", "arguments": {"name": "thing 1"}}
    endpoint.answer = planner([LIST, broken], [{**LIST, "id": "renamed"}, better])
    done = await pursue_goal(request())
    assert done.plans == 2
    assert [step.state for step in done.steps] == ["done", "done"]
    assert sorted(calls(log)) == ["list_things 3", "look_up nothing", "look_up thing 1"]
    told = user_text(endpoint.calls[1])
    assert "failed: look_up: There is no such thing: nothing" in told


async def test_a_new_plan_has_no_tools_besides_those_of_the_first(
    endpoint: ScriptedEndpoint,
) -> None:
    endpoint.answer = planner([{"id": "a", "tool": "break_down"}], {"cannot": "It stays broken."})
    with pytest.raises(WorkIncomplete, match="a: break_down: ZeroDivisionError: division by zero"):
        await pursue_goal(request())
    schema = endpoint.calls[1]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["steps"]["items"]["properties"]["tool"] == {"const": "break_down"}


@pytest.mark.parametrize(
    ("tool", "why"),
    [
        ("break_down", "ZeroDivisionError"),
        ("hang", "took longer than 0.2 seconds"),
        ("flood", "10,000,002 bytes"),
    ],
)
async def test_a_tool_that_behaves_badly_fails_its_step_and_no_other(
    endpoint: ScriptedEndpoint, log: Path, tool: str, why: str
) -> None:
    bad = {"id": "bad", "tool": tool}
    later = {"id": "later", "tool": "tell", "arguments": {"text": "${bad}"}}
    endpoint.answer = planner([bad, later, LIST, LOOK])
    with pytest.raises(WorkIncomplete, match=why):
        await pursue_goal(request(max_replans=0))
    assert len(calls(log)) == 4
    shown = await artifact("workflow-run")
    assert "| `later` | tell | blocked |" in shown
    assert "it needs bad" in shown


async def test_a_result_that_gives_orders_is_only_a_result(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    page = {"id": "page", "tool": "mislead"}
    endpoint.answer = planner([page, {**TELL, "arguments": {"text": "${page}"}}], answer="A page.")
    done = await pursue_goal(request())
    assert done.answer == "A page."
    assert [call.split()[0] for call in calls(log)] == ["tell"]


async def test_more_elements_than_allowed_fail_the_step(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    endpoint.answer = planner([LIST, LOOK])
    with pytest.raises(WorkIncomplete, match="has 3 elements, and 2 are allowed"):
        await pursue_goal(request(max_items=2, max_replans=0))
    assert calls(log) == ["list_things 3"]


async def waiting(run: WaitingRun, count: int = 1) -> list[Any]:
    while len(found := await reviews()) < count:
        await asyncio.sleep(0.1)
        assert not run.task.done(), run.task.exception()
    return found


async def test_a_write_waits_for_a_person_who_sees_the_very_call(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    endpoint.answer = planner([LIST, SEND, OK, TELL | {"arguments": {"text": "meanwhile"}}])
    run = start(pursue_goal, request())
    [review] = await waiting(run)
    assert sorted(calls(log)) == ["list_things 3", "tell meanwhile"]
    assert "Size 10" in review.draft.shown
    assert json.loads(review.text) == {
        "tool": "send",
        "arguments": {"to": "Ann", "body": "Size 10"},
    }
    await decide(review.id, approval(review))
    done = await run.task
    [sent] = [line for line in calls(log) if line.startswith("send")]
    key = review.step.removeprefix("approve-").removesuffix("-1")
    assert sent == f"send Ann {review.root_run}-{key}"  # another run's is another
    assert {step.state for step in done.steps} == {"done"}


async def test_a_write_that_nobody_could_approve_is_refused_before_anything_is_done(
    endpoint: ScriptedEndpoint, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_REVIEW_POLICIES", '{"calls": {"roles": ["lead"]}}')
    get_settings.cache_clear()
    endpoint.answer = planner([LIST, SEND, OK], [LIST])
    with pytest.raises(SettingsError, match="review policy calls needs 1"):
        await pursue_goal(request())
    assert calls(log) == []
    assert (await pursue_goal(request("Only list"))).failed == {}


async def test_a_write_that_a_person_refuses_is_not_made_and_the_answer_says_so(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    after = {"id": "after", "tool": "tell", "arguments": {"text": "sent"}, "for_each": None}
    endpoint.answer = planner([LIST, SEND, OK, {**after, "arguments": {"text": "${mail.to}"}}])
    run = start(pursue_goal, request())
    [review] = await waiting(run)
    await decide(review.id, rejection(review, reason="Ann has left."))
    done = await run.task
    assert {step.id: step.state for step in done.steps} == {
        "things": "done",
        "mail": "refused",
        "ok": "done",
        "after": "blocked",
    }
    assert calls(log) == ["list_things 3"]
    assert "Ann has left." in user_text(endpoint.calls[-1])


BOOK = {"id": "booked", "tool": "book", "arguments": {"room": "Elm"}}
OK_BOOK = {"id": "ok", "tool": "approve", "arguments": {"steps": ["booked"]}}


async def test_what_a_tool_drafts_is_what_a_person_sees_and_what_is_done(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    endpoint.answer = planner([BOOK, OK_BOOK])
    run = start(pursue_goal, request("Book Elm"))
    [review] = await waiting(run)
    assert (review.text, review.draft.material) == ("Book Elm", "Book Elm\n\nIt is free.")
    await decide(review.id, rejection(review))
    await run.paused(f"{review.step.removesuffix('-1')}-2-1")
    [second] = await reviews()
    await decide(second.id, approval(second))
    await run.task
    [booked] = calls(log)
    assert booked.startswith("book Book Elm, please ")


async def test_a_write_that_cannot_be_drafted_fails_its_step_and_asks_nobody(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    endpoint.answer = planner([{**BOOK, "arguments": {"room": "nowhere"}}, OK_BOOK, LIST])
    with pytest.raises(WorkIncomplete, match="There is no such room"):
        await pursue_goal(request("Book it", max_replans=0))
    assert (calls(log), await reviews("all")) == (["list_things 3"], [])


async def test_of_writes_over_a_list_those_that_can_be_are_made(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    log.write_text("book Book thing 2\n")  # by somebody else
    each = {**BOOK, "for_each": "${things}", "arguments": {"room": "${item.name}"}}
    endpoint.answer = planner([LIST, each, OK_BOOK])
    run = start(pursue_goal, request("Book all", max_replans=0))
    for review in await waiting(run, 2):
        await decide(review.id, approval(review))
    with pytest.raises(WorkIncomplete, match=r"element 2: book: .*thing 2 is booked already"):
        await run.task
    made = [line.split()[:4] for line in calls(log)[2:]]
    assert sorted(made) == [["book", "Book", "thing", "1"], ["book", "Book", "thing", "3"]]


async def test_a_write_with_faulty_arguments_fails_its_step_and_asks_nobody(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    mail = {**SEND, "for_each": "${things[*].owner}", "arguments": {"to": "${item}", "body": "b"}}
    endpoint.answer = planner([{"id": "things", "tool": "lend"}, mail, OK])
    with pytest.raises(WorkIncomplete, match="to: Input should be a valid string"):
        await pursue_goal(request("Mail them", max_replans=0))
    assert await reviews("all") == []


async def test_what_needs_a_blocked_step_is_blocked_as_well(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    bad = {"id": "bad", "tool": "break_down"}
    middle = {"id": "middle", "tool": "tell", "arguments": {"text": "see ${bad}"}}
    last = {"id": "last", "tool": "tell", "arguments": {"text": "see ${middle}"}}
    endpoint.answer = planner([bad, middle, last])
    with pytest.raises(WorkIncomplete):
        await pursue_goal(request(max_replans=0))
    assert calls(log) == []


async def test_a_plan_is_approved_before_anything_is_done(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    endpoint.answer = planner([LIST, LOOK], [LIST])
    run = start(pursue_goal, request(review_plan=True))
    [review] = await waiting(run)
    assert calls(log) == []
    assert "**look\\_up**" in review.draft.shown
    await decide(review.id, rejection(review, reason="Only list them."))
    await run.paused("approve-plan-1-2-1")
    [second] = await reviews()
    assert "Only list them." in user_text(endpoint.calls[-1])
    await decide(second.id, approval(second))
    done = await run.task
    assert ([step.id for step in done.steps], calls(log)) == (["things"], ["list_things 3"])


async def test_a_new_plan_after_a_failure_is_approved_as_well(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    broken = {"id": "again", "tool": "look_up", "arguments": {"name": "nothing"}}
    better = {"id": "again", "tool": "look_up", "arguments": {"name": "thing 1"}}
    endpoint.answer = planner([broken], [better])
    run = start(pursue_goal, request(review_plan=True))
    [first] = await waiting(run)
    await decide(first.id, approval(first))
    await run.paused("approve-plan-2-1-1")
    [second] = await reviews()
    assert calls(log) == ["look_up nothing"]
    assert "thing 1" in second.draft.shown
    assert "thing 1" in await artifact("plan")
    await decide(second.id, approval(second))
    assert (await run.task).plans == 2
    assert calls(log) == ["look_up nothing", "look_up thing 1"]


async def test_a_plan_that_did_not_reach_its_goal_is_not_kept(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    endpoint.answer = planner([{"id": "a", "tool": "break_down"}])
    with pytest.raises(WorkIncomplete):
        await pursue_goal(request(max_replans=0, save_as="broken"))
    with pytest.raises(InputError, match="no workflow 'broken'"):
        await read_workflow("broken")


async def test_a_plan_is_kept_with_what_stood_in_it_as_parameters(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    endpoint.answer = planner([LIST, LOOK])
    await pursue_goal(request(save_as="look-all"))
    await run_workflow(WorkflowRequest(name="look-all", params={"most": 1}))
    assert sorted(calls(log)[4:]) == ["list_things 1", "look_up thing 1"]


async def test_a_saved_workflow_is_kept_anew_with_the_parameters_that_it_was_given(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    await save_workflow("listed", parse_workflow(SAVED, "a file"), "Zoe")
    said = [{"fits": "yes"}, {"parameters": {"count": 3, "word": "width"}}]
    endpoint.answer = lambda body, n: json.dumps(said[len(endpoint.calls) - 1])
    await pursue_goal(request("List three things by width", planning="auto", save_as="wide"))
    done = await run_workflow(WorkflowRequest(name="wide", params={"count": 1}))
    assert (done.params, done.answer) == (
        {"count": 1, "word": "width"},
        "width of - thing 1: 10",
    )


async def test_plan_only_does_none_of_it_and_keeps_the_workflow(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    endpoint.answer = planner([LIST, LOOK])
    planned = await plan_goal(request(save_as="look-all"))
    assert [step.id for step in planned.workflow.steps] == ["things", "look"]
    assert calls(log) == []
    endpoint.answer = planner(answer="Looked.")
    done = await run_workflow(WorkflowRequest(name="look-all"))
    assert (done.answer, len(calls(log)), done.saved) == ("Looked.", 4, "look-all")


SAVED = """
goal: List things and say how large the first is.
params:
  count: {type: integer, default: 2}
  word: {options: [size, width], default: size}
steps:
  - {id: things, tool: list_things, arguments: {most: "${params.count}"}}
answer: "${params.word} of ${things[*].name}: ${things[0].size}"
"""


async def test_a_saved_workflow_runs_with_other_parameters_and_without_a_model(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    await save_workflow("listed", parse_workflow(SAVED, "a file"), "Zoe")
    done = await run_workflow(WorkflowRequest(name="listed", params={"count": "1"}))
    assert done.answer == "size of - thing 1: 10"
    assert endpoint.calls == []


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"count": "many"}, "count: 'many' is no integer"),
        ({"cuont": 2}, "no such parameter. Did you mean 'count'"),
        ({"word": "depth"}, "There are: size, width"),
    ],
)
async def test_parameters_that_do_not_fit_are_refused(
    log: Path, params: dict[str, Any], said: str
) -> None:
    await save_workflow("listed", parse_workflow(SAVED, "a file"), "Zoe")
    with pytest.raises(InputError, match=said):
        await run_workflow(WorkflowRequest(name="listed", params=params))
    assert calls(log) == []


async def test_a_saved_workflow_whose_tool_is_gone_is_refused(log: Path) -> None:
    gone = parse_workflow(SAVED.replace("list_things", "list_thongs"), "a file")
    await save_workflow("listed", gone, "Zoe")
    with pytest.raises(InputError, match=r"no tool 'list_thongs'\. Did you mean 'list_things'"):
        await run_workflow(WorkflowRequest(name="listed"))


async def test_a_goal_that_a_saved_workflow_reaches_fills_its_slots(
    endpoint: ScriptedEndpoint, log: Path
) -> None:
    await save_workflow("listed", parse_workflow(SAVED, "a file"), "Zoe")
    said = [{"fits": "yes"}, {"parameters": {"count": 3, "word": "width"}}]
    endpoint.answer = lambda body, n: json.dumps(said[len(endpoint.calls) - 1])
    done = await pursue_goal(request("List three things by width", planning="auto"))
    assert (done.saved, done.params) == ("listed", {"count": 3, "word": "width"})
    assert done.answer.startswith("width of")
    assert done.goal == "List three things by width"
    slots = endpoint.calls[1]["response_format"]["json_schema"]["schema"]["$defs"]["Values"]
    assert slots["properties"]["word"]["enum"] == ["size", "width"]


async def test_without_a_saved_workflow_that_fits_there_is_none(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: json.dumps({"fits": "no"})
    with pytest.raises(PlanRefused, match="No saved workflow reaches this goal"):
        await pursue_goal(request(planning="saved"))
