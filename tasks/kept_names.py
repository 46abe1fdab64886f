"""Names of what is kept, which arguments of tools are to be: collections, corpora, specialists.

A tool that takes one is offered with the names there are, as an enum: a model cannot invent one,
and a plan that names another is refused before it is run. Where there is none, neither is the tool.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, Optional

from pydantic import BaseModel, create_model

from tasks.document_collections import list_collections
from tasks.json_schemas import KEPT
from tasks.kept_corpora import list_corpora
from tasks.specialist_serving import served_names
from tasks.tools import Tool

KINDS = ("collection", "corpus", "specialist")


async def kept_names(kind: str) -> tuple[str, ...] | None:
    """The names of a kind: of collections that can be searched, of corpora, of what specialists
    that serve know; None for a kind of which nothing is kept."""
    if kind == "collection":
        return tuple(each.name for each in await list_collections() if each.version is not None)
    if kind == "corpus":
        return tuple(each.name for each in await list_corpora())
    if kind == "specialist":
        return await served_names()
    return None


async def with_names(tools: Iterable[Tool]) -> list[Tool]:
    """The tools, knowing the names that there are; without those of whose kind there is none."""
    names = {kind: await kept_names(kind) or () for kind in KINDS}
    narrowed = (_narrowed(each, names) for each in tools)
    return [each for each in narrowed if each]


def _narrowed(tool: Tool, names: Mapping[str, tuple[str, ...]]) -> Tool | None:
    fields = dict[str, Any]()
    for name, field in tool.arguments.model_fields.items():
        extra = field.json_schema_extra
        kind = extra.get(KEPT) if isinstance(extra, dict) else None
        if kind is None:
            continue
        there = names[str(kind)]
        if not there and field.is_required():
            return None
        if there:
            one: Any = Literal[there]
            fields[name] = (one if field.is_required() else Optional[one], field)  # noqa: UP045
    if not fields:
        return tool
    base: type[BaseModel] = tool.arguments
    return replace(tool, arguments=create_model(base.__name__, __base__=base, **fields))
