"""What is said to a model and by it, whoever the provider is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ToolCall(BaseModel):
    """A call that a model asks for. ``id``: by which its result is told from others of the turn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    id: str = ""


class Turn(BaseModel):
    """What a model does next: calls of tools, or, without any, its answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = ""
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class Message:
    """One message: ``role`` is system, user, assistant or tool.

    ``calls``: of an assistant's turn; ``answers``: id of the call whose result a tool's message is.
    """

    role: str
    content: str
    calls: tuple[ToolCall, ...] = ()
    answers: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "content", storable(self.content))

    @property
    def as_json(self) -> list[Any]:
        """The message as JSON: role and content, and what else it has."""
        calls = {"calls": [call.model_dump() for call in self.calls]} if self.calls else {}
        answers = {"answers": self.answers} if self.answers else {}
        beside = {**calls, **answers}
        return [self.role, self.content, *([beside] if beside else [])]


@dataclass(frozen=True)
class ToolSchema:
    """A tool as a model is told of it. ``arguments``: their JSON schema."""

    name: str
    description: str
    arguments: Mapping[str, Any]

    @property
    def as_json(self) -> dict[str, Any]:
        """The tool as JSON."""
        return {
            "name": self.name,
            "description": self.description,
            "arguments": dict(self.arguments),
        }


def storable(text: str) -> str:
    """The text without what neither JSON in PostgreSQL nor UTF-8 holds: NUL, half a surrogate."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
