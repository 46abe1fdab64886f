"""LangChain programs on the project's cache."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from langchain_core.globals import set_llm_cache
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.outputs import Generation
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from infra.langchain_cache import PatternsCache
from infra.postgres import fetch, transaction
from infra.slots import LEASE
from tests.endpoint import ScriptedEndpoint

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def cache() -> Iterator[PatternsCache]:
    made = PatternsCache()
    yield made
    made.close()


@pytest.fixture
async def chat(cache: PatternsCache, endpoint: ScriptedEndpoint) -> AsyncIterator[ChatOpenAI]:
    # LangChain keeps the connections of its own clients for as long as the process lives.
    with httpx.Client() as client:
        async with httpx.AsyncClient() as async_client:
            yield ChatOpenAI(
                model="scripted",
                base_url=endpoint.base_url,
                api_key=SecretStr("none"),
                cache=cache,
                max_retries=0,
                http_client=client,
                http_async_client=async_client,
            )


async def test_what_was_asked_before_is_not_asked_again(
    chat: ChatOpenAI, endpoint: ScriptedEndpoint
) -> None:
    first = await chat.ainvoke("How are you?")
    assert (await chat.ainvoke("How are you?")).text == first.text
    assert (await asyncio.to_thread(chat.invoke, "How are you?")).text == first.text
    assert len(endpoint.calls) == 1
    await chat.ainvoke("And you?")
    assert len(endpoint.calls) == 2


async def test_its_uses_are_in_the_ledger(chat: ChatOpenAI) -> None:
    await chat.ainvoke("How are you?")
    await chat.ainvoke("How are you?")
    everything = {"since": None, "runs": None, "labels": None}
    [used] = await fetch("costs", {"by": "model", **everything})
    assert (used["of"], used["model_calls"], used["cache_hits"]) == ("openai:scripted", 1, 1)
    [row] = await fetch("costs", {"by": "prompt", **everything})
    assert (row["of"], row["model_calls"], row["cache_hits"]) == ("langchain", 1, 1)
    assert row["completion_tokens"] > 0
    assert row["p50_ms"] > 0


def test_equal_questions_at_once_are_asked_once(
    chat: ChatOpenAI, endpoint: ScriptedEndpoint
) -> None:
    endpoint.latency = 0.3
    with ThreadPoolExecutor(8) as threads:
        said = set(threads.map(lambda _: chat.invoke("How are you?").text, range(20)))
    assert len(said) == 1
    assert len(endpoint.calls) == 1


def test_whoever_waits_for_a_call_that_failed_makes_it_in_the_end(
    cache: PatternsCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("langchain_cache", "in_flight"):
        monkeypatch.setattr(f"infra.{module}.LEASE", 1.0)
    assert cache.lookup("[]", "model") is None  # and never an update
    with ThreadPoolExecutor(1) as another:
        started = time.monotonic()
        assert another.submit(cache.lookup, "[]", "model").result() is None
    assert time.monotonic() - started >= 0.9


def test_a_list_with_equal_prompts_waits_for_nobody(cache: PatternsCache) -> None:
    llm = FakeListLLM(responses=["a", "b"], cache=cache)
    started = time.monotonic()
    said = llm.generate(["How are you?", "How are you?"])
    assert len(said.generations) == 2
    assert time.monotonic() - started < LEASE / 2


async def test_a_list_with_equal_prompts_waits_for_nobody_in_a_loop(cache: PatternsCache) -> None:
    llm = FakeListLLM(responses=["a", "b"], cache=cache)
    started = time.monotonic()
    await llm.agenerate(["How are you?", "How are you?"])
    assert time.monotonic() - started < LEASE / 2


@pytest.mark.parametrize(
    "text",
    [
        '[{"lc": 1, "type": "constructor", "id": ["langchain", "gone", "Gone"], "kwargs": {}}]',
        '[{"lc": 1, "type": "not_implemented", "id": ["elsewhere", "Generation"]}]',
        '[{"text": "Fine."}]',
        "Fine.",
    ],
)
async def test_a_reply_that_cannot_be_read_is_asked_for_again(
    chat: ChatOpenAI, endpoint: ScriptedEndpoint, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    await chat.ainvoke("How are you?")
    async with transaction() as connection:
        await connection.execute(
            "update patterns.calls set reply = jsonb_build_object('text', %(text)s::text),"
            " reply_sha256 = sha256(convert_to(%(text)s, 'UTF8'))",
            {"text": text},
        )
    await chat.ainvoke("How are you?")
    await chat.ainvoke("How are you?")
    assert len(endpoint.calls) == 2
    assert "asked for again" in caplog.text


def test_what_is_put_in_without_having_been_looked_for_is_there(cache: PatternsCache) -> None:
    cache.update("[]", "model", [Generation(text="put")])
    assert cache.lookup("[]", "model") == [Generation(text="put")]


def test_what_was_cleared_is_asked_again(
    cache: PatternsCache, chat: ChatOpenAI, endpoint: ScriptedEndpoint
) -> None:
    chat.invoke("How are you?")
    cache.clear()
    chat.invoke("How are you?")
    assert len(endpoint.calls) == 2


def test_a_program_ends_without_a_word(endpoint: ScriptedEndpoint, database: str) -> None:
    program = f"""
from langchain_core.globals import set_llm_cache
from langchain_openai import ChatOpenAI
from infra.langchain_cache import PatternsCache
set_llm_cache(PatternsCache())
chat = ChatOpenAI(model="scripted", base_url={endpoint.base_url!r}, api_key="none")
print(chat.invoke("Hi").text == chat.invoke("Hi").text)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "True", "")
    assert len(endpoint.calls) == 1
    set_llm_cache(None)
