"""Plans that are kept: what stood in them, or was given for them, becomes their parameters.

So a plan that was made for one goal can be run again for another, without a planner: other tickets,
another collection, another number.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.json_schemas import KEPT, alternatives
from tasks.references import references_in
from tasks.tools import Tool
from tasks.workflow_types import mismatch, param_schema
from tasks.workflows import APPROVE, PARAMS, Param, ParamType, Step, Workflow

_TYPES: dict[type, ParamType] = {str: "text", int: "integer", float: "number", bool: "boolean"}


def with_parameters(
    workflow: Workflow, params: Mapping[str, Any], tools: Mapping[str, Tool]
) -> Workflow:
    """The workflow as it is kept. Parameters that it has are usually what was given for them; one
    that has none gets them: each plain value that its steps call tools with, under the argument's
    name, and under the step's name besides where another step has another value for it."""
    if workflow.params:
        usual = {
            name: param.model_copy(update={"default": params.get(name, param.default)})
            for name, param in workflow.params.items()
        }
        return workflow.model_copy(update={"params": usual})
    found, steps = dict[str, Param](), list[Step]()
    for step in workflow.steps:
        arguments = dict(step.arguments)
        for name, param in _plain(step, tools):
            for called in (name, f"{step.id}_{name}"):
                if found.setdefault(called, param) == param:
                    arguments[name] = f"${{{PARAMS}.{called}}}"
                    break
        steps.append(step.model_copy(update={"arguments": arguments}))
    return workflow.model_copy(update={"params": found, "steps": tuple(steps)})


def _plain(step: Step, tools: Mapping[str, Tool]) -> Iterator[tuple[str, Param]]:
    """Arguments of a step that are plain values, each as the parameter that it becomes; not those
    that only fit once they are read as another type."""
    if step.tool == APPROVE:
        return
    schema = tools[step.tool].arguments.model_json_schema()
    for name, value in step.arguments.items():
        if type(value) not in _TYPES or any(references_in(value)):
            continue
        field = {**schema["properties"][name], "$defs": schema.get("$defs", {})}
        param = Param(
            type=field.get(KEPT) or _TYPES[type(value)],
            description=field.get("description", ""),
            default=value,
            options=() if KEPT in field else _options(field),
        )
        if not mismatch(param_schema(param), field):
            yield name, param


def _options(field: dict[str, Any]) -> tuple[str, ...]:
    kinds = alternatives(field)
    found = [each for kind in kinds for each in kind.get("enum", ())]
    return tuple(each for each in found if isinstance(each, str))
