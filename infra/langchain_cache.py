"""The exact cache for any LangChain program: ``set_llm_cache(PatternsCache())``.

Its entries are calls like all others: shared by processes, limited, evicted, counted as they are.
Equal questions at once are asked once: who finds nothing has the call to make, the others wait for
its answer, but no longer than a lease: a caller whose call failed never says so.
"""

import asyncio
import atexit
import hashlib
import logging
import threading
import time
import warnings
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_core._api.beta_decorator import LangChainBetaWarning
from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.load import dumps, loads
from langchain_core.outputs import ChatGeneration, Generation
from psycopg.types.json import Jsonb

from infra.in_flight import wait_for_call
from infra.messages import storable
from infra.notices import stop_listening
from infra.postgres import close_pool, fetch
from infra.providers import price_of
from infra.settings import get_settings
from infra.slots import HOLDER, LEASE

PROMPT = "langchain"  # what such calls are called in the ledger
_LONGEST = 3600.0  # seconds that a call may take
_NOBODY = dict.fromkeys(("root_run", "flow_run", "flow", "task_run"))
_NEW: dict[str, Any] = {**_NOBODY, "version": "", "sources": [], "inputs": None, "tenant": ""}
_log = logging.getLogger(__name__)

T = TypeVar("T")
_Caller = tuple[int, "asyncio.Task[Any] | None"]


@dataclass(frozen=True)
class _Claim:
    """Who has found nothing, and when (`time.perf_counter`)."""

    caller: _Caller
    at: float


class PatternsCache(BaseCache):
    """LangChain's cache on the project's PostgreSQL.

    Sync methods run on an event loop of its own, in a thread, so that they work inside of others.
    Raises DatabaseError.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = threading.Lock()
        self._claims: dict[bytes, _Claim] = {}

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The kept generations, or None: then the call is the caller's to make."""
        return self._run(self._lookup(prompt, llm_string, _caller()))

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """`lookup`, without blocking the loop."""
        return await self._awaited(self._lookup(prompt, llm_string, _caller()))

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Keep generations."""
        self._run(self._update(prompt, llm_string, return_val))

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """`update`, without blocking the loop."""
        await self._awaited(self._update(prompt, llm_string, return_val))

    def clear(self, **kwargs: Any) -> None:
        """Drop what LangChain programs have kept, and nothing else."""
        self._run(_clear())

    async def aclear(self, **kwargs: Any) -> None:
        """`clear`, without blocking the loop."""
        await self._awaited(_clear())

    def close(self) -> None:
        """Close the connections and end the thread; a later use begins anew."""
        with self._starting:
            loop, self._loop = self._loop, None
        if loop:
            asyncio.run_coroutine_threadsafe(_closed(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    async def _lookup(
        self, prompt: str, llm_string: str, caller: "_Caller"
    ) -> RETURN_VAL_TYPE | None:
        call = _call(prompt, llm_string)
        key = call["key"]
        while True:
            if self._has_claimed(caller, key):  # a list of equal prompts, or another try
                return None
            for row in await fetch("use_or_claim_call", {**call, **_NEW, **_limits()}):
                if row["ours"]:
                    self._note_claim(caller, key)
                    return None
                if (generations := _loaded(row["reply"]["text"])) is not None:
                    return generations
                await fetch("forget_reply", {"key": key})
            await wait_for_call(key)

    def _note_claim(self, caller: "_Caller", key: bytes) -> None:
        now = time.perf_counter()
        for old in [k for k, claim in self._claims.items() if claim.at < now - _LONGEST]:
            del self._claims[old]  # its call failed
        self._claims[key] = _Claim(caller, now)

    def _has_claimed(self, caller: "_Caller", key: bytes) -> bool:
        since = time.perf_counter() - LEASE
        claim = self._claims.get(key)
        return claim is not None and claim.caller == caller and claim.at > since

    async def _update(
        self, prompt: str, llm_string: str, generations: Sequence[Generation]
    ) -> None:
        call = _call(prompt, llm_string)
        claim = self._claims.pop(call["key"], None)
        taken = time.perf_counter() - claim.at if claim else 0.0
        await fetch("keep_reply", {**call, **_NEW, **_reply(generations, taken)})

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._started()).result()

    async def _awaited(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._started()))

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                atexit.register(self.close)
                self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
                self._thread.start()
        return self._loop


def _reply(generations: Sequence[Generation], seconds: float) -> dict[str, Any]:
    used = [_tokens(each) for each in generations]
    asked, told = sum(a for a, _, _ in used), sum(t for _, t, _ in used)
    model = next((name for _, _, name in used if name), PROMPT)
    return {
        "text": storable(dumps(list(generations))),
        "model": model,
        "prompt_tokens": asked,
        "completion_tokens": told,
        "cost_usd": price_of(model, asked, told),
        "latency_ms": seconds * 1000,
    }


async def _clear() -> None:
    nothing = dict.fromkeys(("model", "sources", "tenant", "ttl"))
    await fetch("evict", {**nothing, "prompt": PROMPT, "unusable": False, "lease": LEASE})


async def _closed() -> None:
    await stop_listening()
    await close_pool()


def _call(prompt: str, llm_string: str) -> dict[str, Any]:
    asked = {"prompt": storable(prompt), "llm": storable(llm_string)}
    return {
        "key": _key(prompt, llm_string),
        "model": PROMPT,
        "prompt": PROMPT,
        "request": Jsonb(asked),
    }


def _limits() -> dict[str, Any]:
    return {"ttl": get_settings().cache_ttl, "holder": HOLDER, "lease": LEASE}


def _caller() -> _Caller:
    """The thread, and in an event loop the task, that asks."""
    try:
        return threading.get_ident(), asyncio.current_task()
    except RuntimeError:
        return threading.get_ident(), None


def _loaded(text: str) -> RETURN_VAL_TYPE | None:
    """The kept generations; None when another version of LangChain kept what this cannot read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangChainBetaWarning)  # of its own caches' format
        try:
            found = loads(text, allowed_objects="core")
        except (ValueError, TypeError, NotImplementedError):
            found = None
    if isinstance(found, list) and all(isinstance(each, Generation) for each in found):
        return found
    _log.warning("A stored reply of a LangChain program cannot be read: it is asked for again.")
    return None


def _tokens(generation: Generation) -> tuple[int, int, str | None]:
    """Prompt tokens, completion tokens and model of a generation, as far as it tells."""
    if not isinstance(generation, ChatGeneration):
        return 0, 0, None
    usage = getattr(generation.message, "usage_metadata", None) or {}
    name = generation.message.response_metadata.get("model_name")
    provider = generation.message.response_metadata.get("model_provider", "openai")
    model = f"{provider}:{name}" if name else None
    return usage.get("input_tokens", 0), usage.get("output_tokens", 0), model


def _key(prompt: str, llm_string: str) -> bytes:
    content = "\0".join((PROMPT, prompt, llm_string))
    return hashlib.sha256(content.encode("utf-8", "replace")).digest()
