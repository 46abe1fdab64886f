"""The saved workflow that reaches a goal, and what its slots are filled with.

Both are small questions, which small models answer.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel

from infra.embeddings import embed
from infra.errors import PlanRefused
from tasks.asking import ask
from tasks.goals import GoalRequest, Planned
from tasks.replies import Fits, parameters_of
from tasks.saved_workflows import SavedWorkflow, filled, options_of, saved_workflows
from tasks.tools import Tool
from tasks.workflow_checks import faults_of
from tasks.workflows import Param

_CHOICE = 3  # saved workflows that a model is asked about


async def from_saved(request: GoalRequest, tools: Mapping[str, Tool]) -> Planned | None:
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
