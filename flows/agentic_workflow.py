"""Agentic workflow: a task whose steps are not known before, done with tools, and checked.

    task → LLM planning → tool calls → review → output
              └ fixes the tools ┘  └ a person, where one writes; a critic, for the answer ┘

Use it where the next step depends on what the last one found. It costs a model call for the plan,
one for each turn and one for the critic, besides what the tools take; where the steps are the same
every time, a workflow (`flows/controller.py`) does it for less. Killed at any step, it goes on.
"""

from functools import partial

from prefect import flow

from flows.tools import offered_tools
from tasks.agent import Agent
from tasks.critique import criticize
from tasks.progress import progress
from tasks.review_output import review_all, review_output
from tasks.runs import charged
from tasks.task_plans import TaskRequest, plan_task
from tasks.task_results import (
    TaskDone,
    draft_of,
    publish_trajectory,
    require_answer,
    subject_of,
    task_done,
)
from tasks.tools import chosen


@flow(name="work-on-task", persist_result=True)
async def work_on_task(request: TaskRequest) -> TaskDone:
    """Work on a task with tools."""
    tools = chosen(await offered_tools(), request.tools)
    async with charged(request.budget()):
        agent = Agent(request, await plan_task(request, tools), tools)
        async with progress("Turns of the model", request.max_turns) as agent.following:
            await agent.begin()
            while not agent.is_finished:
                if waiting := agent.reviews:
                    await agent.decide(await review_all(waiting))
                else:
                    await agent.heed(await criticize(agent))
        held = request.review and not agent.stopped
        released = (
            await review_output(subject_of(agent), partial(draft_of, agent)) if held else None
        )
        done = await task_done(agent, released)
        await publish_trajectory(done)
    require_answer(agent.stopped)
    return done.brief
