"""What is wrong with a workflow, found before any of it is carried out.

Every fault names the step and says how to mend it: the planner reads it, and people do.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from infra.errors import InputError
from infra.providers import model_of, price_of
from tasks.references import SAME, Reference, references_in, whole_reference
from tasks.suggestions import did_you_mean
from tasks.tool_calls import argument_faults
from tasks.tools import Tool
from tasks.workflow_types import Types, mismatch, said_type, types_of
from tasks.workflows import APPROVE, ITEM, PARAMS, STEP_ID, Step, Workflow

MOST_STEPS = 40
_PROMPT_TOKENS, _REPLY_TOKENS = 1500, 300  # about, of one call of a model
_COMPARED = {"equal", "unequal", "greater", "less"}


class Fault(BaseModel):
    """One thing that is wrong. ``code``: its class, in a word that can be counted; ``step``: where,
    empty for the workflow as a whole."""

    model_config = ConfigDict(frozen=True)

    code: str
    step: str
    message: str

    def __str__(self) -> str:
        return f"{self.step}: {self.message}" if self.step else self.message


@dataclass(frozen=True)
class Ceiling:
    """What a workflow may take. ``items``: elements that a step is mapped over; ``cost``: USD."""

    steps: int = MOST_STEPS
    items: int = 20
    model_calls: int | None = None
    cost: float | None = None


@dataclass(frozen=True)
class _Known(Types):
    """What a check looks things up in."""

    ceiling: Ceiling


def faults_of(
    workflow: Workflow, tools: Mapping[str, Tool], ceiling: Ceiling | None = None
) -> list[Fault]:
    """All that is wrong with a workflow; nothing for a good one."""
    known = _Known(workflow, tools, ceiling or Ceiling())
    if found := list(_size(known)):
        return found
    if found := [*_names(known), *(f for s in workflow.steps for f in _tool(known, s))]:
        return found
    found = [fault for step in workflow.steps for fault in _references(known, step)]
    found += _answer(known)
    if cycle := workflow.cycle():
        way = " needs ".join([*cycle, cycle[0]])
        told = "it needs itself" if len(cycle) == 1 else f"they go round in a circle: {way}"
        found.append(Fault(code="cycle", step=cycle[0], message=told))
    found += _approvals(known)
    if found:
        return found
    for step in workflow.steps:
        held = {**step.arguments, "for_each": step.for_each, "when": step.when and step.when.held}
        found += [*_fields(known, held, step)] or _step(known, step)
    found += _fields(known, {"answer": workflow.answer}, None)
    return found or list(_cost(known))


def require_sound(
    workflow: Workflow, tools: Mapping[str, Tool], ceiling: Ceiling | None = None
) -> None:
    """Raise InputError with all faults of a workflow."""
    if found := faults_of(workflow, tools, ceiling):
        raise InputError(
            "The workflow cannot be run. " + " ".join(f"{str(f).rstrip('.')}." for f in found)
        )


def estimated_calls(workflow: Workflow, tools: Mapping[str, Tool], items: int) -> int:
    """The most calls of models that a workflow makes, about; a mapped step's for ``items``."""
    calls = 0 if workflow.answer else 1
    return calls + sum(
        tools[step.tool].model_calls * (items if step.for_each else 1)
        for step in workflow.steps
        if step.tool != APPROVE
    )


def estimated_cost(calls: int) -> float | None:
    """USD of so many calls, about; None when a price is unknown."""
    return price_of(model_of("strong"), calls * _PROMPT_TOKENS, calls * _REPLY_TOKENS)


def _size(known: _Known) -> Iterator[Fault]:
    count, most = len(known.workflow.steps), known.ceiling.steps
    if not count:
        yield Fault(code="empty", step="", message="there is no step")
    if count > most:
        said = f"there are {count:,} steps, and {most} at most: map a step over a list instead"
        yield Fault(code="too many steps", step="", message=said)


def _names(known: _Known) -> Iterator[Fault]:
    for name, count in Counter(step.id for step in known.workflow.steps).items():
        if not STEP_ID.fullmatch(name):
            said = "a step's id is a word of a-z, 0-9 and _, at most 40 letters"
            yield Fault(code="bad id", step=name[:60], message=said)
        if name in (ITEM, PARAMS):
            yield Fault(
                code="reserved id", step=name, message=f"no step is called {name}: rename it"
            )
        if count > 1:
            yield Fault(code="duplicate id", step=name, message=f"{count} steps have this id")


def _tool(known: _Known, step: Step) -> Iterator[Fault]:
    if step.tool != APPROVE and step.tool not in known.tools:
        near = did_you_mean(step.tool, known.tools)
        said = f"there is no tool {step.tool!r}.{near} There are: {', '.join(known.tools)}"
        yield Fault(code="unknown tool", step=step.id, message=said)


def _references(known: _Known, step: Step) -> Iterator[Fault]:
    held = [step.arguments, step.for_each, step.when and step.when.held]
    for found in references_in(held):
        yield from _reference(known, found, step)
    for name in step.after:
        if name not in known.steps:
            said = f"after: there is no step {name!r}.{did_you_mean(name, known.steps)}"
            yield Fault(code="unknown step", step=step.id, message=said)


def _reference(known: _Known, found: Reference, step: Step | None) -> Iterator[Fault]:
    place = step.id if step else "answer"

    def fault(code: str, message: str) -> Fault:
        return Fault(code=code, step=place, message=f"{found}: {message}")

    if not found.is_well_formed:
        yield fault("bad reference", "a reference looks like ${step.field[0].name}")
    elif (found.root == ITEM or SAME in found.path) and not (step and step.for_each):
        yield fault("item outside map", "only a step with for_each has an item")
    elif found.root == PARAMS:
        names = known.workflow.params
        name = str(found.path[0]) if found.path else ""
        if name not in names:
            there = f"There are: {', '.join(names)}" if names else "There is none"
            said = f"there is no parameter {name!r}.{did_you_mean(name, names)} {there}"
            yield fault("unknown parameter", said)
    elif found.root != ITEM and found.root not in known.steps:
        near = did_you_mean(found.root, known.steps)
        said = f"there is no step {found.root!r}.{near} There are: {', '.join(known.steps)}"
        yield fault("unknown reference", said)
    elif found.root in known.steps and known.steps[found.root].tool == APPROVE:
        yield fault("reference to approval", "an approval has no result; name it in after")


def _answer(known: _Known) -> Iterator[Fault]:
    for found in references_in(known.workflow.answer):
        yield from _reference(known, found, None)


def _approvals(known: _Known) -> Iterator[Fault]:
    approved = Counter[str]()
    for step in known.workflow.steps:
        if step.tool != APPROVE:
            continue
        if {*step.arguments} != {"steps"} or not step.approves or step.for_each or step.when:
            said = f'{APPROVE} takes {{"steps": [ids of steps that write]}}, and nothing else'
            yield Fault(code="bad approval", step=step.id, message=said)
        approved.update(step.approves)
        for name in step.approves:
            if name not in known.steps:
                said = f"it approves {name!r}, which is no step"
                yield Fault(code="approval of unknown step", step=step.id, message=said)
            elif not _writes(known, known.steps[name]):
                said = f"it approves {name}, which does not write: leave it out"
                yield Fault(code="approval of a read", step=step.id, message=said)
    for step in known.workflow.steps:
        if not _writes(known, step):
            continue
        if not approved[step.id]:
            said = f"{step.tool} writes, and nobody approves it: add a step with the tool {APPROVE}"
            said += f' and the arguments {{"steps": ["{step.id}"]}}'
            yield Fault(code="unapproved write", step=step.id, message=said)
        elif approved[step.id] > 1:
            said = "several steps approve it: one is enough"
            yield Fault(code="approved twice", step=step.id, message=said)


def _writes(known: _Known, step: Step) -> bool:
    return step.tool != APPROVE and known.tools[step.tool].writes


def _step(known: _Known, step: Step) -> Iterator[Fault]:
    """Faults of types, in a step whose references and tool are known to be there."""
    if step.tool == APPROVE:
        return
    yield from _for_each(known, step)
    yield from _condition(known, step)
    given, tool = dict(step.arguments), known.tools[step.tool]
    schema = tool.arguments.model_json_schema()
    fields, defs = schema.get("properties", {}), schema.get("$defs", {})
    for name in sorted(given.keys() - fields.keys()):
        there = f"It takes: {', '.join(fields)}" if fields else "It takes none"
        said = f"{step.tool} takes no argument {name!r}.{did_you_mean(name, fields)} {there}"
        yield Fault(code="unknown argument", step=step.id, message=said)
    for name in schema.get("required", ()):
        if name not in given:
            said = f"{step.tool} needs the argument {name!r}"
            yield Fault(code="missing argument", step=step.id, message=said)
    for name in sorted(given.keys() & fields.keys()):
        wanted = {**fields[name], "$defs": defs}
        yield from _argument(known, step, name, given[name], wanted)


def _fields(known: _Known, held: Mapping[str, Any], step: Step | None) -> Iterator[Fault]:
    """References to parts of results that no result has."""
    for name, value in held.items():
        for found in references_in(value):
            try:
                known.schema_of(found, step)
            except LookupError as error:
                said = f"{found}: {error.args[0]}"
                place, told = (step.id, f"{name}: {said}") if step else ("answer", said)
                yield Fault(code="unknown field", step=place, message=told)


def _argument(
    known: _Known, step: Step, name: str, value: Any, wanted: dict[str, Any]
) -> Iterator[Fault]:
    if whole := whole_reference(value):
        if why := mismatch(known.schema_of(whole, step), wanted):
            yield Fault(code="wrong type", step=step.id, message=f"{name}: {whole} is {why}")
    elif any(references_in(value)):
        if isinstance(value, str) and types_of(wanted) and "string" not in types_of(wanted):
            said = f"{name}: it takes {said_type(wanted)}, and a text is given"
            yield Fault(code="wrong type", step=step.id, message=said)
    else:
        tool = known.tools[step.tool]
        for said in argument_faults(tool, {name: value}):
            if said.startswith((f"{name}:", f"{name}.")):
                told = f"{said}; it takes {said_type(wanted)}"
                yield Fault(code="wrong type", step=step.id, message=told)


def _for_each(known: _Known, step: Step) -> Iterator[Fault]:
    if step.for_each is None:
        return
    whole = whole_reference(step.for_each)
    if whole is None or whole.root == ITEM:
        said = f"for_each is a reference to a list, such as ${{step.field}}, not {step.for_each!r}"
        yield Fault(code="bad for_each", step=step.id, message=said)
        return
    offered = known.schema_of(whole, step)
    if offered and "array" not in types_of(offered):
        said = f"for_each: {whole} is {said_type(offered)}, not a list"
        yield Fault(code="for_each over no list", step=step.id, message=said)


def _condition(known: _Known, step: Step) -> Iterator[Fault]:
    if step.when is None:
        return
    whole = whole_reference(step.when.value)
    if whole is None:
        said = f"when: value is a reference, such as ${{step.field}}, not {step.when.value!r}"
        yield Fault(code="bad condition", step=step.id, message=said)
        return
    offered = known.schema_of(whole, step)
    test, types = step.when.test, types_of(offered)
    if test in _COMPARED and step.when.to is None:
        said = f"when: {test} needs something to compare with, in `to`"
        yield Fault(code="bad condition", step=step.id, message=said)
    wanted = {"true": {"boolean"}, "false": {"boolean"}}.get(test, set())
    wanted |= {"integer", "number", "string"} if test in ("greater", "less") else set()
    if types and wanted and not types & wanted:
        said = f"when: {whole} is {said_type(offered)}, which cannot be {test}"
        yield Fault(code="bad condition", step=step.id, message=said)


def _cost(known: _Known) -> Iterator[Fault]:
    calls = estimated_calls(known.workflow, known.tools, known.ceiling.items)
    if known.ceiling.model_calls is not None and calls > known.ceiling.model_calls:
        said = f"it would take about {calls} calls of models, and {known.ceiling.model_calls} are "
        yield Fault(code="over budget", step="", message=said + "allowed: do less, or map less")
    if known.ceiling.cost is not None:
        cost = estimated_cost(calls)
        if cost is None:
            said = "there is a limit of money, but a price is unknown: add it to PATTERNS_PRICES"
            yield Fault(code="unknown price", step="", message=said)
        elif cost > known.ceiling.cost:
            said = f"it would cost about {cost:.4f} USD, and {known.ceiling.cost:g} are allowed"
            yield Fault(code="over budget", step="", message=said)
