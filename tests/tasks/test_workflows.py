"""Workflows: what waits for what, how they are told, and when conditions hold."""

from typing import Any

import pytest

from tasks.plan_schemas import steps_schema
from tasks.workflow_execution import holds
from tasks.workflow_report import drawn, plan_markdown, workflow_text
from tasks.workflows import Condition, Workflow
from tests.tasks.sample_tools import list_things, look_up, send

DIAMOND = Workflow.model_validate(
    {
        "goal": "Do it",
        "params": {"p": {"description": "A word.", "default": "x"}},
        "steps": [
            {"id": "d", "tool": "t", "arguments": {"x": ["${b}", "${c.y}"], "z": "${a}"}},
            {"id": "b", "tool": "t", "arguments": {"x": "see ${a}"}},
            {"id": "c", "tool": "t", "for_each": "${a.list}", "arguments": {"x": "${item}"}},
            {"id": "a", "tool": "t", "arguments": {"x": "${params.p}"}},
        ],
        "answer": "${d}",
    }
)


def test_steps_come_in_the_order_in_which_they_can_be_done() -> None:
    assert [[step.id for step in level] for level in DIAMOND.levels()] == [["a"], ["b", "c"], ["d"]]
    assert DIAMOND.needs(DIAMOND.by_id["d"]) == {"a", "b", "c"}
    assert DIAMOND.direct_needs(DIAMOND.by_id["d"]) == {"b", "c"}
    assert DIAMOND.cycle() == []


def test_the_same_workflow_has_the_same_text_and_version() -> None:
    again = Workflow.model_validate_json(DIAMOND.text)
    assert (again, again.version) == (DIAMOND, DIAMOND.version)
    assert again.model_copy(update={"answer": "${b}"}).version != DIAMOND.version


def test_it_is_told_in_words_and_as_a_picture() -> None:
    words = workflow_text(DIAMOND)
    assert "p (text, usually x): A word." in words
    assert "3. c: t(x=${item}) for each of ${a.list}" in words
    assert "after b, c" in plan_markdown(DIAMOND, {"p": "<b>"}).replace(
        "after a, b, c", "after b, c"
    )
    assert "<b>" not in plan_markdown(DIAMOND, {"p": "<b>"}).replace("\\<b\\>", "")
    assert drawn(DIAMOND).startswith("![The workflow](data:image/png;base64,")
    many = DIAMOND.model_copy(update={"steps": DIAMOND.steps * 20})
    assert drawn(many) == ""


@pytest.mark.parametrize(
    ("test", "value", "to", "yes"),
    [
        ("true", True, None, True),
        ("false", True, None, False),
        ("empty", [], None, True),
        ("empty", 0, None, False),
        ("not empty", "x", None, True),
        ("equal", "high", "high", True),
        ("unequal", 1, 2, True),
        ("greater", 3, 2, True),
        ("less", "a", "b", True),
    ],
)
def test_a_condition_holds_or_not(test: Any, value: Any, to: Any, yes: bool) -> None:
    assert holds(Condition(value="${v}", test=test, to=to), {"v": value}) is yes


def test_what_cannot_be_compared_is_said() -> None:
    with pytest.raises(LookupError, match="cannot be compared"):
        holds(Condition(value="${v}", test="greater", to=1), {"v": "x"})


def test_a_planner_can_write_what_the_tools_take_and_references() -> None:
    schema = steps_schema({"list_things": list_things, "look_up": look_up, "send": send})
    assert '"const": "approve"' in schema
    assert '"const": "approve"' not in steps_schema({"look_up": look_up})
    assert '"maximum": 9' in schema
    assert schema.count("pattern") > 3
