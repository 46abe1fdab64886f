"""References to values that are not there yet: ``${step.field[0].name}`` in a workflow's arguments.

    ${themes}                     the whole result of the step ``themes``
    ${themes.findings[0].title}   a part of it; ``[*]``: that part of each
    ${params.collection}          a parameter of the workflow
    ${item.title}                 of the element that a mapped step is at
    ${answers[@].text}            of another list, the element at the same place as that

A text that is a reference and nothing else stands for the value itself, of whatever type; one with
other words around it for a text. Paths are followed in values when a workflow runs, and in JSON
schemas before it does.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from tasks.json_schemas import alternatives

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_FORM = re.compile(r"([a-z][a-z0-9_]*)((?:\.[A-Za-z_][\w-]*|\[\d+\]|\[\*\]|\[@\])*)")
_PART = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+)\]|\[([*@])\]")

EACH, SAME = "*", "@"
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Reference:
    """``text``: what stands between the braces; ``root``: a step, ``params`` or ``item``; ``path``:
    names of fields, numbers of elements, `EACH` for every one, or `SAME` for that at the same place
    as the step's own element."""

    text: str

    @cached_property
    def _match(self) -> re.Match[str] | None:
        return _FORM.fullmatch(self.text.strip())

    @property
    def is_well_formed(self) -> bool:
        """Whether it can be read at all."""
        return self._match is not None

    @property
    def root(self) -> str:
        """What it begins with."""
        return self._match[1] if self._match else ""

    @property
    def path(self) -> Path:
        """The way from there to the value."""
        parts = _PART.findall(self._match[2]) if self._match else []
        return tuple(name or sign or int(number) for name, number, sign in parts)

    def __str__(self) -> str:
        return f"${{{self.text}}}"


def whole_reference(value: Any) -> Reference | None:
    """The reference that a value is, and nothing else besides."""
    found = _REFERENCE.fullmatch(value.strip()) if isinstance(value, str) else None
    return Reference(found[1]) if found else None


def references_in(value: Any) -> Iterator[Reference]:
    """All references in a value, however deep."""
    match value:
        case str():
            yield from map(Reference, _REFERENCE.findall(value))
        case Mapping():
            for each in value.values():
                yield from references_in(each)
        case list() | tuple():
            for each in value:
                yield from references_in(each)


def resolved(value: Any, scope: Mapping[str, Any]) -> Any:
    """The value with what its references stand for; ``scope``: values by root.

    Raises LookupError in words when a part is not there.
    """
    match value:
        case str():
            if whole := whole_reference(value):
                return value_of(whole, scope)
            return _REFERENCE.sub(lambda m: as_text(value_of(Reference(m[1]), scope)), value)
        case Mapping():
            return {name: resolved(each, scope) for name, each in value.items()}
        case list() | tuple():
            return [resolved(each, scope) for each in value]
    return value


def value_of(reference: Reference, scope: Mapping[str, Any]) -> Any:
    """What a reference stands for. Raises LookupError in words when a part is not there."""
    if reference.root not in scope:
        raise LookupError(f"{reference}: there is no {reference.root}")
    if SAME in reference.path and SAME not in scope:
        raise LookupError(f"{reference}: only a mapped step has a place")
    path = tuple(scope[SAME] if part == SAME else part for part in reference.path)
    return _followed(scope[reference.root], path, reference)


def _followed(value: Any, path: Path, reference: Reference) -> Any:
    for place, part in enumerate(path):
        if part == EACH and isinstance(value, list):
            return [_followed(each, path[place + 1 :], reference) for each in value]
        try:
            value = value[part]
        except (LookupError, TypeError):
            held = f"{len(value)} elements" if isinstance(value, list) else _fields(value)
            raise LookupError(f"{reference}: there is no {part!r} in {held}") from None
    return value


def _fields(value: Any) -> str:
    return f"the fields {', '.join(value)}" if isinstance(value, Mapping) else f"{value!r:.80}"


def as_text(value: Any) -> str:
    """A value as people, and models, read it: a text as it is, anything else as YAML; of a list,
    what there is of it."""
    match value:
        case str():
            return value
        case None | []:
            return "none"
        case list() if None in value:
            return as_text([each for each in value if each is not None])
        case list() if all(isinstance(each, str) for each in value):
            return "\n".join("- " + each.replace("\n", "\n  ") for each in value)
    written = yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=10**6)
    return str(written).removesuffix("...\n").strip()


class _Plain(yaml.SafeDumper):
    """YAML in which a text of several lines is written as these lines."""


_Plain.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def schema_at(schema: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The JSON schema of what lies at the path in values of a schema, its definitions beside it; an
    empty one where anything may lie.

    Raises LookupError in words when nothing can.
    """
    path = tuple(0 if part == SAME else part for part in path)
    rest = {"$defs": schema["$defs"]} if "$defs" in schema else {}
    kinds = alternatives({**schema})
    if not path:
        return {**schema}
    if not kinds or any(not {"type", "enum", "const"} & {*kind} for kind in kinds):
        return {}
    found, part = list[dict[str, Any]](), path[0]
    for kind in kinds:
        inner = _inside(kind, part)
        if inner is not None:
            found.append(schema_at({**inner, **rest}, path[1:]))
    if not found:
        raise LookupError(_nothing_there(kinds, part))
    single = found[0] if len(found) == 1 else {"anyOf": found, **rest}
    return {"type": "array", "items": single, **rest} if part == EACH else single


def _inside(kind: Mapping[str, Any], part: str | int) -> dict[str, Any] | None:
    """The schema one step into a value; None when there is no such step."""
    if kind.get("type") == "array" and (part == EACH or isinstance(part, int)):
        fixed = kind.get("prefixItems")
        if fixed and isinstance(part, int):
            return dict(fixed[part]) if part < len(fixed) else None
        return dict(kind.get("items") or {})
    if kind.get("type") == "object" and isinstance(part, str) and part != EACH:
        properties = kind.get("properties", {})
        if part in properties:
            return dict(properties[part])
        others = kind.get("additionalProperties", not properties)
        return dict(others) if isinstance(others, Mapping) else {} if others else None
    return None


def _nothing_there(kinds: list[dict[str, Any]], part: str | int) -> str:
    [*fields] = dict.fromkeys(name for kind in kinds for name in kind.get("properties", {}))
    types = " or ".join(dict.fromkeys(str(kind.get("type", "value")) for kind in kinds))
    if fields:
        return f"there is no {part!r}; the fields are {', '.join(fields)}"
    hint = " (an element of it is [0], each of them [*])" if types == "array" else ""
    return f"there is no {part!r} in an {types}{hint}"
