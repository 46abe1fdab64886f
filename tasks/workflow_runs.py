"""Runs of workflows: of a plan for a goal, or of a saved one with other parameters."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from prefect import task
from pydantic import BaseModel, ConfigDict, Field

from infra.errors import InputError, WorkIncomplete
from tasks.approvals import require_reviewable
from tasks.asking import ask
from tasks.goals import GoalRequest, Limits, Planned
from tasks.planning import planned_again
from tasks.progress import progress
from tasks.references import as_text, resolved
from tasks.replies import GoalAnswer
from tasks.review_form import spent
from tasks.review_output import Released, review_all, review_output
from tasks.reviews import Draft, Rejection, Subject
from tasks.runs import RETRIED
from tasks.saved_workflows import filled, read_workflow, save_workflow
from tasks.steps import current_root_run, once
from tasks.tools import Tool
from tasks.workflow_checks import require_sound
from tasks.workflow_execution import Execution, State
from tasks.workflow_parameters import with_parameters
from tasks.workflow_report import plan_markdown, publish_plan
from tasks.workflows import APPROVE, Workflow

_MATERIAL = 8000  # characters of results that an answer is worded from


class WorkflowRequest(Limits):
    """A saved workflow to run, and with what."""

    name: str = Field(
        description="Name of the workflow; `patterns workflow list` has them.",
        json_schema_extra={"position": 0},
    )
    params: dict[str, Any] = Field(
        default_factory=dict,
        description="Its parameters; those left out are as they usually are.",
        json_schema_extra={"position": 1},
    )
    requester: str = Field(
        "",
        description="Who asks for it: somebody else has to approve what it writes.",
        json_schema_extra={"position": 2},
    )


class StepDone(BaseModel):
    """What became of a step. ``began``, ``ended``: seconds after the work began."""

    model_config = ConfigDict(frozen=True)

    id: str
    tool: str
    state: State | None
    why: str
    calls: int
    began: float
    ended: float
    result: str


class GoalDone(BaseModel):
    """What a workflow came to. ``saved``: name of the one that was run, None for a plan of a
    model's; ``failed``: why steps did, by their names; ``cost_usd``: None where a price is unknown.
    """

    model_config = ConfigDict(frozen=True)

    goal: str
    answer: str
    workflow: Workflow
    params: dict[str, Any]
    saved: str | None
    plans: int
    steps: tuple[StepDone, ...]
    failed: dict[str, str]
    model_calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None

    @property
    def brief(self) -> "GoalDone":
        """The same without results of steps, which may be what customers wrote: Prefect keeps what
        flows return."""
        steps = tuple(step.model_copy(update={"result": ""}) for step in self.steps)
        return self.model_copy(update={"steps": steps})


async def agreed(
    request: GoalRequest, tools: Mapping[str, Tool], planned: Planned, number: int
) -> Planned:
    """The run's plan of that number, on the run's page; where the request wants it reviewed, the
    one that a person approves: this one, or one that heeds why it was rejected."""
    await publish_plan(planned)
    if not request.review_plan:
        return planned
    subject = Subject(title="Plan", kind="plan", policy="plans", author=request.requester)
    make = partial(_plan_draft, request, tools, planned, number)
    released = await review_output(subject, make, step=f"approve-plan-{number}")
    if released.text == planned.text:
        return planned
    other = _planned_of(released, planned)
    await publish_plan(other)
    return other


async def saved_as(request: GoalRequest, tools: Mapping[str, Tool], planned: Planned) -> None:
    """Keep the plan under the name that was asked for, if any; what was given for it, or stands in
    it, is what its parameters usually are; it is for the goal in the words that were said."""
    if request.save_as:
        workflow = with_parameters(planned.workflow, planned.params, tools)
        workflow = workflow.model_copy(update={"goal": planned.goal, "examples": ()})
        await save_workflow(request.save_as, workflow, request.requester, current_root_run())


@task(name="read workflow", **RETRIED)
async def read_for_run(request: WorkflowRequest, tools: Mapping[str, Tool]) -> Planned:
    """A saved workflow with its parameters, read once for a run.

    Raises InputError for one that is not there, cannot be run, or lacks a parameter.
    """

    async def read() -> Planned:
        saved = await read_workflow(request.name)
        require_sound(saved.workflow, tools, request.ceiling)
        params = await filled(saved.workflow, request.params)
        goal = saved.workflow.goal
        return Planned(goal=goal, workflow=saved.workflow, params=params, saved=saved.name)

    return await once("workflow", read, Planned)


async def carried_out(
    request: GoalRequest | WorkflowRequest, planned: Planned, tools: Mapping[str, Tool]
) -> Execution:
    """A workflow, carried out as far as it can be; called in the body of a flow, since people may
    be asked on the way. Raises SettingsError before anything is done, where nobody could be."""
    used = {step.tool for step in planned.workflow.steps}
    require_reviewable(each for name, each in tools.items() if name in used)
    async with progress("Carrying out the workflow", len(planned.workflow.steps)) as following:
        execution = Execution(
            goal=planned.goal,
            workflow=planned.workflow,
            tools=tools,
            params=planned.params,
            author=request.requester,
            most_items=request.max_items,
            following=following,
        )
        while waiting := await execution.advance():
            execution.decide(await review_all(waiting))
    return execution


@task(name="conclude", **RETRIED)
async def conclude(planned: Planned, execution: Execution, plans: int) -> GoalDone:
    """What a workflow came to; without an answer where steps have failed."""
    answer = ""
    if not execution.failed:
        answer = await once(f"conclusion-{plans}", lambda: _answer(planned, execution), str)
    results = execution.results
    steps = tuple(
        StepDone(
            id=step.id,
            tool=step.tool,
            state=found.state if (found := results.get(step.id)) else None,
            why=found.why if found else "",
            calls=found.calls if found else 0,
            began=found.began if found else 0.0,
            ended=found.ended if found else 0.0,
            result=as_text(found.value) if found and found.state == "done" else "",
        )
        for step in planned.workflow.steps
    )
    taken = await spent(current_root_run())
    return GoalDone(
        goal=planned.goal,
        answer=answer,
        workflow=planned.workflow,
        params=planned.params,
        saved=planned.saved,
        plans=plans,
        steps=steps,
        failed=execution.failed,
        **taken.model_dump(),
    )


def require_reached(done: GoalDone) -> None:
    """Raise WorkIncomplete when a step has failed for good."""
    if done.failed:
        named = "; ".join(f"{name}: {why.rstrip('.')}" for name, why in done.failed.items())
        plans = f"after {done.plans} plans" if done.plans > 1 else "by this workflow"
        raise WorkIncomplete(
            f"The goal was not reached {plans}: {named}. What was finished is kept, and shown on "
            "the run's page; `patterns resume` tries again what failed."
        )


async def _answer(planned: Planned, execution: Execution) -> str:
    """The workflow's own answer; where it has none, or speaks of what was not done, one that a
    model words from what was."""
    if planned.workflow.answer is not None:
        try:
            return as_text(resolved(planned.workflow.answer, execution.values)).strip()
        except LookupError as error:
            if not execution.not_done:
                said = f"The workflow's answer cannot be made: {error.args[0]}."
                raise InputError(said) from error
    results = {
        step.id: value
        for step in planned.workflow.steps
        if step.tool != APPROVE and (value := execution.results[step.id].value) is not None
    }
    room = _MATERIAL // max(1, len(results))
    told = [f"{name}:\n{as_text(value)[:room]}" for name, value in results.items()]
    told += [f"{name}: it was not done. {why}" for name, why in execution.not_done.items()]
    reply = await ask("report_results", {"results": "\n\n".join(told), "goal": planned.goal})
    assert isinstance(reply.value, GoalAnswer)
    return reply.value.answer.strip()


async def _plan_draft(
    request: GoalRequest,
    tools: Mapping[str, Tool],
    first: Planned,
    number: int,
    rejections: tuple[Rejection, ...],
) -> Draft:
    now = first
    if rejections:
        reasons = tuple(rejection.words for rejection in rejections)
        now = await planned_again(request, tools, number, reasons)
    shown = plan_markdown(now.workflow, now.params)
    return Draft(text=now.text, shown=shown, material=request.goal)


def _planned_of(released: Released, first: Planned) -> Planned:
    said = json.loads(released.text)
    workflow = Workflow.model_validate(said["workflow"])
    return Planned(goal=first.goal, workflow=workflow, params=said["params"])
