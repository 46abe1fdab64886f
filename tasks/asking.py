"""Ask a model with a prompt file: every model call of every pattern goes through here."""

import asyncio
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from prefect import task
from pydantic import BaseModel

from infra.budget import current_run
from infra.llm import Reply, complete, kept_reply
from infra.messages import Message, ToolSchema, Turn
from infra.providers import model_of
from infra.request import Request
from tasks import semantic_cache
from tasks.prompt_labels import keep_version
from tasks.prompts import Prompt, load_prompt
from tasks.runs import RETRIED, charged_to_task

_stored_versions: set[str] = set()
_storing: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def ask(
    prompt: str | Prompt,
    inputs: Mapping[str, str],
    *,
    fills: type[BaseModel] | None = None,
    sources: tuple[str, ...] = (),
    attempt: int = 0,
    model: str | None = None,
    tenant: str = "",
    corpus: str = "",
    similar: bool = True,
    tools: tuple[ToolSchema, ...] = (),
    turns: tuple[Message, ...] = (),
    divisible: bool = False,
    max_tokens: int | None = None,
) -> Reply:
    """The reply to a prompt with these inputs.

    ``prompt``: its name, or a version of it that is not the one in use. ``fills`` replaces the
    reply's model where it depends on the inputs. ``sources``: SHA-256 of the texts that the inputs
    quote. ``attempt``: another number asks for another sample. ``model``: provider:model in place
    of that of the prompt's role. ``tenant``: whose replies nobody else is given; without it, that
    of the run. ``corpus``: version of what the answer rests on. ``similar``: whether the reply of a
    similar question will do, where the prompt has one. ``tools``: that the model may ask for, and
    the reply's value is a Turn; ``turns``: the conversation after the prompt's message.
    ``divisible``: less can be asked for when the reply was cut off. ``max_tokens``: of the reply,
    where that depends on the inputs; never more than the prompt's. Raises InputError for inputs
    that do not fit, and what `infra.llm.complete` raises.
    """
    if isinstance(prompt, str):
        prompt = load_prompt(prompt)
    request = _request(
        prompt,
        inputs,
        model,
        turns,
        fills=Turn if tools else fills or prompt.reply_model,
        tools=tools,
        sources=sources,
        attempt=attempt,
        tenant=tenant or current_run.get().tenant,
        corpus=corpus,
        divisible=divisible,
        max_tokens=min(max_tokens or prompt.max_tokens, prompt.max_tokens),
    )
    await _store_version(prompt)
    with charged_to_task():
        if prompt.question and similar and not attempt:
            return await semantic_cache.answer(request, prompt.question)
        return await complete(request)


async def cached(prompt: str, inputs: Mapping[str, str], tenant: str = "") -> Reply | None:
    """The reply that is kept for these inputs or a similar question. No model is asked."""
    asked = load_prompt(prompt)
    tenant = tenant or current_run.get().tenant
    request = _request(
        asked, inputs, fills=asked.reply_model, tenant=tenant, max_tokens=asked.max_tokens
    )
    await _store_version(asked)
    with charged_to_task():
        if reply := await kept_reply(request):
            return reply
        found = await semantic_cache.look_up(request, asked.question) if asked.question else None
        return await semantic_cache.similar_reply(found) if found else None


def _request(
    prompt: Prompt,
    inputs: Mapping[str, str],
    model: str | None = None,
    turns: tuple[Message, ...] = (),
    **rest: Any,
) -> Request:
    return Request(
        prompt=prompt.name,
        version=prompt.version,
        model=model or model_of(prompt.model),
        messages=(*prompt.render(inputs), *turns),
        # Of a conversation they are not all that was asked: it cannot be asked again from them.
        inputs=None if turns or rest.get("tools") else inputs,
        **rest,
    )


@task(name="ask", task_run_name="ask {name}", **RETRIED)
async def ask_prompt(
    name: str, inputs: Mapping[str, str], attempt: int = 0, tenant: str = ""
) -> Reply:
    """`ask` as a task of its own."""
    return await ask(name, inputs, attempt=attempt, tenant=tenant)


@task(name="check cache", task_run_name="check cache for {name}", **RETRIED)
async def check_cache(name: str, inputs: Mapping[str, str], tenant: str = "") -> Reply | None:
    """`cached` as a task of its own."""
    return await cached(name, inputs, tenant)


async def _store_version(prompt: Prompt) -> None:
    """Keep the whole version on first use: replay outlives the file."""
    if prompt.version in _stored_versions:
        return
    async with _storing.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        if prompt.version not in _stored_versions:  # a thousand calls begin at once
            await keep_version(prompt)
            _stored_versions.add(prompt.version)
