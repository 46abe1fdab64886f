"""`patterns task`, `goal` and `workflow`: the agent and the controller at the terminal."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.terminal import (
    AsJson,
    bars,
    run_async,
    run_flow,
    show,
    tell,
    user_name,
    without_a_run,
)
from infra.errors import InputError

if TYPE_CHECKING:
    from tasks.goals import Planned
    from tasks.saved_workflows import SavedWorkflow
    from tasks.task_results import TaskDone
    from tasks.workflow_runs import GoalDone

workflow = typer.Typer(
    help="Workflows that are saved, and run without a planner.", no_args_is_help=True
)

By = Annotated[str | None, typer.Option("--by", help="Who you are. Default: the user's name.")]
Tools = Annotated[list[str] | None, typer.Option("--tool", help="Only this tool; may be repeated.")]
Params = Annotated[list[str] | None, typer.Option("--param", help="A parameter, as NAME=VALUE.")]
MaxItems = Annotated[int, typer.Option(help="Most elements that a step is mapped over.")]
MaxCalls = Annotated[int, typer.Option(help="Most calls of models.")]
MaxCost = Annotated[float | None, typer.Option(help="Most USD that it may cost.")]


@workflow.callback()
def _workflows() -> None:
    """Some of these commands make a run, and find their server themselves."""


def task(
    task: Annotated[str, typer.Argument(help="What is to be done, in words.")],
    material: Annotated[
        Path | None, typer.Option(help="File of a text that it is about, which is not obeyed.")
    ] = None,
    tools: Tools = None,
    review: Annotated[
        bool, typer.Option("--review", help="Hold the answer back until a person releases it.")
    ] = False,
    max_turns: Annotated[int, typer.Option(help="Most turns of the model.")] = 12,
    max_tool_calls: Annotated[int, typer.Option(help="Most calls of tools.")] = 30,
    max_revisions: Annotated[int, typer.Option(help="Answers that the critic sends back.")] = 1,
    max_minutes: Annotated[float, typer.Option(help="Most minutes, without waiting.")] = 30,
    max_model_calls: Annotated[int | None, typer.Option(help="Most calls of models.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens, in and out.")] = None,
    max_cost: MaxCost = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Work on a task with tools: plan, calls, review, answer."""
    _require_words(task, "task")
    request = {
        "task": task,
        "material": _text_of(material) if material else "",
        "tools": tuple(tools or ()),
        "review": review,
        "requester": by or user_name(),
        "max_turns": max_turns,
        "max_tool_calls": max_tool_calls,
        "max_revisions": max_revisions,
        "max_minutes": max_minutes,
        "max_model_calls": max_model_calls,
        "max_tokens": max_tokens,
        "max_cost": max_cost,
    }
    with bars():
        done = run_flow("flows.agentic_workflow.work_on_task", request=request)
    _tell_task(done)
    show(done.model_dump(mode="json"), done.answer, as_json=as_json)


def goal(
    goal: Annotated[str, typer.Argument(help="What is to be reached, in words.")],
    plan_only: Annotated[
        bool, typer.Option("--plan-only", help="Only show the plan; do none of it.")
    ] = False,
    planning: Annotated[
        str, typer.Option(help="auto; saved: slots of a saved workflow; free: a model plans.")
    ] = "auto",
    tools: Tools = None,
    review_plan: Annotated[
        bool, typer.Option("--review-plan", help="Wait until a person approves the plan.")
    ] = False,
    save_as: Annotated[str | None, typer.Option(help="Keep the workflow under this name.")] = None,
    max_items: MaxItems = 20,
    max_model_calls: MaxCalls = 200,
    max_cost: MaxCost = None,
    max_replans: Annotated[int, typer.Option(help="New plans after a step has failed.")] = 2,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Compile a goal into a workflow of tool calls, and carry it out."""
    _require_words(goal, "goal")
    request = {
        "goal": goal,
        "planning": planning,
        "tools": tuple(tools or ()),
        "review_plan": review_plan,
        "save_as": save_as,
        "max_items": max_items,
        "max_model_calls": max_model_calls,
        "max_cost": max_cost,
        "max_replans": max_replans,
        "requester": by or user_name(),
    }
    if plan_only:
        planned = run_flow("flows.controller.plan_goal", request=request)
        show(_plan_result(planned), _plan_text(planned), as_json=as_json)
        return
    with bars():
        done = run_flow("flows.controller.pursue_goal", request=request)
    _show_run(done, as_json=as_json)


@workflow.command("list")
def list_(as_json: AsJson = False) -> None:
    """Name the workflows: those that were saved, and the project's own."""
    without_a_run()
    from tasks.saved_workflows import saved_workflows

    found = run_async(saved_workflows())
    lines = "\n".join(map(_line, found.values()))
    show({"workflows": [_saved_result(each) for each in found.values()]}, lines, as_json=as_json)


@workflow.command("tools")
def tools_(as_json: AsJson = False) -> None:
    """Name the tools that steps can call here and now, with their arguments."""
    without_a_run()
    from flows.tools import offered_tools
    from tasks.tools import tools_text

    found = run_async(offered_tools())
    rows = [
        {
            "name": each.name,
            "description": each.description,
            "writes": each.writes,
            "model_calls": each.model_calls,
            "seconds": each.seconds,
            "arguments": dict(each.schema.arguments),
        }
        for each in found.values()
    ]
    show({"tools": rows}, tools_text(found.values()), as_json=as_json)


@workflow.command("show")
def show_(
    name: Annotated[str, typer.Argument(help="Name of the workflow.")], as_json: AsJson = False
) -> None:
    """Print a workflow: what it is for, its parameters, its steps."""
    without_a_run()
    from tasks.saved_workflows import read_workflow
    from tasks.workflow_report import workflow_text

    found = run_async(read_workflow(name))
    result = _saved_result(found) | {"workflow": json.loads(found.workflow.text)}
    show(result, workflow_text(found.workflow), as_json=as_json)


@workflow.command("save")
def save(
    file: Annotated[Path, typer.Argument(help="YAML or JSON file of a workflow.")],
    name: Annotated[str | None, typer.Option(help="Its name. Default: the file's.")] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Check a workflow, and keep it."""
    without_a_run()
    from flows.tools import offered_tools
    from tasks.saved_workflows import read_workflow_file, save_workflow
    from tasks.workflow_checks import require_sound

    found, called = read_workflow_file(file), name or file.stem

    async def saved() -> None:
        require_sound(found, await offered_tools())
        await save_workflow(called, found, by or user_name())

    run_async(saved())
    show({"name": called, "version": found.version}, f"{called} is saved.", as_json=as_json)


@workflow.command("run")
def run(
    name: Annotated[str, typer.Argument(help="Name of the workflow.")],
    params: Params = None,
    max_items: MaxItems = 20,
    max_model_calls: MaxCalls = 200,
    max_cost: MaxCost = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Run a workflow with other parameters. No planner is asked."""
    request = {
        "name": name,
        "params": dict(map(_pair, params or [])),
        "max_items": max_items,
        "max_model_calls": max_model_calls,
        "max_cost": max_cost,
        "requester": by or user_name(),
    }
    with bars():
        done = run_flow("flows.controller.run_workflow", request=request)
    _show_run(done, as_json=as_json)


@workflow.command("schedule")
def schedule(
    name: Annotated[str, typer.Argument(help="Name of the workflow.")],
    cron: Annotated[
        str | None, typer.Option(help="When, such as '0 7 * * 1': Mondays at seven.")
    ] = None,
    timezone: Annotated[str, typer.Option(help="Of these times.")] = "UTC",
    params: Params = None,
    off: Annotated[bool, typer.Option("--off", help="Run it by itself no more.")] = False,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Have a workflow run by itself, as a deployment that `patterns up` serves."""
    without_a_run()
    from tasks.saved_workflows import schedule_workflow, unschedule_workflow

    if off == bool(cron):
        raise InputError("Say when, with --cron, or --off.")
    if cron is None:
        was = run_async(unschedule_workflow(name))
        words = f"{name} runs by itself no more." if was else f"{name} did not run by itself."
        show({"name": name, "cron": None}, words, as_json=as_json)
        return
    given = dict(map(_pair, params or []))
    run_async(schedule_workflow(name, cron, timezone, given, by or user_name()))
    words = f"{name} runs at {cron} ({timezone}) while `patterns up` serves."
    show({"name": name, "cron": cron, "timezone": timezone}, words, as_json=as_json)


def _require_words(said: str, what: str) -> None:
    if len(said.strip()) < 3:
        raise InputError(f"The {what} says nothing. Say what is wanted.")


def _text_of(path: Path) -> str:
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a text: {error}.") from error


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="--param")
    return name, value


def _tell_task(done: "TaskDone") -> None:
    for call in done.calls:
        tell(f"{call.line}: {'failed, ' + call.failed if call.failed else 'done'}")
    if done.critique and done.supported is False:
        tell(f"The critic: {done.critique.verdict}. {done.critique.reason}")


def _show_run(done: "GoalDone", *, as_json: bool) -> None:
    for step in done.steps:
        if step.state != "done":
            tell(f"{step.id}: {step.state or 'not begun'}. {step.why}")
    shown = done.model_dump(mode="json", exclude={"workflow"})
    shown["workflow"] = json.loads(done.workflow.text)
    show(shown, done.answer, as_json=as_json)


def _plan_result(planned: "Planned") -> dict[str, Any]:
    return {
        "workflow": json.loads(planned.workflow.text),
        "params": planned.params,
        "saved": planned.saved,
        "mended": len(planned.faults),
    }


def _plan_text(planned: "Planned") -> str:
    from tasks.workflow_report import workflow_text

    lines = [f"The workflow {planned.saved}." if planned.saved else "A plan of a model's."]
    lines += [f"{name} = {value}" for name, value in planned.params.items()]
    return "\n".join([*lines, workflow_text(planned.workflow)])


def _saved_result(each: "SavedWorkflow") -> dict[str, Any]:
    told = each.model_dump(mode="json", exclude={"workflow"})
    return told | {"goal": each.workflow.goal, "params": [*each.workflow.params]}


def _line(each: "SavedWorkflow") -> str:
    when = f"  at {each.schedule.cron} ({each.schedule.timezone})" if each.schedule else ""
    return f"{each.name}{when}  {each.workflow.goal}"
