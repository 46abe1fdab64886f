"""Fifty plans that cannot be run: each is refused before any tool is called, for its own reason."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import InputError
from infra.settings import get_settings
from tasks.tools import Tool
from tasks.workflow_checks import Ceiling, faults_of, require_sound
from tasks.workflows import Param, Step, Workflow
from tests.tasks import sample_tools

TOOLS = {each.name: each for each in vars(sample_tools).values() if isinstance(each, Tool)}
LOOK = {"id": "look", "tool": "look_up", "arguments": {"name": "a"}}
LIST = {"id": "things", "tool": "list_things"}
SEND = {"id": "mail", "tool": "send", "arguments": {"to": "a", "body": "b"}}
OK = {"id": "ok", "tool": "approve", "arguments": {"steps": ["mail"]}}


def workflow(*steps: dict[str, Any], **rest: Any) -> Workflow:
    return Workflow.model_validate({"goal": "A goal", "steps": steps, **rest})


def look(name: Any, **rest: Any) -> dict[str, Any]:
    return {"id": "look", "tool": "look_up", "arguments": {"name": name}, **rest}


def add(numbers: Any, **rest: Any) -> dict[str, Any]:
    return {"id": "sum", "tool": "add", "arguments": {"numbers": numbers, **rest}}


def when(value: str, test: str, to: Any = None) -> dict[str, Any]:
    return look("a", when={"value": value, "test": test, "to": to})


INVALID: list[tuple[str, str, list[dict[str, Any]], dict[str, Any]]] = [
    # code, what the message says, steps, the rest of the workflow
    ("empty", "there is no step", [], {}),
    ("too many steps", "1,000 steps", [{**LOOK, "id": f"s{n}"} for n in range(1000)], {}),
    ("bad id", "a word of a-z", [{**LOOK, "id": "Look Up"}], {}),
    ("bad id", "at most 40", [{**LOOK, "id": "a" * 41}], {}),
    ("reserved id", "no step is called item", [{**LOOK, "id": "item"}], {}),
    ("reserved id", "no step is called params", [{**LOOK, "id": "params"}], {}),
    ("duplicate id", "2 steps have this id", [LOOK, LOOK], {}),
    ("unknown tool", "Did you mean 'look_up'", [{**LOOK, "tool": "lookup"}], {}),
    ("unknown tool", "no tool 'delete_all'", [{**LOOK, "tool": "delete_all"}], {}),
    ("missing argument", "needs the argument 'name'", [{"id": "look", "tool": "look_up"}], {}),
    ("unknown argument", "no argument 'nmae'", [{**LOOK, "arguments": {"name": "a", "nmae": 1}}], {}),
    ("unknown argument", "It takes none", [{"id": "m", "tool": "mislead", "arguments": {"x": 1}}], {}),
    ("wrong type", "it takes a text", [look(7)], {}),
    ("wrong type", "it takes a text", [look(None)], {}),
    ("wrong type", "it takes a list", [add("one")], {}),
    ("wrong type", "numbers.1", [add([1, "two"])], {}),
    ("wrong type", "less than or equal to 9", [{**LIST, "arguments": {"most": 10}}], {}),
    ("wrong type", "'sum' or 'product'", [add([1], mode="mean")], {}),
    ("wrong type", "an object, and a text", [LOOK, {"id": "t", "tool": "tell", "arguments": {"text": "${look}"}}], {}),
    ("wrong type", "a list, and a text is taken; take a part", [LIST, look("${things}")], {}),
    ("wrong type", "a whole number, and a text", [LIST, look("${things[0].size}")], {}),
    ("wrong type", "a whole number, and a list", [LOOK, add("${look.id}")], {}),
    ("wrong type", "an element of it is a text", [LIST, add("${things[*].name}")], {}),
    ("wrong type", "a text is given", [LOOK, add("1 and ${look.id}")], {}),
    ("wrong type", "a list, and a text", [{**LOOK, "for_each": "${things}", "arguments": {"name": "${item.tags}"}}, LIST], {}),
    ("wrong type", "a list, and a text", [LIST, look("${item.name}", for_each="${things}"), {"id": "t", "tool": "tell", "arguments": {"text": "${look}"}}], {}),
    ("bad reference", "looks like", [look("${}")], {}),
    ("bad reference", "looks like", [LOOK, {"id": "t", "tool": "tell", "arguments": {"text": "see ${look..id}"}}], {}),
    ("unknown reference", "no step 'loop'. Did you mean 'look'", [LOOK, {"id": "t", "tool": "tell", "arguments": {"text": "${loop.id}"}}], {}),
    ("unknown reference", "no step 'nowhere'", [LOOK], {"answer": "It is ${nowhere}"}),
    ("unknown step", "no step 'later'", [{**LOOK, "after": ["later"]}], {}),
    ("unknown parameter", "no parameter 'nmae'. Did you mean 'name'", [look("${params.nmae}")], {"params": {"name": {}}}),
    ("unknown parameter", "There is none", [look("${params.name}")], {}),
    ("wrong type", "a whole number, and a text", [look("${params.count}")], {"params": {"count": {"type": "integer"}}}),
    ("item outside map", "only a step with for_each", [look("${item.name}")], {}),
    ("item outside map", "only a step with for_each", [LIST, look("${things[@].name}")], {}),
    ("unknown field", "the fields are id, found, owner", [LOOK, {"id": "t", "tool": "tell", "arguments": {"text": "${look.title}"}}], {}),
    ("unknown field", "an element of it is [0]", [LIST, look("${things.name}")], {}),
    ("unknown field", "no 'title'", [LIST, look("${item.title}", for_each="${things}")], {}),
    ("unknown field", "no 0 in an integer", [LOOK, look("${look.id[0]}", id="again")], {}),
    ("unknown field", "the fields are id, found, owner", [LOOK], {"answer": "It is ${look.title}"}),
    ("unknown field", "Write ${things[0].name} for the first one", [LIST], {"answer": "${things.name}"}),
    ("cycle", "it needs itself", [look("${look.id}")], {}),
    ("cycle", "round in a circle: a needs b needs a", [look("${b}", id="a"), look("${a}", id="b")], {}),
    ("cycle", "round in a circle", [{**LOOK, "id": "a", "after": ["c"]}, look("${a.owner.name}", id="b"), look("${b.owner.name}", id="c")], {}),
    ("bad for_each", "a reference to a list", [look("a", for_each="all things")], {}),
    ("for_each over no list", "a text, not a list", [LIST, look("a", for_each="${things[0].name}")], {}),
    ("bad condition", "value is a reference", [when("yes", "true")], {}),
    ("bad condition", "needs something to compare", [LIST, when("${things[0].size}", "greater")], {}),
    ("bad condition", "cannot be true", [LIST, when("${things}", "true")], {}),
    ("unapproved write", "nobody approves it: add a step", [SEND], {}),
    ("unapproved write", "mail: send writes", [SEND, LOOK, {**OK, "arguments": {"steps": ["look"]}}], {}),
    ("approval of a read", "does not write", [SEND, LOOK, {**OK, "arguments": {"steps": ["mail", "look"]}}], {}),
    ("approval of unknown step", "'post', which is no step", [SEND, OK, {**OK, "id": "ok2", "arguments": {"steps": ["post"]}}], {}),
    ("approved twice", "one is enough", [SEND, OK, {**OK, "id": "ok2"}], {}),
    ("bad approval", "approve takes", [SEND, OK, {"id": "ok2", "tool": "approve"}], {}),
    ("reference to approval", "has no result", [SEND, OK, look("${ok}")], {}),
    ("over budget", "about 41 calls of models, and 30", [LIST, look("${item.name}", for_each="${things}")], {}),
    ("over budget", "about 31 calls", [{**LOOK, "id": f"s{n}"} for n in range(15)], {}),
]  # fmt: skip


@pytest.mark.parametrize(("code", "said", "steps", "rest"), INVALID)
def test_a_plan_that_cannot_be_run_is_refused_for_its_own_reason(
    code: str, said: str, steps: list[dict[str, Any]], rest: dict[str, Any]
) -> None:
    found = faults_of(workflow(*steps, **rest), TOOLS, Ceiling(model_calls=30))
    assert said in " ".join(map(str, found)), [*map(str, found)]
    assert code in {fault.code for fault in found}


def test_there_are_fifty_of_them() -> None:
    assert len(INVALID) >= 50


def test_all_faults_of_a_kind_are_told_at_once() -> None:
    found = faults_of(workflow(look(1), {**add("x"), "id": "sum"}, SEND, OK), TOOLS)
    assert {fault.step for fault in found} == {"look", "sum"}


def test_a_plan_that_would_cost_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_CHAT_MODEL", "openai:m")
    get_settings.cache_clear()
    [unknown] = faults_of(workflow(LOOK), TOOLS, Ceiling(cost=1.0))
    assert unknown.code == "unknown price"
    monkeypatch.setenv("PATTERNS_PRICES", '{"openai:m": [1000, 1000]}')
    get_settings.cache_clear()
    [dear] = faults_of(workflow(LOOK), TOOLS, Ceiling(cost=1.0))
    assert (dear.code, "5.4000 USD" in dear.message) == ("over budget", True)
    assert faults_of(workflow(LOOK), TOOLS, Ceiling(cost=6.0)) == []


def test_a_refusal_names_every_fault() -> None:
    with pytest.raises(InputError, match=r"look: name: .*\. sum: numbers: .*\.$"):
        require_sound(workflow(look(1), add("x")), TOOLS)


SOUND = [
    [LOOK],
    [LIST, look("${item.name}", for_each="${things}")],
    [LIST, add("${things[*].size}")],
    [LIST, look("${things[0].name}"), {"id": "t", "tool": "tell", "arguments": {"text": "Its id is ${look.id}, of ${things[0].name}"}}],
    [LIST, look("${item.name}", for_each="${things}"), {"id": "t", "tool": "tell", "for_each": "${things}", "arguments": {"text": "${item.name}: ${look[@].id}"}}],
    [LIST, look("${item}", for_each="${things[*].name}")],
    [LOOK, look("${look.owner.name}", id="owner")],
    [LIST, when("${things[0].size}", "greater", 5)],
    [SEND, OK],
    [LOOK, {**SEND, "arguments": {"to": "a", "body": "see ${look.id}"}, "when": {"value": "${look.found}", "test": "true"}}, OK],
]  # fmt: skip


@pytest.mark.parametrize("steps", SOUND)
def test_a_plan_that_can_be_run_has_no_fault(steps: list[dict[str, Any]]) -> None:
    assert faults_of(workflow(*steps), TOOLS) == []


def test_what_a_write_needs_is_done_before_a_person_is_asked() -> None:
    plan = workflow(LOOK, {**SEND, "arguments": {"to": "a", "body": "${look.owner.name}"}}, OK)
    assert [[step.id for step in level] for level in plan.levels()] == [["look"], ["ok"], ["mail"]]


NAMES = st.sampled_from(["a", "b", "c", "item", "params", "A b"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(
        ["x", "${a}", "${b.name}", "${item.name}", "${c[0].size}", "${a[*].x[@]}", "${"]
    )
    | st.sampled_from(["see ${a.id}", "${params.p}", "${params}", "${a.", "$a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=3,
)
STEPS = st.builds(
    Step,
    id=NAMES,
    tool=st.sampled_from([*TOOLS, "approve", "nowhere"]),
    arguments=st.dictionaries(
        st.sampled_from(["name", "numbers", "text", "steps", "to", "body", "most"]),
        VALUES,
        max_size=3,
    ),
    for_each=st.none() | st.sampled_from(["${a}", "${b[*].name}", "${item}", "all"]),
    after=st.lists(NAMES, max_size=1).map(tuple),
)


@given(st.lists(STEPS, max_size=4), st.none() | st.sampled_from(["${a}", "${zz}", "done"]))
def test_whatever_a_model_plans_is_judged_and_what_passes_has_an_order(
    steps: list[Step], answer: str | None
) -> None:
    plan = Workflow(goal="g", steps=tuple(steps), answer=answer, params={"p": Param()})
    if not faults_of(plan, TOOLS):
        assert sum(map(len, plan.levels())) == len(steps)
        for step in plan.steps:
            assert step.tool == "approve" or step.tool in TOOLS
            if step.tool == "send":
                assert any(step.id in each.approves for each in plan.steps)
