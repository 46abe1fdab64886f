"""How long eight one-second tools with a diamond take: `python -m benchmarks.agents`.

    a → b → d → g → h
      ↘ c ↗   ↗
    e → f ────

The controller plans them as a graph and runs each as soon as what it needs is done; a saved
workflow does the same without a model; the agent and LangChain's `create_agent`, in the same run,
ask the model after each step, or after all that can be called at once. The model is an endpoint of
this module that answers after a fixed time. What can be reached: the longest way through the
graph, and the calls of the model before and after it.
"""

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from benchmarks.servers import free_port, home, running
from tasks.tools import tool

NEEDS = {"a": "", "e": "", "b": "a", "c": "a", "f": "e", "d": "bc", "g": "df", "h": "g"}
LONGEST = 5  # steps, of the longest way
TOOL_SECONDS = 1.0


@tool()
async def do_step(step: str, after: str = "") -> str:
    """Do a step of the plan."""
    await asyncio.sleep(TOOL_SECONDS)
    return f"result of {step}"


def planned() -> list[dict[str, Any]]:
    """The steps as a planner writes them."""
    return [
        {
            "id": name,
            "tool": "do_step",
            "arguments": {"step": name, "after": " ".join(f"${{{each}}}" for each in needed)},
            "for_each": None,
            "when": None,
        }
        for name, needed in NEEDS.items()
    ]


def answer_to(body: dict[str, Any]) -> dict[str, Any]:
    """What the model says: a plan where one is asked for; calls of the steps that can be done, one
    or all of them; an answer when all are."""
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema", {})
    match schema.get("title"):
        case "Plan":
            return {"content": json.dumps({"why": "As it was asked for.", "steps": planned()})}
        case "Steps":
            step = {"tool": "do_step", "purpose": "To do them."}
            return {"content": json.dumps({"steps": [step]})}
        case "GoalAnswer":
            return {"content": json.dumps({"answer": "All steps are done."})}
        case "Critique":
            return {"content": json.dumps({"verdict": "good", "reason": "All are done."})}
    said = " ".join(str(each.get("content")) for each in body["messages"] if each["role"] == "tool")
    done = set(re.findall(r"result of (\w)", said))
    ready = [name for name, needed in NEEDS.items() if name not in done and {*needed} <= done]
    if not (body.get("tools") and ready):
        return {"content": "All steps are done."}
    chosen = ready if body.get("parallel_tool_calls", True) else ready[:1]
    calls = [
        {
            "id": f"call_{name}",
            "type": "function",
            "function": {"name": "do_step", "arguments": json.dumps({"step": name})},
        }
        for name in chosen
    ]
    return {"content": None, "tool_calls": calls}


def serve(port: int, seconds: float) -> None:
    """The endpoint, until the process is ended."""

    async def complete(request: web.Request) -> web.Response:
        body = await request.json()
        await asyncio.sleep(seconds)
        message = {"role": "assistant", **answer_to(body)}
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        choice = {"index": 0, "finish_reason": reason, "message": message}
        usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        known = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]}
        return web.json_response({**known, "choices": [choice], "usage": usage})

    async def alive(request: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/", alive)
    web.run_app(app, host="127.0.0.1", port=port, print=None)


async def langchain(url: str, *, parallel: bool) -> None:
    """LangChain's own agent on the same work."""
    from langchain.agents import create_agent
    from langchain_core.tools import StructuredTool
    from langchain_openai import ChatOpenAI

    kept = {} if parallel else {"model_kwargs": {"parallel_tool_calls": False}}
    model = ChatOpenAI(model="sim", base_url=f"{url}/v1", api_key="x", **kept)
    offered = StructuredTool.from_function(
        coroutine=do_step.run, name="do_step", description="Do a step of the plan."
    )
    agent: Any = create_agent(model, [offered])
    task = {"messages": [{"role": "user", "content": "Do all steps of the plan."}]}
    await agent.ainvoke(task, {"recursion_limit": 60})


async def measured(url: str, seconds: float, times: int) -> None:
    from flows.agentic_workflow import work_on_task
    from flows.controller import pursue_goal, run_workflow
    from infra.llm import close_door
    from tasks.goals import GoalRequest
    from tasks.planning import workflow_from
    from tasks.replies import PlannedWorkflow
    from tasks.saved_workflows import save_workflow
    from tasks.task_plans import TaskRequest
    from tasks.workflow_runs import WorkflowRequest

    plan = PlannedWorkflow(why="", steps=planned())
    saved = workflow_from("Do all steps", plan).model_copy(update={"answer": "${h}"})
    await save_workflow("diamond", saved, "benchmark")
    shortest = LONGEST * TOOL_SECONDS
    rows: list[tuple[str, float, Callable[[int], Awaitable[Any]]]] = [
        ("create_agent, one call a turn", 0, lambda n: langchain(url, parallel=False)),
        ("create_agent, parallel calls", 0, lambda n: langchain(url, parallel=True)),
        (
            "work_on_task",
            0,
            lambda n: work_on_task(TaskRequest(task=f"Do all steps of the plan, {n}.")),
        ),
        (
            "pursue_goal, planned freely",
            shortest + 2 * seconds,
            lambda n: pursue_goal(GoalRequest(goal=f"Do all steps, {n}", planning="free")),
        ),
        (
            "run_workflow, saved",
            shortest,
            lambda n: run_workflow(WorkflowRequest(name="diamond")),
        ),
    ]
    try:
        await run_workflow(WorkflowRequest(name="diamond"))  # what is imported once is not counted
        await work_on_task(TaskRequest(task="Do all steps of the plan, first."))
        for name, reachable, work in rows:
            walls = list[float]()
            for number in range(times):
                started = time.perf_counter()
                await work(number)
                walls.append(time.perf_counter() - started)
            wall = sorted(walls)[len(walls) // 2]
            told = f"{name}: {wall:.2f} s"
            if reachable:
                told += f", {wall / reachable:.2f} × its critical path of {reachable:.1f} s"
            print(told, flush=True)
    finally:
        await close_door()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.6, help="Of a call of the model.")
    parser.add_argument("--times", type=int, default=3, help="Of each, of which the median counts.")
    parser.add_argument("--serve", type=int, help="Be the endpoint, on this port.")
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.seconds)
        return
    url = f"http://127.0.0.1:{(port := free_port())}"
    endpoint = [sys.executable, "-m", "benchmarks.agents", "--serve", str(port)]
    settings = {
        "PATTERNS_TOOLS": '["benchmarks.agents"]',
        "PATTERNS_CHAT_MODEL": "openai:sim",
        "PATTERNS_CHAT_BASE_URL": f"{url}/v1",
    }
    with running([*endpoint, "--seconds", str(given.seconds)], url), home(**settings):
        asyncio.run(measured(url, given.seconds, given.times))


if __name__ == "__main__":
    main()
