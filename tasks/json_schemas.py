"""JSON schemas as they are read here: by models, by people, and by checks."""

from collections.abc import Mapping
from typing import Any

KEPT = "x-kept"  # in the schema of an argument: the kind of what is kept that it names

_LEFT_OUT = ("title", "default", "$defs", KEPT)  # of what models are told


def alternatives(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas of which a value has one, without references and unions; null left out."""
    defs = schema.get("$defs", {})
    if "$ref" in schema:
        target = defs.get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
        return alternatives({**target, "$defs": defs})
    several = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if several:
        return [kind for each in several for kind in alternatives({**each, "$defs": defs})]
    types = schema.get("type")
    if isinstance(types, list):
        return [{**schema, "type": each} for each in types if each != "null"]
    return [] if types == "null" else [schema]


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without references into its definitions, titles and defaults; what holds itself may
    be anything."""
    found: dict[str, Any] = _inlined(schema, schema.get("$defs", {}))
    return found


def shape(schema: Mapping[str, Any]) -> str:
    """What a JSON schema allows, in as few words as can be: ``{title: text, ids: [text]}``."""
    defs = {"$defs": schema.get("$defs", {})}
    kinds = [_shape(kind, defs) for kind in alternatives(dict(schema))]
    return " or ".join(dict.fromkeys(kinds)) or "anything"


def _shape(kind: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    if values := kind.get("enum") or ([kind["const"]] if "const" in kind else []):
        return "|".join(map(str, values))
    match kind.get("type"):
        case "array":
            return f"[{shape({**kind.get('items', {}), **defs})}]"
        case "object" if "properties" in kind:
            fields = kind["properties"].items()
            return "{" + ", ".join(f"{n}: {shape({**f, **defs})}" for n, f in fields) + "}"
        case "string":
            return "text"
        case str(other):
            return other
    return "anything"


def _inlined(schema: Any, defs: Mapping[str, Any]) -> Any:
    match schema:
        case {"$ref": str(ref), **beside}:
            name = ref.rsplit("/", 1)[-1]
            others = {key: each for key, each in defs.items() if key != name}
            return {**_inlined(defs.get(name, {}), others), **_inlined(beside, defs)}
        case {"type": "object", "properties": dict(properties)}:
            # Names of properties are no keywords: one may be called title.
            fields = {key: _inlined(each, defs) for key, each in properties.items()}
            return _inlined({**schema, "properties": None}, defs) | {"properties": fields}
        case dict():
            return {k: _inlined(each, defs) for k, each in schema.items() if k not in _LEFT_OUT}
        case list():
            return [_inlined(each, defs) for each in schema]
    return schema
