"""Plans that are kept, with parameters."""

from typing import Any

from tasks.ticket_tools import count_tickets
from tasks.workflow_checks import faults_of
from tasks.workflow_parameters import with_parameters
from tasks.workflows import Workflow
from tests.tasks.sample_tools import add, book, list_things, look_up, tell

TOOLS = {each.name: each for each in (add, book, list_things, look_up, tell, count_tickets)}


def kept(*steps: dict[str, Any], **rest: Any) -> Workflow:
    workflow = Workflow.model_validate({"goal": "Do it", "steps": steps, **rest})
    found = with_parameters(workflow, {}, TOOLS)
    assert faults_of(found, TOOLS) == []
    return found


def test_a_plain_value_becomes_a_parameter_of_its_type_that_is_usually_that() -> None:
    found = kept({"id": "a", "tool": "list_things", "arguments": {"most": 2}})
    assert found.steps[0].arguments == {"most": "${params.most}"}
    param = found.params["most"]
    assert (param.type, param.default, param.description) == ("integer", 2, "Most things.")


def test_what_is_one_of_a_few_stays_so() -> None:
    found = kept({"id": "a", "tool": "add", "arguments": {"numbers": [1, 2], "mode": "sum"}})
    assert found.steps[0].arguments == {"numbers": [1, 2], "mode": "${params.mode}"}
    assert found.params["mode"].options == ("sum", "product")


def test_the_name_of_something_kept_is_a_parameter_of_that_kind() -> None:
    given = {"corpus": "support", "by": "day"}
    found = kept({"id": "a", "tool": "count_tickets", "arguments": given})
    assert (found.params["corpus"].type, found.params["corpus"].options) == ("corpus", ())
    assert "total" in found.params["by"].options


def test_one_value_of_several_steps_is_one_parameter_and_another_has_the_step_in_its_name() -> None:
    steps = [
        {"id": name, "tool": "look_up", "arguments": {"name": value}}
        for name, value in (("a", "x"), ("b", "x"), ("c", "y"))
    ]
    found = kept(*steps)
    assert [step.arguments["name"] for step in found.steps] == [
        "${params.name}",
        "${params.name}",
        "${params.c_name}",
    ]
    assert {name: param.default for name, param in found.params.items()} == {
        "name": "x",
        "c_name": "y",
    }


def test_references_and_approvals_stay_as_they_are() -> None:
    steps = [
        {"id": "a", "tool": "list_things"},
        {"id": "b", "tool": "book", "arguments": {"room": "${a[0].name}"}},
        {"id": "ok", "tool": "approve", "arguments": {"steps": ["b"]}},
        {"id": "c", "tool": "tell", "arguments": {"text": "see ${a}"}},
    ]
    found = kept(*steps)
    assert (found.params, [step.arguments for step in found.steps]) == (
        {},
        [{}, {"room": "${a[0].name}"}, {"steps": ["b"]}, {"text": "see ${a}"}],
    )


def test_a_value_that_only_fits_when_it_is_read_as_another_type_stays() -> None:
    found = kept({"id": "a", "tool": "list_things", "arguments": {"most": 2.0}})
    assert (found.params, found.steps[0].arguments) == ({}, {"most": 2.0})


def test_parameters_that_there_are_are_usually_what_was_given() -> None:
    workflow = Workflow.model_validate(
        {
            "goal": "Do it",
            "params": {"n": {"type": "integer", "default": 1}, "w": {"default": "x"}},
            "steps": [{"id": "a", "tool": "list_things", "arguments": {"most": "${params.n}"}}],
        }
    )
    found = with_parameters(workflow, {"n": 5}, TOOLS)
    assert {name: param.default for name, param in found.params.items()} == {"n": 5, "w": "x"}
    assert found.steps == workflow.steps
