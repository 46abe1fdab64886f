"""Chat models by name: built by LangChain, asked once."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from infra import local_model
from infra.errors import ModelRejected
from infra.messages import Message, ToolSchema
from infra.provider_errors import first_line, translated
from infra.settings import Role, get_settings

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage

_clients: dict[tuple[Any, ...], "asyncio.Future[BaseChatModel]"] = {}

LOCAL_TIMEOUT = 600.0  # seconds: a CPU reads a full context in minutes


@dataclass(frozen=True)
class RawReply:
    """What came back: the text, or the JSON text of a structured reply, and its tokens."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish: Literal["whole", "truncated", "refused"]
    seconds: float


def model_of(role: Role) -> str:
    """The ``provider:model`` that plays a role."""
    settings = get_settings()
    chosen = {"fast": settings.fast_model, "strong": settings.strong_model}[role]
    name = chosen or settings.chat_model
    if is_local(name) and settings.local_model:
        return f"local:{settings.local_model.name}"
    return name


def is_local(model: str) -> bool:
    """Whether the model runs in the embedded server."""
    return model.startswith("local:")


def slots_of(model: str) -> int:
    """Most calls in flight to a model, over all processes."""
    return get_settings().chat_slots or (local_model.SLOTS if is_local(model) else 128)


def context_of(model: str) -> int:
    """Tokens that a request and its reply may have together."""
    if is_local(model):
        return local_model.CONTEXT_TOKENS
    return get_settings().chat_context_tokens or 8192


def price_of(model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
    """USD of a call; None when the model's price is not in the settings."""
    if is_local(model):
        return 0.0
    price = get_settings().prices.get(model)
    if price is None:
        return None
    return (prompt_tokens * price[0] + completion_tokens * price[1]) / 1e6


async def send(
    model: str,
    messages: tuple[Message, ...],
    schema: dict[str, Any] | None,
    max_tokens: int,
    tools: Sequence[ToolSchema] = (),
) -> RawReply:
    """Ask a model once: for free text, for JSON of a schema, or, with tools, for a turn of its own.

    Raises a ModelError of the class that fits.
    """
    chat = await _chat_model(model, max_tokens)
    turns = _vendors_messages(messages)
    patience = LOCAL_TIMEOUT if is_local(model) else get_settings().chat_timeout
    started = time.perf_counter()
    # A time limit of its own: the client's is for the next byte, and an endpoint may dribble.
    with translated(model):
        async with asyncio.timeout(patience):
            if tools:
                limit: dict[str, Any] = {"max_tokens": max_tokens} if _speaks_openai(model) else {}
                reply = await chat.bind_tools(_vendors_tools(tools)).ainvoke(turns, **limit)
                text = _turn_of(reply)
            elif _speaks_openai(model):
                wanted = _response_format(schema, strict=not _own_endpoint(model)) if schema else {}
                reply = await chat.ainvoke(turns, max_tokens=max_tokens, **wanted)
                text = str(reply.text)
            elif schema is None:
                reply = await chat.ainvoke(turns)
                text = str(reply.text)
            else:
                structured = chat.with_structured_output(schema, include_raw=True)
                parts: Any = await structured.ainvoke(turns)
                reply, text = parts["raw"], json.dumps(parts["parsed"])
    usage = reply.usage_metadata or {"input_tokens": 0, "output_tokens": 0}
    seconds = time.perf_counter() - started
    return RawReply(text, usage["input_tokens"], usage["output_tokens"], _finish(reply), seconds)


def _vendors_messages(messages: Iterable[Message]) -> list[Any]:
    from langchain_core.messages import AIMessage, ToolMessage

    def vendors(said: Message) -> Any:
        if said.calls:
            calls = [{"name": c.tool, "args": c.arguments, "id": c.id} for c in said.calls]
            return AIMessage(said.content, tool_calls=calls)
        if said.role == "tool":
            return ToolMessage(said.content, tool_call_id=said.answers)
        return (said.role, said.content)

    return [vendors(message) for message in messages]


def _vendors_tools(tools: Iterable[ToolSchema]) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.arguments),
            },
        }
        for tool in tools
    ]


def _turn_of(reply: "AIMessage") -> str:
    """The turn as JSON of `infra.messages.Turn`; arguments that are no JSON stay text, which no
    turn has."""
    calls = [
        {"tool": call["name"], "arguments": call["args"], "id": call["id"]}
        for call in (*reply.tool_calls, *reply.invalid_tool_calls)
    ]
    return json.dumps({"text": str(reply.text), "calls": calls}, ensure_ascii=False)


def _speaks_openai(model: str) -> bool:
    return is_local(model) or model.startswith("openai:")


def _own_endpoint(model: str) -> bool:
    return is_local(model) or get_settings().chat_base_url is not None


def _response_format(schema: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    named = {"name": schema["title"], "schema": schema, "strict": strict and _is_strict(schema)}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _is_strict(schema: Any) -> bool:
    """Whether the schema is one of those that a strict endpoint takes: everything is named, and
    required."""
    match schema:
        case {"type": "object"} if schema.get("additionalProperties") is not False:
            return False
        case {"properties": properties} if {*properties} != {*schema.get("required", ())}:
            return False
        case {}:
            return all(map(_is_strict, schema.values()))
        case [*_]:
            return all(map(_is_strict, schema))
    return True


async def open_clients() -> None:
    """Make the clients of the roles' models now; an embedded model is started when it is asked."""
    for model in {model_of(role) for role in get_args(Role)}:
        if not is_local(model):
            await _chat_model(model, 1000)


async def close_clients() -> None:
    """Close this loop's connections to the endpoints, at its end."""
    loop = asyncio.get_running_loop()
    for key in [key for key in _clients if key[0] is loop]:
        building = _clients.pop(key)
        if building.done() and not building.cancelled() and not building.exception():
            close = getattr(building.result(), "aclose", None)
            if close:
                await close()


async def _chat_model(model: str, max_tokens: int) -> "BaseChatModel":
    settings = get_settings()
    if is_local(model):
        endpoint = await asyncio.to_thread(local_model.ensure_running, settings.home)
        where = (endpoint.base_url, endpoint.token, LOCAL_TIMEOUT)
        return await _client("openai", endpoint.model, *where, None)
    provider, _, name = model.partition(":")
    if not (provider and name):
        raise ModelRejected(f"{model!r} names no model: write provider:model, as openai:gpt-4.1.")
    key = settings.chat_api_key.get_secret_value() if settings.chat_api_key else None
    # A structured reply of another provider's takes no limit per call: one client for each limit.
    fixed = None if provider == "openai" else max_tokens
    return await _client(provider, name, settings.chat_base_url, key, settings.chat_timeout, fixed)


async def _client(
    provider: str,
    name: str,
    base_url: str | None,
    key: str | None,
    patience: float,
    max_tokens: int | None,
) -> "BaseChatModel":
    place = (asyncio.get_running_loop(), provider, name, base_url, key, max_tokens)
    building = _clients.get(place)
    if building is None or (building.done() and (building.cancelled() or building.exception())):
        # In a thread: the first import of LangChain takes seconds, and heartbeats must go on.
        # Kept while it is made: the many calls of a starting run share one client.
        making = asyncio.to_thread(_built, provider, name, base_url, key, patience, max_tokens)
        building = _clients[place] = asyncio.ensure_future(making)
    return await asyncio.shield(building)


def _built(
    provider: str,
    name: str,
    base_url: str | None,
    key: str | None,
    timeout: float,
    max_tokens: int | None,
) -> "BaseChatModel":
    options: dict[str, Any] = {
        **{"temperature": 0, "timeout": timeout, "max_retries": 0},
        "cache": False,  # this side of the door there is none: LangChain's may be ours
    }
    if base_url:
        options["base_url"] = base_url
        # An endpoint of one's own often wants no key, but the client insists on one.
        key = key or ("none" if provider == "openai" else None)
    if key:
        options["api_key"] = key
    if max_tokens:
        options["num_predict" if provider == "ollama" else "max_tokens"] = max_tokens
    try:
        return _chat_class(provider)(name, options)
    except ImportError as error:
        raise ModelRejected(
            f"The provider {provider} needs a package: {first_line(error)} "
            f"Install it (pip install langchain-{provider}) and try again."
        ) from error
    except ValueError as error:
        raise ModelRejected(
            f"The chat model {provider}:{name} cannot be set up: {first_line(error)} "
            "Check PATTERNS_CHAT_MODEL, or the name that was given, and PATTERNS_CHAT_API_KEY."
        ) from error
    except Exception as error:  # each provider refuses a missing key with a class of its own
        if "api_key" not in str(error).lower():
            raise
        raise ModelRejected(
            f"{provider} needs a key: set PATTERNS_CHAT_API_KEY, or the provider's own variable."
        ) from error


def _chat_class(provider: str) -> "Callable[[str, dict[str, Any]], BaseChatModel]":
    if provider == "openai":
        from infra.openai_compatible import OpenAICompatible

        return lambda name, options: OpenAICompatible(model=name, **options)
    from langchain.chat_models import init_chat_model

    return lambda name, options: init_chat_model(name, model_provider=provider, **options)


def _finish(reply: "AIMessage") -> Literal["whole", "truncated", "refused"]:
    said = reply.response_metadata
    reason = said.get("finish_reason") or said.get("stop_reason")
    if reason in ("length", "max_tokens"):
        return "truncated"
    if reason in ("content_filter", "refusal") or reply.additional_kwargs.get("refusal"):
        return "refused"
    return "whole"
