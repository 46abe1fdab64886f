"""What a planner may write, as a JSON schema: a step for each tool, with the arguments it takes."""

import json
from collections.abc import Mapping
from typing import Any

from tasks.json_schemas import inlined
from tasks.replies import PlannedStep
from tasks.tools import Tool
from tasks.workflows import APPROVE

_REFERENCE = {"type": "string", "pattern": r"^\$\{[a-z][^{}]*\}$"}


def steps_schema(tools: Mapping[str, Tool]) -> str:
    """JSON text of the schema of a step with one of the tools, or of an approval where one writes.
    Every argument is of its type, or a reference."""
    variants = [_variant(name, _arguments(each)) for name, each in tools.items()]
    if any(each.writes for each in tools.values()):
        ids = {"type": "array", "items": {"type": "string"}, "minItems": 1}
        variants.append(_variant(APPROVE, _object({"steps": ids}, ["steps"])))
    return json.dumps({"anyOf": variants} if len(variants) > 1 else variants[0])


def _variant(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    schema = PlannedStep.model_json_schema()
    fields = {**schema["properties"], "tool": {"const": tool}, "arguments": arguments}
    when = schema["$defs"]["PlannedCondition"]
    fields["when"] = {"anyOf": [when, {"type": "null"}]}
    return _object(fields, [*fields])


def _arguments(tool: Tool) -> dict[str, Any]:
    schema = inlined(tool.arguments.model_json_schema())
    fields = {name: _or_reference(field) for name, field in schema.get("properties", {}).items()}
    return _object(fields, schema.get("required", []))


def _or_reference(field: dict[str, Any]) -> dict[str, Any]:
    if field.get("type") == "string" and "enum" not in field:
        return field
    return {"anyOf": [*field.get("anyOf", [field]), _REFERENCE]}


def _object(fields: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": False,
    }
