"""LLM-as-a-Controller: a goal becomes a workflow, which people can read, approve and run again.

    goal → LLM → workflow of tool calls → checks → execution → result
             └──── mend, with the faults ────┘ └ steps at once; replan, keeping what is done ┘

Use it for work of several steps that is worth seeing before it is done, or doing again: with other
parameters, on a schedule, without the planner. A goal that a saved workflow reaches costs two to
four small calls and what its tools take; a free plan a large call, and one for each mend.
"""

from prefect import flow

from flows.tools import offered_tools
from tasks.goals import GoalRequest, Planned
from tasks.planning import plan, replan
from tasks.runs import charged
from tasks.saved_workflows import require_name
from tasks.tools import chosen
from tasks.workflow_report import publish_plan, publish_run
from tasks.workflow_runs import (
    GoalDone,
    WorkflowRequest,
    agreed,
    carried_out,
    conclude,
    read_for_run,
    require_reached,
    saved_as,
)


@flow(name="pursue-goal", persist_result=True)
async def pursue_goal(request: GoalRequest) -> GoalDone:
    """Compile a goal into a workflow, and carry it out."""
    require_name(request.save_as)
    tools = chosen(await offered_tools(), request.tools)
    async with charged(request.budget()):
        plans = [await agreed(request, tools, await plan(request, tools), 1)]
        execution = await carried_out(request, plans[-1], tools)
        while execution.failed and (other := await replan(request, tools, plans, execution)):
            plans.append(await agreed(request, tools, other, len(plans) + 1))
            execution = await carried_out(request, plans[-1], tools)
        done = await conclude(plans[-1], execution, len(plans))
        await publish_run(done)
    require_reached(done)
    await saved_as(request, tools, plans[-1])
    return done.brief


@flow(name="plan-goal")
async def plan_goal(request: GoalRequest) -> Planned:
    """Compile a goal into a workflow, and carry out none of it."""
    require_name(request.save_as)
    tools = chosen(await offered_tools(), request.tools)
    async with charged(request.budget()):
        planned = await plan(request, tools)
        await publish_plan(planned)
        await saved_as(request, tools, planned)
    return planned


@flow(name="run-workflow", persist_result=True)
async def run_workflow(request: WorkflowRequest) -> GoalDone:
    """Run a saved workflow. No planner is asked."""
    tools = await offered_tools()
    async with charged(request.budget()):
        planned = await read_for_run(request, tools)
        execution = await carried_out(request, planned, tools)
        done = await conclude(planned, execution, 1)
        await publish_run(done)
    require_reached(done)
    return done.brief
