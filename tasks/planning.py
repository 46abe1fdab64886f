"""From a goal to a workflow: a saved one with its slots filled, or one that a model plans.

To choose a saved workflow and fill its slots are two small questions, which small models answer; to
plan freely is a large one. What a model plans is checked, and mended with the faults as it says
them, before anybody sees it. Nothing untrusted has been read by then: the plan fixes the tools.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal

from prefect import task
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict, Field

from infra.budget import Budget
from infra.embeddings import embed
from infra.errors import InputError, PlanRefused
from tasks.asking import ask
from tasks.plan_schemas import steps_schema
from tasks.references import as_text
from tasks.replies import (
    Fits,
    PlannedStep,
    PlannedWorkflow,
    parameters_of,
    workflow_of,
)
from tasks.runs import RETRIED
from tasks.saved_workflows import SavedWorkflow, filled, options_of, saved_workflows
from tasks.steps import once
from tasks.tools import Tool, tools_text
from tasks.workflow_checks import Ceiling, Fault, faults_of
from tasks.workflow_execution import StepResult
from tasks.workflows import APPROVE, Condition, Param, Step, Workflow

Way = Literal["auto", "saved", "free"]

_MENDS = 3  # of a plan that has faults
_CHOICE = 3  # saved workflows that a model is asked about
_NONE = "none"
_APPROVE = f"{APPROVE}(steps: [text]): Ask a person to approve steps that write."


class GoalRequest(BaseModel):
    """A goal to reach."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    goal: str = Field(
        min_length=3,
        max_length=4000,
        description="What is to be reached, in words.",
        json_schema_extra={"position": 0},
    )
    planning: Way = Field(
        "auto",
        description="saved: a saved workflow whose slots are filled. free: a model plans. auto: "
        "saved where one fits, else free.",
        json_schema_extra={"position": 1},
    )
    tools: tuple[str, ...] = Field(
        (),
        description="The only tools that may be used. Empty: all.",
        json_schema_extra={"position": 2},
    )
    review_plan: bool = Field(
        False,
        description="Wait until a person approves the plan, before anything is done.",
        json_schema_extra={"position": 3},
    )
    requester: str = Field(
        "",
        description="Who asks for it: somebody else has to approve what it writes.",
        json_schema_extra={"position": 4},
    )
    save_as: str | None = Field(
        None,
        description="Keep the workflow under this name, to run it again.",
        json_schema_extra={"position": 5},
    )
    max_items: int = Field(
        20, ge=1, le=500, description="Most elements that a step is mapped over."
    )
    max_model_calls: int = Field(200, ge=1, description="Most calls of models.")
    max_cost: float | None = Field(None, gt=0, description="Most USD that it may cost.")
    max_replans: int = Field(2, ge=0, le=10, description="New plans after a step has failed.")

    def budget(self) -> Budget:
        """What the run may use."""
        return Budget(max_calls=self.max_model_calls, max_cost=self.max_cost)

    @property
    def ceiling(self) -> Ceiling:
        """What a plan may take."""
        return Ceiling(items=self.max_items, model_calls=self.max_model_calls, cost=self.max_cost)


class Planned(BaseModel):
    """A plan that passes its checks. ``goal``: in the words of whoever asked; ``saved``: name of
    the saved workflow that it is, None for a model's plan; ``faults``: of the plans before it."""

    model_config = ConfigDict(frozen=True)

    goal: str
    workflow: Workflow
    params: dict[str, Any] = Field(default_factory=dict)
    saved: str | None = None
    faults: tuple[tuple[Fault, ...], ...] = ()

    @property
    def text(self) -> str:
        """Workflow and parameters as JSON: what a person approves."""
        said = {"workflow": json.loads(self.workflow.text), "params": self.params}
        return json.dumps(said, ensure_ascii=False, indent=1, sort_keys=True)


class _Replanned(BaseModel):
    planned: Planned | None = None
    why: str = ""


@task(name="plan", **RETRIED)
async def plan(request: GoalRequest, tools: Mapping[str, Tool]) -> Planned:
    """A workflow that reaches a goal; planned once for a run."""
    return await once("plan", lambda: planned(request, tools), Planned)


@task(name="replan", **RETRIED)
async def replan(
    request: GoalRequest,
    tools: Mapping[str, Tool],
    before: Planned,
    results: Mapping[str, StepResult],
    number: int,
) -> Planned | None:
    """Another workflow for a goal, after steps of the one before have failed. What they finished is
    kept under the calls themselves, and the new plan finds it.

    It has the tools of the first plan and no others: why a step failed may be words of whoever
    wants it to call one. None where no plan passes its checks.
    """
    used = {step.tool for step in before.workflow.steps}
    same = {name: each for name, each in tools.items() if name in used}
    said = f"The last plan failed. Reuse what is done.\n{_progress(before.workflow, results)}"

    async def made() -> _Replanned:
        try:
            return _Replanned(planned=await _free(request, same, said))
        except PlanRefused as error:
            return _Replanned(why=str(error))

    found = await once(f"replan-{number}", made, _Replanned)
    if found.planned is None:
        get_run_logger().warning("There is no other plan: %s", found.why)
    return found.planned


async def planned_again(
    request: GoalRequest, tools: Mapping[str, Tool], reasons: tuple[str, ...]
) -> Planned:
    """Another workflow for a goal, that heeds why people rejected the ones before; once for a run
    and so many reasons."""
    said = "People rejected the last plan:\n" + "\n".join(f"- {reason}" for reason in reasons)
    return await once(f"plan-{len(reasons)}", lambda: _free(request, tools, said), Planned)


async def planned(request: GoalRequest, tools: Mapping[str, Tool]) -> Planned:
    """A workflow that reaches a goal. Raises PlanRefused when there is none, and what
    `tasks.asking.ask` raises."""
    if not request.goal.strip():
        raise InputError("The goal says nothing. Say what is to be reached.")
    if request.planning != "free":
        if found := await _from_saved(request, tools):
            return found
        if request.planning == "saved":
            raise PlanRefused(
                "No saved workflow reaches this goal. `patterns workflow list` names those there "
                "are; --planning free lets a model plan."
            )
    return await _free(request, tools)


async def _from_saved(request: GoalRequest, tools: Mapping[str, Tool]) -> Planned | None:
    """The nearest saved workflow that a model says is for the goal, its slots filled; None where it
    says so of none. One small question for each: among several, a small model chooses badly."""
    usable = {
        name: saved
        for name, saved in (await saved_workflows()).items()
        if not faults_of(saved.workflow, tools, request.ceiling)
    }
    if not usable:
        return None
    for saved in await _nearest(request.goal, usable):
        inputs = {"workflow": _told(saved), "goal": request.goal}
        reply = await ask("judge_workflow", inputs)
        assert isinstance(reply.value, Fits)
        if reply.value.fits == "yes":
            params = await _slots(request.goal, saved)
            workflow, name = saved.workflow, saved.name
            return Planned(goal=request.goal, workflow=workflow, params=params, saved=name)
    return None


async def _nearest(goal: str, known: Mapping[str, SavedWorkflow]) -> list[SavedWorkflow]:
    """The workflows whose goal, or an example of it, is nearest to a goal in meaning, the nearest
    first: the few that a model is asked about."""
    texts = {name: (saved.workflow.goal, *saved.workflow.examples) for name, saved in known.items()}
    flat = [(name, text) for name, several in texts.items() for text in several]
    wanted, *vectors = await embed([goal, *(text for _, text in flat)])
    nearness = dict.fromkeys(known, -1.0)
    for (name, _), vector in zip(flat, vectors, strict=True):
        nearness[name] = max(nearness[name], float(vector @ wanted))
    ranked = sorted(known, key=lambda name: -nearness[name])
    return [known[name] for name in ranked[:_CHOICE]]


def _told(saved: SavedWorkflow) -> str:
    examples = "; ".join(f'"{each}"' for each in saved.workflow.examples)
    return saved.workflow.goal + (f" As in: {examples}" if examples else "")


async def _slots(goal: str, saved: SavedWorkflow) -> dict[str, Any]:
    """The parameters of a saved workflow, from a goal. What is kept under a name of which there is
    one is that one."""
    given, asked, told = dict[str, Any](), dict[str, tuple[Any, str]](), list[str]()
    for name, param in saved.workflow.params.items():
        options = await options_of(param)
        if options is not None and not options:
            raise PlanRefused(
                f"The workflow {saved.name} needs a {param.type}, and there is none. "
                "See `patterns ingest` and `patterns corpus add`."
            )
        if options and len(options) == 1:
            given[name] = options[0]
            continue
        asked[name] = (_type_of(param, options), param.description)
        told.append(f"{name} ({_kind(param, options)}): {param.description}")
    if asked:
        parameters = "\n".join(told)
        inputs = {"workflow": saved.workflow.goal, "parameters": parameters, "goal": goal}
        reply = await ask("fill_parameters", inputs, fills=parameters_of(asked))
        values: BaseModel = getattr(reply.value, "parameters")  # noqa: B009
        given |= values.model_dump()
    return await filled(saved.workflow, given)


def _type_of(param: Param, options: tuple[str, ...] | None) -> Any:
    if options:
        return Literal[options]
    return {"integer": int, "number": float, "boolean": bool}.get(param.type, str)


def _kind(param: Param, options: tuple[str, ...] | None) -> str:
    kind = f"one of {', '.join(options)}" if options else param.type
    return kind if param.default is None else f"{kind}, usually {param.default}"


async def _free(request: GoalRequest, tools: Mapping[str, Tool], faults: str = _NONE) -> Planned:
    """A plan of a model's, mended until it passes its checks."""
    seen = list[tuple[Fault, ...]]()
    writes = any(each.writes for each in tools.values())
    listed = "\n".join([tools_text(tools.values()), *([_APPROVE] if writes else [])])
    schema = steps_schema(tools)
    for _ in range(_MENDS + 1):
        inputs = {"tools": listed, "goal": request.goal, "faults": faults}
        reply = await ask("plan_workflow", inputs, fills=workflow_of(schema))
        assert isinstance(reply.value, PlannedWorkflow)
        if not reply.value.steps:
            raise PlanRefused(f"The goal cannot be reached with these tools: {reply.value.why}")
        workflow = workflow_from(request.goal, reply.value)
        found = tuple(faults_of(workflow, tools, request.ceiling))
        if not found:
            return Planned(goal=request.goal, workflow=workflow, faults=tuple(seen))
        repeated = found in seen  # the same answer again: more tries would bring no other
        seen.append(found)
        if repeated:
            break
        faults = "Your last plan:\n" + _plan_text(workflow) + "\nIts faults:\n"
        faults += "\n".join(f"- {fault}" for fault in found)
    last = " ".join(f"{str(fault).rstrip('.')}." for fault in seen[-1])
    raise PlanRefused(
        f"No plan for the goal passed its checks in {len(seen)} tries. The last one: {last} "
        "Word the goal in smaller steps, or use a stronger model."
    )


def workflow_from(goal: str, plan: PlannedWorkflow) -> Workflow:
    """The workflow that a planner's reply is."""
    return Workflow(goal=goal, steps=tuple(map(_step, plan.steps)))


def _step(planned: PlannedStep) -> Step:
    when = planned.when
    return Step(
        id=planned.id,
        tool=planned.tool,
        arguments=planned.arguments,
        for_each=planned.for_each or None,
        when=Condition(value=when.value, test=when.test, to=when.to) if when else None,
    )


def _plan_text(workflow: Workflow) -> str:
    return "\n".join(
        json.dumps(step.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)
        for step in workflow.steps
    )


def _progress(workflow: Workflow, results: Mapping[str, StepResult]) -> str:
    """What a plan came to, for who makes the next one: no result is quoted, since it may hold
    orders of others."""
    told = []
    for step in workflow.steps:
        result = results.get(step.id)
        state = result.state if result else "not begun"
        why = f": {result.why}" if result and result.state == "failed" else ""
        said = json.dumps(step.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)
        told.append(f"- {said} {state}{why}")
    return as_text("\n".join(told))
