"""From a goal to a workflow: a saved one, or one that a model plans.

What a model plans is checked, and mended with the faults as it says them, before anybody sees it.
Nothing untrusted has been read by then: the plan fixes the tools.
"""

import json
from collections.abc import Mapping, Sequence

from prefect import task
from prefect.logging import get_run_logger
from pydantic import BaseModel

from infra.errors import InputError, PlanRefused, ReplyMalformed, ReplyTruncated
from tasks.asking import ask
from tasks.goals import GoalRequest, Planned
from tasks.plan_schemas import steps_schema
from tasks.replies import PlannedStep, PlannedWorkflow, workflow_of
from tasks.runs import RETRIED
from tasks.steps import once
from tasks.tools import Tool, tools_text
from tasks.workflow_checks import Fault, faults_of
from tasks.workflow_choice import from_saved
from tasks.workflow_execution import Execution
from tasks.workflows import APPROVE, Condition, Step, Workflow

_MENDS = 3  # of a plan that has faults
_APPROVE = f"{APPROVE}(steps: [text]): Ask a person to approve steps that write."


class _Replanned(BaseModel):
    planned: Planned | None = None
    why: str = ""


@task(name="plan", **RETRIED)
async def plan(request: GoalRequest, tools: Mapping[str, Tool]) -> Planned:
    """A workflow that reaches a goal; planned once for a run."""
    return await once("plan", lambda: planned(request, tools), Planned)


@task(name="replan", **RETRIED)
async def replan(
    request: GoalRequest, tools: Mapping[str, Tool], plans: Sequence[Planned], last: Execution
) -> Planned | None:
    """Another workflow for a goal, after steps of the last one have failed. What they finished is
    kept under the calls themselves, and the new plan finds it. None where no plan passes its
    checks, or as many were made as are allowed.

    It has the tools of the first plan and no others: why a step failed may be words of whoever
    wants it to call one.
    """
    if len(plans) > request.max_replans:
        return None
    used = {step.tool for step in plans[0].workflow.steps}
    same = {name: each for name, each in tools.items() if name in used}
    said = f"The last plan failed. Reuse what is done.\n{_progress(last)}"

    async def made() -> _Replanned:
        try:
            return _Replanned(planned=await _free(request, same, said))
        except (PlanRefused, ReplyMalformed, ReplyTruncated) as error:
            return _Replanned(why=str(error))

    found = await once(f"replan-{len(plans)}", made, _Replanned)
    if found.planned is None:
        get_run_logger().warning("There is no other plan: %s", found.why)
    return found.planned


async def planned_again(
    request: GoalRequest, tools: Mapping[str, Tool], number: int, reasons: tuple[str, ...]
) -> Planned:
    """Another workflow for a goal, that heeds why people rejected the ones before, in place of the
    run's plan of that number; once for a run and so many reasons."""
    said = "People rejected the last plan:\n" + "\n".join(f"- {reason}" for reason in reasons)
    key = f"plan-{number}-{len(reasons)}"
    return await once(key, lambda: _free(request, tools, said), Planned)


async def planned(request: GoalRequest, tools: Mapping[str, Tool]) -> Planned:
    """A workflow that reaches a goal. Raises PlanRefused when there is none, and what
    `tasks.asking.ask` raises."""
    if not request.goal.strip():
        raise InputError("The goal says nothing. Say what is to be reached.")
    if request.planning != "free":
        if found := await from_saved(request, tools):
            return found
        if request.planning == "saved":
            raise PlanRefused(
                "No saved workflow reaches this goal. `patterns workflow list` names those there "
                "are; --planning free lets a model plan."
            )
    return await _free(request, tools)


async def _free(request: GoalRequest, tools: Mapping[str, Tool], before: str = "") -> Planned:
    """A plan of a model's, mended until it passes its checks. ``before``: what became of the plans
    before it."""
    seen, faults = list[tuple[Fault, ...]](), ""
    writes = any(each.writes for each in tools.values())
    listed = "\n".join([tools_text(tools.values()), *([_APPROVE] if writes else [])])
    schema = steps_schema(tools)
    for _ in range(_MENDS + 1):
        told = "\n".join(filter(None, (before, faults))) or "none"
        inputs = {"tools": listed, "goal": request.goal, "faults": told}
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
        steps = "\n".join(map(_line, workflow.steps))
        listed_faults = "\n".join(f"- {fault}" for fault in found)
        faults = f"Your last plan:\n{steps}\nIts faults:\n{listed_faults}"
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


def _line(step: Step) -> str:
    return json.dumps(step.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)


def _progress(last: Execution) -> str:
    """What a plan came to, for who makes the next one: no result is quoted, since it may hold
    orders of others."""
    told = []
    for step in last.workflow.steps:
        result = last.results.get(step.id)
        state = result.state if result else "not begun"
        why = f": {result.why}" if result and result.state == "failed" else ""
        told.append(f"- {_line(step)} {state}{why}")
    return "\n".join(told)
