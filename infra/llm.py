"""The one door to the models.

    complete(request) ── stored? ──yes──────────────────────────────▶ reply   (an exact hit)
                            │no
                            ├── another holder works on it? ── wait ─▶ reply   (single flight)
                            └── ours: rate → slot → budget → ask ──▶ keep ──▶ reply

Every use is a row of the ledger. A reply is kept under the hash of its request, so the same request
is paid for once, by whichever process comes first; a holder that dies loses its lease and the next
one asks. Transient errors are tried again, a reply that does not fit its schema is asked for again
with the error, and one that was cut off just again, at most twice. What an endpoint is too busy for
waits for its turn (`infra.pace`).
"""

import asyncio
import logging
import random
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError

from infra.budget import current_run
from infra.call_rows import call_row, claim_row, ledger_row, use_row
from infra.errors import (
    DatabaseError,
    ModelError,
    ModelRateLimited,
    ModelRefused,
    ReplyMalformed,
    ReplyTruncated,
)
from infra.in_flight import CallsInFlight, wait_for_call
from infra.messages import Message, storable
from infra.notices import stop_listening
from infra.pace import LONGEST_PAUSE
from infra.postgres import close_pool, fetch, open_pool
from infra.providers import RawReply, close_clients, open_clients, price_of, send
from infra.request import Request
from infra.settings import get_settings
from infra.slots import return_slots, wait_for_rate

_log = logging.getLogger(__name__)

TRIES = 6  # of one request while the endpoint fails
TRIES_AT_FIRST = 3  # while it has never answered: then it is rather a wrong setting than a fault
REASKS = 2  # of a reply that does not fit its schema, or was cut off
_LATE = 10.0  # seconds that a reply may still take when nobody waits for it any more


@dataclass(frozen=True)
class Reply:
    """What the model said. ``value`` is its parsed form when the request has a schema."""

    text: str
    value: BaseModel | None
    model: str
    served_by: str
    key: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    latency_ms: float
    paid_by: UUID | None


async def complete(request: Request) -> Reply:
    """The reply to a request: stored, or asked for.

    Raises the ModelError of the last try, BudgetSpent, or DatabaseError.
    """
    door, started = _door(), time.perf_counter()
    while True:
        async with door.alone(request.key), door.place(request.model):
            kept = await fetch("use_or_claim_call", claim_row(request))
            if kept and kept[0]["ours"]:
                if kept[0]["damaged"]:
                    _log.warning("A stored reply of %s was damaged: asked again.", request.prompt)
                async with door.holding(request.key):
                    return await _ask(request, door, started)
        if kept:
            return _stored(request, kept[0], started, "exact")
        await wait_for_call(request.key)


async def kept_reply(request: Request, similar_to: bytes | None = None) -> Reply | None:
    """The reply to a request when it is kept, noted as an exact hit.

    ``similar_to``: key of another call, whose reply is given to this request: a semantic hit.
    """
    started, kind = time.perf_counter(), "semantic" if similar_to else "exact"
    params = {
        "key": similar_to or request.key,
        "ttl": get_settings().cache_ttl,
        "served_by": kind,
        **use_row(request),
    }
    rows = await fetch("use_reply", params)
    return _stored(request, rows[0], started, kind) if rows else None


def _stored(request: Request, row: dict[str, Any], started: float, served_by: str) -> Reply:
    try:
        value = _validated(request, row["reply"]["text"])
    except ValidationError as error:
        raise DatabaseError(
            f"A stored reply of the prompt {request.prompt} does not fit its schema. Drop it and "
            f"run again: patterns cache evict --prompt {request.prompt}"
        ) from error
    stored = RawReply(row["reply"]["text"], 0, 0, "whole", 0.0)
    return _reply(request, stored, value, started, served_by=served_by, paid_by=row["paid_by"])


def _reply(
    request: Request,
    raw: RawReply,
    value: BaseModel | None,
    started: float,
    *,
    served_by: str,
    paid_by: UUID | None,
) -> Reply:
    paid = served_by == "model"
    cost = price_of(request.model, raw.prompt_tokens, raw.completion_tokens) if paid else 0.0
    return Reply(
        text=raw.text,
        value=value,
        model=request.model,
        served_by=served_by,
        key=request.key.hex(),
        prompt_tokens=raw.prompt_tokens,
        completion_tokens=raw.completion_tokens,
        cost_usd=cost,
        latency_ms=(time.perf_counter() - started) * 1000,
        paid_by=paid_by,
    )


async def _ask(request: Request, door: CallsInFlight, started: float) -> Reply:
    messages = request.messages
    for remaining in range(REASKS, -1, -1):
        try:
            raw, value = await _ask_until_answered(request, messages, door)
        except ReplyTruncated:
            if request.divisible or not remaining:
                raise
        except ReplyMalformed as error:
            if not remaining:
                raise ReplyMalformed(
                    f"{request.model} was asked {REASKS + 1} times for the reply of the prompt "
                    f"{request.prompt}, and it never fitted: {error}. Try a stronger model.",
                    error.said,
                ) from None
            again = f"That reply does not fit: {error}. Answer again with JSON that fits."
            messages = (*messages, Message("assistant", error.said), Message("user", again))
        else:
            payer = current_run.get().root_run
            return _reply(request, raw, value, started, served_by="model", paid_by=payer)
    raise AssertionError("unreachable")


async def _ask_until_answered(
    request: Request, messages: tuple[Message, ...], door: CallsInFlight
) -> tuple[RawReply, BaseModel | None]:
    pace, tries = door.slots(request.model).pace, 0
    answered_at_first: int | None = None  # when the first try had failed
    answered_before = pace.answers  # when the last one had
    while True:
        try:
            return await _ask_once(request, messages, door)
        except ModelError as error:
            if not error.transient:
                raise
            # A busy endpoint that serves our other calls is no broken one: wait without counting.
            busy = isinstance(error, ModelRateLimited)
            tries += not (busy and pace.answers > answered_before)
            answered_before = pace.answers
            if answered_at_first is None:
                answered_at_first = pace.answers
            failed = max(tries, pace.silence if busy else 0)
            if failed >= (TRIES if pace.answers else TRIES_AT_FIRST):
                error.endpoint_down = pace.answers == answered_at_first
                raise
            await asyncio.sleep(_pause(tries, error))


async def _ask_once(
    request: Request, messages: tuple[Message, ...], door: CallsInFlight
) -> tuple[RawReply, BaseModel | None]:
    """One call. Whoever asks may be cancelled, because another call of the run failed: a call that
    is under way is paid for, so its reply may still arrive, and is kept."""
    sent = asyncio.Event()
    asked = asyncio.ensure_future(_send_and_keep(request, messages, door, sent))
    try:
        return await asyncio.shield(asked)
    except asyncio.CancelledError:
        try:
            if sent.is_set():
                await asyncio.wait([asked], timeout=_LATE)
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        raise


async def _send_and_keep(
    request: Request, messages: tuple[Message, ...], door: CallsInFlight, sent: asyncio.Event
) -> tuple[RawReply, BaseModel | None]:
    size = sum(len(message.content) for message in messages) // 4
    await wait_for_rate(request.model, size + request.max_tokens)
    budget = current_run.get().budget
    raw, started = RawReply("", 0, 0, "whole", 0.0), time.perf_counter()
    try:
        async with (
            door.slots(request.model).hold(),
            budget.call(request.model, size, request.max_tokens, request.key),
        ):
            sent.set()
            started = time.perf_counter()
            raw = await send(
                request.model, messages, request.schema, request.max_tokens, request.tools
            )
            cost = price_of(request.model, raw.prompt_tokens, raw.completion_tokens)
            budget.spend(raw.prompt_tokens + raw.completion_tokens, cost)
        value = _usable(request, raw)
    except ModelError as error:
        spent = replace(raw, seconds=time.perf_counter() - started)
        await fetch("note_failure", ledger_row(request, spent, error))
        raise
    kept = {**call_row(request), **ledger_row(request, raw), "text": storable(raw.text)}
    await fetch("keep_reply", kept)
    return raw, value


def _usable(request: Request, raw: RawReply) -> BaseModel | None:
    if raw.finish == "truncated":
        raise ReplyTruncated(
            f"{request.model}: the reply of the prompt {request.prompt} hit its limit of "
            f"{request.max_tokens} tokens."
        )
    if raw.finish == "refused":
        raise ModelRefused(f"{request.model} declined to answer the prompt {request.prompt}.")
    try:
        return _validated(request, raw.text)
    except ValidationError as error:
        raise ReplyMalformed(_faults(error), raw.text) from None


def _validated(request: Request, text: str) -> BaseModel | None:
    return request.fills.model_validate_json(text) if request.fills else None


def _faults(error: ValidationError) -> str:
    found = [f"{'.'.join(map(str, e['loc'])) or 'reply'}: {e['msg']}" for e in error.errors()[:5]]
    return "; ".join(found)


def _pause(tries: int, error: ModelError) -> float:
    """Seconds until the next try: what the server asked for, or doubling with jitter."""
    asked = error.retry_after if isinstance(error, ModelRateLimited) else None
    if asked is not None:
        return min(LONGEST_PAUSE, asked) * random.uniform(1.0, 1.2)
    return min(LONGEST_PAUSE, 0.5 * 2.0**tries) * random.uniform(0.5, 1.0)


def made_ready(model: str) -> asyncio.Semaphore:
    """Held, once, by each of many calls from before its prompt is made: thousands of prompts that
    wait for a slot would take several times the memory of what they quote."""
    return _door().readied(model)


_doors: dict[asyncio.AbstractEventLoop, CallsInFlight] = {}


def _door() -> CallsInFlight:
    return _doors.setdefault(asyncio.get_running_loop(), CallsInFlight())


async def open_door() -> None:
    """Make ready what the first call would wait for: the pool, and the clients of the models.

    Raises what they raise: a missing key, a database that is away.
    """
    await open_pool()
    await open_clients()


async def close_door() -> None:
    """Give back what this loop holds: slots, listener, connections, pool. At its end."""
    door = _doors.pop(asyncio.get_running_loop(), None)
    if door:
        door.stop()
        await stop_listening()
        with suppress(DatabaseError):  # the leases run out by themselves
            await return_slots()
    await close_clients()
    await close_pool()
