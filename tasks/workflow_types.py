"""What a reference stands for before there is a value: JSON schemas, from those of tools."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tasks.json_schemas import alternatives
from tasks.references import Reference, schema_at, whole_reference
from tasks.tools import Tool
from tasks.workflows import ITEM, PARAMS, Param, Step, Workflow

_JSON_TYPE = dict.fromkeys(("text", "collection", "corpus", "specialist"), "string")
_NAMES = {
    **{"array": "a list", "object": "an object", "string": "a text", "boolean": "yes or no"},
    **{"integer": "a whole number", "number": "a number"},
}


@dataclass(frozen=True)
class Types:
    """The types of all that a workflow's references can stand for."""

    workflow: Workflow
    tools: Mapping[str, Tool]

    @cached_property
    def steps(self) -> Mapping[str, Step]:
        """The workflow's steps, by their names."""
        return self.workflow.by_id

    def schema_of(self, found: Reference, step: Step | None) -> dict[str, Any]:
        """JSON schema of what a reference in a step, or in the answer, stands for; empty where it
        may be anything. Its root has to be there.

        Raises LookupError in words for a part that cannot be there, with what may have been meant.
        """
        try:
            return self._looked_up(found, step)
        except LookupError as error:
            raise LookupError(f"{error.args[0]}{self._meant(found, step)}") from None

    def _meant(self, found: Reference, step: Step | None) -> str:
        """What may have been meant by a part of a list that only its elements have."""
        first, _, rest = found.text.partition(".")
        try:
            self._looked_up(Reference(f"{first}[0].{rest}"), step)
        except LookupError:
            return ""
        return (
            f". Write ${{{first}[0].{rest}}} for the first one; for all of them give the step "
            f"for_each ${{{first}}} and write ${{item.{rest}}}"
        )

    def _looked_up(self, found: Reference, step: Step | None) -> dict[str, Any]:
        if found.root == PARAMS:
            param = self.workflow.params[str(found.path[0])]
            return schema_at(param_schema(param), found.path[1:])
        if found.root == ITEM:
            over = whole_reference(step.for_each if step else None)
            if over is None or over.root == ITEM:
                return {}
            elements = self._looked_up(over, step)
            return schema_at(schema_at(elements, (0,)), found.path) if elements else {}
        source = self.steps[found.root]
        schema = self.tools[source.tool].result_schema
        if source.for_each:
            defs = {"$defs": schema["$defs"]} if "$defs" in schema else {}
            schema = {"type": "array", "items": schema, **defs}
        return schema_at(schema, found.path)


def param_schema(param: Param) -> dict[str, Any]:
    """JSON schema of what a parameter can be."""
    options = {"enum": [*param.options]} if param.options else {}
    return {"type": _JSON_TYPE.get(param.type, param.type), **options}


def mismatch(offered: dict[str, Any], wanted: dict[str, Any]) -> str | None:
    """Why a value of one schema cannot be given for another; None where it can, or nobody knows."""
    given, taken = types_of(offered), types_of(wanted)
    if "number" in taken:
        taken = taken | {"integer"}
    if given == {"array"} and "array" in taken:
        inner = mismatch(schema_at(offered, (0,)), schema_at(wanted, (0,)))
        return f"a list, and an element of it is {inner}" if inner else None
    if not given or not taken or given & taken:
        return None
    hint = "; take a part of it, such as [0]" if given == {"array"} else ""
    return f"{said_type(offered)}, and {said_type(wanted)} is taken{hint}"


def types_of(schema: dict[str, Any]) -> set[str]:
    """The JSON types that a value may have; none where it may be anything."""
    kinds = alternatives(schema)
    types = {kind["type"] for kind in kinds if "type" in kind}
    return types if len([kind for kind in kinds if "type" in kind]) == len(kinds) else set()


def said_type(schema: dict[str, Any]) -> str:
    """What a value of a schema is, in words."""
    return " or ".join(sorted(_NAMES.get(each, each) for each in types_of(schema))) or "anything"
