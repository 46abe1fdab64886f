"""One question to one model, and the key under which its reply is kept."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from pydantic import BaseModel

from infra.messages import Message, ToolSchema


@dataclass(frozen=True)
class Request:
    """One question to one model. What changes the reply is in here, and so in its key.

    ``fills``: pydantic model of the reply, or None for free text. ``sources``: SHA-256 of the texts
    that the messages quote, so that a forgotten text takes its calls along. ``attempt``: a number
    to ask again for a new sample. ``inputs``: of the prompt, kept beside the call for a replay.
    ``tools``: of which the model may ask for calls; the reply is then an `infra.messages.Turn`.
    ``tenant``: whose reply nobody else is given. ``corpus``: version of what the answer rests on.
    ``divisible``: whoever asks can ask for less when the reply was cut off, which is no part of the
    key: it is not asked for again then.
    """

    prompt: str
    version: str
    model: str
    messages: tuple[Message, ...]
    fills: type[BaseModel] | None = None
    max_tokens: int = 1000
    sources: tuple[str, ...] = ()
    attempt: int = 0
    inputs: Mapping[str, str] | None = None
    tenant: str = ""
    corpus: str = ""
    tools: tuple[ToolSchema, ...] = ()
    divisible: bool = False

    @cached_property
    def schema(self) -> dict[str, Any] | None:
        """JSON schema of the reply."""
        return _schema_of(self.fills) if self.fills else None

    @cached_property
    def content(self) -> dict[str, Any]:
        """What the model is asked, as JSON."""
        return {
            "model": self.model,
            "messages": [message.as_json for message in self.messages],
            "schema": self.schema,
            "max_tokens": self.max_tokens,
            "attempt": self.attempt,
            **({"tenant": self.tenant} if self.tenant else {}),
            **({"corpus": self.corpus} if self.corpus else {}),
            **({"tools": [tool.as_json for tool in self.tools]} if self.tools else {}),
        }

    @cached_property
    def key(self) -> bytes:
        """SHA-256 of the content in canonical JSON, in which the schema's hash stands for it."""
        content = {**self.content, "schema": _digest_of(self.fills) if self.fills else None}
        return hashlib.sha256(_canonical(content)).digest()


@cache
def _schema_of(fills: type[BaseModel]) -> dict[str, Any]:
    return fills.model_json_schema()


@cache
def _digest_of(fills: type[BaseModel]) -> str:
    return hashlib.sha256(_canonical(_schema_of(fills))).hexdigest()


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
