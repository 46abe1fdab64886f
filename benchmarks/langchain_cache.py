"""LangChain's own caches with the same entries: what a hit takes, and equal misses at once."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.askers import request

_FIRST = "000000"  # the number in the first entry


class _Last(InMemoryCache):
    """Remembers how LangChain writes an entry."""

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:
        self.entry = prompt, llm_string, return_val


@dataclass(frozen=True)
class Filled:
    """A cache in which as many entries are."""

    cache: BaseCache
    prompt: str
    llm_string: str

    def lookup(self, entry: int) -> float:
        """Seconds that the cache itself takes for an entry."""
        prompt = _numbered(self.prompt, entry)
        started = time.perf_counter()
        found = self.cache.lookup(prompt, self.llm_string)
        seconds = time.perf_counter() - started
        if not found:
            raise SystemExit(f"LangChain's cache has no entry {entry}.")
        return seconds


def filled(cache: BaseCache, endpoint: str, entries: int) -> Filled:
    """Fill a cache with what LangChain keeps of one reply, numbered."""
    last = _Last()
    chat(endpoint, last).invoke(_messages(0))
    prompt, llm_string, reply = last.entry
    for entry in range(entries):
        cache.update(_numbered(prompt, entry), llm_string, reply)
    return Filled(cache, prompt, llm_string)


async def one_by_one(model: ChatOpenAI, entries: list[int]) -> list[float]:
    """Seconds until the caller has the reply to each, one after another."""
    return [await _invoked(model, entry) for entry in entries]


async def at_once(model: ChatOpenAI, entry: int, count: int) -> list[float]:
    """Seconds until each of so many callers has the reply to the same question, but for those who
    get an error of the cache: `SQLiteCache` looks and then inserts, and another may come between.
    """
    asked = (_invoked(model, entry) for _ in range(count))
    said = await asyncio.gather(*asked, return_exceptions=True)
    for each in said:
        if isinstance(each, BaseException) and not isinstance(each, SQLAlchemyError):
            raise each
    return [each for each in said if isinstance(each, float)]


def chat(endpoint: str, cache: BaseCache) -> ChatOpenAI:
    """LangChain's client of the endpoint, before which the cache is."""
    return ChatOpenAI(
        model="fixed", base_url=f"{endpoint}/v1", api_key="none", max_retries=0, cache=cache
    )


async def _invoked(model: ChatOpenAI, entry: int) -> float:
    messages = _messages(entry)
    started = time.perf_counter()
    await model.ainvoke(messages)
    return time.perf_counter() - started


def _messages(entry: int) -> list[BaseMessage]:
    kinds: dict[str, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage}
    return [kinds[m.role](m.content) for m in request(entry).messages]


def _numbered(prompt: str, entry: int) -> str:
    return prompt.replace(_FIRST, f"{entry:06}")
