"""Workflows as people read them: a table, and a picture of what waits for what."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.markdown import escaped, fenced, quoted, table
from tasks.plots import ACCENT, PALE, WARNING, picture
from tasks.references import as_text
from tasks.workflows import APPROVE, Condition, Step, Workflow

if TYPE_CHECKING:
    from tasks.goals import Planned
    from tasks.workflow_runs import GoalDone

_RESULT = 1200  # characters of a step's result
_MOST_DRAWN = 40  # steps
_GREY = "#dddddd"
_COLOURS = {
    "done": PALE,
    "failed": WARNING,
    "refused": WARNING,
    "skipped": "#eeeeee",
    "blocked": "#cccccc",
}


@task(name="publish plan", cache_policy=NO_CACHE, persist_result=False)
async def publish_plan(planned: "Planned") -> None:
    """Leave the plan on the run's page, before any of it is done."""
    source = f"the saved workflow {escaped(planned.saved)}" if planned.saved else "a model's plan"
    parts = [f"**{_line(planned.goal)}** ({source})"]
    parts += [_given(planned.params), plan_table(planned.workflow), drawn(planned.workflow)]
    if planned.workflow.answer:
        parts.append(f"The answer: {_line(planned.workflow.answer)}")
    for number, faults in enumerate(planned.faults, 1):
        told = "\n".join(f"- {_line(str(fault))}" for fault in faults)
        parts.append(f"Plan {number} was refused:\n\n{told}")
    text = "\n\n".join(filter(None, parts))
    await acreate_markdown_artifact(text, key="plan", description="The plan")


@task(name="publish workflow", cache_policy=NO_CACHE, persist_result=False)
async def publish_run(done: "GoalDone") -> None:
    """Leave what a workflow came to on the run's page."""
    await acreate_markdown_artifact(
        run_markdown(done), key="workflow-run", description="What the workflow came to"
    )


def plan_markdown(workflow: Workflow, params: Mapping[str, Any]) -> str:
    """The parameters, the steps in the order in which they can be done, and the answer."""
    steps = "\n".join(f"{n}. {_told(step, workflow)}" for n, step in _numbered(workflow))
    answer = f"The answer: {_line(workflow.answer)}" if workflow.answer else ""
    return "\n\n".join(filter(None, (_given(params), steps, answer)))


def plan_table(workflow: Workflow) -> str:
    """The steps as a table: what each calls, with what, for which elements, and after what."""
    rows = [
        (
            str(number),
            f"`{step.id}`",
            "a person approves" if step.tool == APPROVE else escaped(step.tool),
            _arguments(step),
            escaped(step.for_each or ""),
            _line(_condition(step.when)) if step.when else "",
            escaped(", ".join(sorted(workflow.needs(step)))),
        )
        for number, step in _numbered(workflow)
    ]
    return table(("", "Step", "Tool", "With", "For each", "Only if", "After"), "rllllll", rows)


def run_markdown(done: "GoalDone") -> str:
    """A run of a workflow: the answer, what became of each step, and what it took."""
    states = {step.id: step.state or "not begun" for step in done.steps}
    parts = [f"**{_line(done.goal)}**"]
    if done.answer:
        parts.append(f"The answer:\n\n{quoted(done.answer)}")
    rows = [
        (
            f"`{step.id}`",
            escaped(step.tool),
            states[step.id],
            str(step.calls),
            f"{step.began:.1f}–{step.ended:.1f}" if step.calls else "",
            _line(step.why),
        )
        for step in done.steps
    ]
    parts.append(table(("Step", "Tool", "State", "Calls", "Seconds", "Why"), "lllrll", rows))
    parts.append(drawn(done.workflow, states))
    for step in done.steps:
        if step.result and step.tool != APPROVE:
            cut = step.result[:_RESULT] + (" …" if len(step.result) > _RESULT else "")
            parts.append(f"Result of `{step.id}`:\n\n{fenced(cut)}")
    cost = "unknown" if done.cost_usd is None else f"{done.cost_usd:.6f} USD"
    plan = f"the saved workflow {escaped(done.saved)}" if done.saved else f"plan {done.plans}"
    parts.append(
        f"From {plan}. {done.model_calls} model calls, {done.prompt_tokens} + "
        f"{done.completion_tokens} tokens, cost {cost}."
    )
    return "\n\n".join(parts) + "\n"


def workflow_text(workflow: Workflow) -> str:
    """A workflow for the terminal."""
    lines = [workflow.goal]
    for name, param in workflow.params.items():
        usual = "" if param.default is None else f", usually {param.default}"
        lines.append(f"  {name} ({param.type}{usual}): {param.description}")
    lines += [f"{number}. {_plain(step)}" for number, step in _numbered(workflow)]
    if workflow.answer:
        lines.append(f"Answer: {workflow.answer}")
    return "\n".join(lines)


def drawn(workflow: Workflow, states: Mapping[str, str] | None = None) -> str:
    """The graph as a picture in Markdown: steps that can run at once stand below each other. Too
    large a one is not drawn."""
    if len(workflow.steps) > _MOST_DRAWN:
        return ""
    from matplotlib.figure import Figure  # without pyplot: no display, no global state

    levels = workflow.levels()
    tallest = max(map(len, levels))
    figure = Figure(figsize=(1.9 * len(levels) + 0.4, 0.75 * tallest + 0.4), dpi=110)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-0.6, len(levels) - 0.4)
    axes.set_ylim(-0.6, tallest - 0.4)
    places = {step.id: place for step, place in _placed(levels, tallest)}
    for step in workflow.steps:
        for needed in workflow.direct_needs(step):
            axes.annotate(
                "",
                xy=places[step.id],
                xytext=places[needed],
                arrowprops={"arrowstyle": "->", "color": ACCENT, "shrinkA": 32, "shrinkB": 32},
            )
    for step in workflow.steps:
        colour = _COLOURS.get((states or {}).get(step.id, ""), "white")
        style = "round,pad=0.35" if step.tool == APPROVE else "square,pad=0.35"
        box = {"boxstyle": style, "facecolor": colour, "edgecolor": ACCENT}
        label = f"{step.id[:18]}{' ×n' if step.for_each else ''}"
        axes.text(*places[step.id], label, ha="center", va="center", fontsize=8, bbox=box)
    return picture(figure, "The workflow")


def _placed(
    levels: Sequence[Sequence[Step]], tallest: int
) -> list[tuple[Step, tuple[float, float]]]:
    return [
        (step, (float(x), tallest - 1 - y - (tallest - len(level)) / 2))
        for x, level in enumerate(levels)
        for y, step in enumerate(level)
    ]


def _told(step: Step, workflow: Workflow) -> str:
    """A step as Markdown."""
    if step.tool == APPROVE:
        return f"`{step.id}`: **a person approves** {escaped(', '.join(step.approves))}"
    arguments = _arguments(step)
    told = f"`{step.id}`: **{escaped(step.tool)}**" + (f" with {arguments}" if arguments else "")
    if step.for_each:
        told += f", for each of {escaped(step.for_each)}"
    if step.when:
        told += f", only if {_line(_condition(step.when))}"
    if needs := sorted(workflow.needs(step)):
        told += f" (after {escaped(', '.join(needs))})"
    return told


def _plain(step: Step) -> str:
    if step.tool == APPROVE:
        return f"{step.id}: a person approves {', '.join(step.approves)}"
    arguments = ", ".join(f"{name}={as_text(value)}" for name, value in step.arguments.items())
    told = f"{step.id}: {step.tool}({' '.join(arguments.split())})"
    told += f" for each of {step.for_each}" if step.for_each else ""
    return told + (f" if {_condition(step.when)}" if step.when else "")


def _arguments(step: Step) -> str:
    return ", ".join(
        f"{escaped(name)} = {_line(as_text(value)[:300])}" for name, value in step.arguments.items()
    )


def _given(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{_line(name)}: **{_line(as_text(v))}**" for name, v in params.items())


def _numbered(workflow: Workflow) -> list[tuple[int, Step]]:
    return [*enumerate((step for level in workflow.levels() for step in level), 1)]


def _condition(when: Condition) -> str:
    return f"{when.value} is {when.test}" + (
        f" to {as_text(when.to)}" if when.to is not None else ""
    )


def _line(text: str) -> str:
    return escaped(" ".join(text.split()))
