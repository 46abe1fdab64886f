"""What keeps the cache small and honest."""

from pathlib import Path

import pytest

from infra.errors import InputError
from infra.llm import complete
from infra.messages import Message
from infra.postgres import transaction
from infra.request import Request
from infra.settings import get_settings
from tasks import semantic_cache
from tasks.asking import ask
from tasks.cache_upkeep import clear, evict, stock, tend
from tasks.corpus import load_corpus
from tasks.passages import passages
from tasks.prompts import load_prompt
from tests.endpoint import ScriptedEndpoint

pytestmark = pytest.mark.usefixtures("database", "endpoint")

QUESTION = {"question": "How do I reset my password?"}


def request(text: str, **changes: object) -> Request:
    asked = {"prompt": "test", "version": "v1", "model": "openai:scripted"}
    return Request(messages=(Message("user", text),), **(asked | changes))  # type: ignore[arg-type]


async def left() -> set[str]:
    async with transaction() as connection:
        cursor = await connection.execute(
            "select request -> 'messages' -> -1 ->> 1 as text from patterns.calls"
        )
        rows = await cursor.fetchall()
    return {row["text"] for row in rows}


async def test_the_stock_says_what_is_kept_and_what_it_has_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATTERNS_PRICES", '{"openai:scripted": [1000, 1000]}')
    get_settings.cache_clear()
    await complete(request("a"))
    await complete(request("a"))
    await ask("answer_briefly", QUESTION)
    found = await stock()
    assert (found.entries, found.questions) == (2, 1)
    assert (found.exact_hits, found.semantic_hits, found.misses) == (1, 0, 2)
    assert found.saved_usd is not None
    assert found.saved_usd > 0
    assert (found.checked, found.false_hit_rate, found.interval) == (0, None, None)
    assert [(each.prompt, each.state) for each in found.lessons] == [("answer_briefly", "learning")]


async def test_replies_are_dropped_by_prompt_model_and_tenant() -> None:
    for text, changes in {
        "a": {},
        "b": {"prompt": "other"},
        "c": {"model": "openai:another"},
        "d": {"tenant": "acme"},
    }.items():
        await complete(request(text, **changes))
    assert await evict(prompt="other") == 1
    assert await evict(model="openai:another") == 1
    assert await evict(tenant="acme", model="openai:another") == 0
    assert await left() == {"a", "d"}
    assert await evict(tenant="acme") == 1
    assert await clear() == 1
    assert await left() == set()


async def test_replies_that_quote_a_source_are_dropped_with_it(tmp_path: Path) -> None:
    file = tmp_path / "tickets.csv"
    file.write_text("id,text\n1,The export hangs\n2,Login fails\n")
    [first, second] = passages(await load_corpus(str(file)))["sha256"]
    await complete(request("a", sources=(first, "0" * 64)))
    await complete(request("b", sources=("1" * 64,)))
    await complete(request("c", sources=(second,)))
    assert await evict(source=str(file)) == 2
    assert await left() == {"b"}


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({}, "Name what to evict"),
        ({"prompt": "guess"}, "no prompt 'guess'"),
        ({"source": "/nowhere.csv"}, "nowhere.csv"),
    ],
)
async def test_what_names_nothing_is_refused(named: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        await evict(**named)


async def test_upkeep_drops_what_is_too_old_and_what_is_damaged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for text in "abc":
        await complete(request(text))
    async with transaction() as connection:
        await connection.execute(
            "update patterns.calls set replied_at = now() - interval '3 days' where key = %s",
            [request("a").key],
        )
        await connection.execute(
            'update patterns.calls set reply = \'{"text": "?"}\' where key = %s',
            [request("b").key],
        )
    assert (await tend()).expired == 1
    monkeypatch.setenv("PATTERNS_CACHE_DAYS", "2")
    get_settings.cache_clear()
    assert (await tend()).expired == 1
    assert await left() == {"c"}


async def test_above_the_limit_the_least_used_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_CACHE_ENTRIES", "2")
    get_settings.cache_clear()
    for text in "abcab":  # c is used once, a and b twice; d is the newest of those used once
        await complete(request(text))
    await complete(request("d"))
    assert (await tend()).above_limit == 2
    assert await left() == {"a", "b"}
    assert (await tend()).above_limit == 0


async def test_a_call_that_is_under_way_is_nobodys_to_drop(endpoint: ScriptedEndpoint) -> None:
    async with transaction() as connection:
        await connection.execute(
            "insert into patterns.calls (key, model, prompt, version, request, holder, held_until)"
            " values ('k', 'm', 'test', 'v', '{}', gen_random_uuid(), now() + interval '9 s')"
        )
    assert await clear() == 0
    assert (await tend()).expired == 0


async def test_questions_of_another_embedder_are_embedded_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await ask("answer_briefly", QUESTION)
    async with transaction() as connection:
        await connection.execute(
            "update patterns.questions set embedder = 'old@1', embedding = '[1, 0]'"
        )
    assert (await tend()).embedded == 1
    assert (await tend()).embedded == 0
    near = await semantic_cache.look_up(_asked(await _stored_request()), "question")
    assert near is not None
    assert near.nearest is not None
    assert near.nearest.similarity > 0.9


async def _stored_request() -> dict[str, str]:
    async with transaction() as connection:
        cursor = await connection.execute("select version, inputs from patterns.calls")
        [row] = await cursor.fetchall()
    return row


def _asked(row: dict[str, object]) -> Request:
    return Request(
        prompt="answer_briefly",
        version=str(row["version"]),
        model="openai:scripted",
        messages=(),
        max_tokens=load_prompt("answer_briefly").max_tokens,
        inputs={"question": "How can I reset my password?"},
    )
