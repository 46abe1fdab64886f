"""Tools: typed functions that a model may ask for, and what there is to know about each.

    @tool(model_calls=1)
    async def classify(text: Annotated[str, Field(description="The ticket.")]) -> TicketLabel:
        '''Where a ticket belongs, and how urgent it is.'''

The name is the function's, the description its docstring, the schema of arguments its signature's,
that of its result its return annotation's. One that changes something outside is a ``write``: it
takes an `Approval` besides, which is no argument that a model could give.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, create_model

from infra.errors import InputError, SettingsError
from infra.messages import ToolSchema
from infra.settings import get_settings
from tasks.json_schemas import inlined, shape
from tasks.reviews import Draft
from tasks.suggestions import did_you_mean

Effect = Literal["read", "write"]
Run = Callable[..., Awaitable[Any]]
Drafts = Callable[..., Awaitable[Draft]]


@dataclass(frozen=True)
class Approval:
    """That a person has approved a call. ``key``: the same however often the call is made again, so
    that its effect happens once; ``text``: the bytes that were approved; ``review``: its number."""

    key: str
    text: str
    review: int


@dataclass(frozen=True)
class Tool:
    """A typed function, and what it takes. ``model_calls``: about how many it makes; ``seconds``:
    the most that it may take; ``drafts``: what a person is shown of a call that writes, from the
    same arguments; without it, the call itself."""

    name: str
    description: str
    run: Run
    arguments: type[BaseModel]
    returns: TypeAdapter[Any]
    effect: Effect = "read"
    model_calls: int = 0
    seconds: float = 60.0
    drafts: Drafts | None = None

    @property
    def writes(self) -> bool:
        """Whether a call changes something outside, and so waits for a person."""
        return self.effect == "write"

    @cached_property
    def result_schema(self) -> dict[str, Any]:
        """JSON schema of the result."""
        return self.returns.json_schema(mode="serialization")

    @cached_property
    def schema(self) -> ToolSchema:
        """The tool as a model is told of it."""
        return ToolSchema(self.name, self.description, inlined(self.arguments.model_json_schema()))

    @property
    def signature(self) -> str:
        """The tool in a line: ``name(argument: type, optional?: type) -> result``."""
        schema = self.arguments.model_json_schema()
        required, defs = set(schema.get("required", ())), schema.get("$defs", {})
        told = (
            f"{name}{'' if name in required else '?'}: {shape({**field, '$defs': defs})}"
            for name, field in schema.get("properties", {}).items()
        )
        return f"{self.name}({', '.join(told)}) -> {shape(self.result_schema)}"


def tool(
    *,
    effect: Effect = "read",
    model_calls: int = 0,
    seconds: float | None = None,
    drafts: Drafts | None = None,
) -> Callable[[Run], Tool]:
    """Make a tool of an async function. ``seconds``: without it a minute, and five for each call of
    a model, which may have to wait for its turn. Raises TypeError for one that cannot be one: not
    async, without a docstring or annotations, or a write that takes no Approval."""

    most = 60.0 + 300.0 * model_calls if seconds is None else seconds

    def made(run: Run) -> Tool:
        if not inspect.iscoroutinefunction(run):
            raise TypeError(f"{run.__name__}: a tool is an async function")
        hints = get_type_hints(run, include_extras=True)
        parameters = inspect.signature(run).parameters
        approved = [name for name in parameters if hints.get(name) is Approval]
        if (effect == "write") != (approved == ["approval"]):
            raise TypeError(f"{run.__name__}: a tool takes `approval: Approval` if it writes")
        if not run.__doc__ or "return" not in hints or {*parameters} - {*hints}:
            raise TypeError(f"{run.__name__}: a tool needs a docstring and annotations")
        fields: dict[str, Any] = {
            name: (hints[name], ... if given.default is given.empty else given.default)
            for name, given in parameters.items()
            if name not in approved
        }
        strict = ConfigDict(extra="forbid", hide_input_in_errors=True)
        return Tool(
            name=run.__name__,
            description=" ".join(run.__doc__.split()),
            run=run,
            arguments=create_model(f"{run.__name__}_arguments", __config__=strict, **fields),
            returns=TypeAdapter(hints["return"]),
            effect=effect,
            model_calls=model_calls,
            seconds=most,
            drafts=drafts,
        )

    return made


def registry(*tools: Tool) -> dict[str, Tool]:
    """Tools by name, with those of the modules that PATTERNS_TOOLS names.

    Raises SettingsError for a module that has none or cannot be imported, and for two tools of one
    name.
    """
    found = dict[str, Tool]()
    for each in (*tools, *_further()):
        if found.setdefault(each.name, each) is not each:
            raise SettingsError(f"Two tools have the name {each.name}. Rename one of them.")
    return found


def chosen(tools: Mapping[str, Tool], names: Sequence[str]) -> dict[str, Tool]:
    """Those of the names; all, where none is named. Raises InputError for one that is not there."""
    for name in names:
        if name not in tools:
            raise InputError(
                f"There is no tool {name!r}.{did_you_mean(name, tools)} There are: "
                f"{', '.join(tools)}."
            )
    return {name: tools[name] for name in names} or dict(tools)


def tools_text(tools: Iterable[Tool]) -> str:
    """The tools as a model reads them: signature, description, and what each argument is."""
    return "\n".join(_told(each) for each in tools)


def _told(each: Tool) -> str:
    lines = [f"{each.signature}: {each.description}"]
    for name, field in each.arguments.model_json_schema().get("properties", {}).items():
        if said := field.get("description"):
            lines.append(f"  {name}: {said}")
    return "\n".join(lines)


def _further() -> list[Tool]:
    found = list[Tool]()
    for name in get_settings().tools:
        try:
            module = import_module(name)
        except ImportError as error:
            raise SettingsError(
                f"PATTERNS_TOOLS: the module {name} cannot be imported: {error}. It has to be "
                "installed where the run is."
            ) from error
        there = [each for each in vars(module).values() if isinstance(each, Tool)]
        if not there:
            raise SettingsError(f"PATTERNS_TOOLS: the module {name} has no tool. See @tool.")
        found += there
    return found
