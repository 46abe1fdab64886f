import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from infra import llm
from infra.budget import RunContext, current_run
from infra.errors import ModelRejected
from infra.settings import get_settings
from tasks.asking import ask
from tasks.costs import Cost, costs
from tests.endpoint import Fault, ScriptedEndpoint

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm, "_pause", lambda tries, error: 0.0)


async def classify(*tickets: str) -> None:
    await asyncio.gather(*(ask("classify_ticket", {"ticket": ticket}) for ticket in tickets))


async def test_a_ledger_without_calls_has_no_costs() -> None:
    assert await costs("prompt") == []


async def test_calls_hits_and_failures_are_told_apart(endpoint: ScriptedEndpoint) -> None:
    await classify("Export hangs", "Login fails", "Export hangs")
    endpoint.answer = lambda body, n: Fault(401)
    with pytest.raises(ModelRejected):
        await classify("Bill wrong")
    [found] = await costs("prompt")
    assert (found.of, found.model_calls, found.cache_hits, found.failures) == (
        *("classify_ticket", 2, 1, 1),
    )
    assert found.prompt_tokens > 0
    assert found.p50_ms is not None
    assert found.p95_ms is not None
    assert found.p50_ms <= found.p95_ms


async def test_a_hit_saves_what_its_call_has_cost(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_PRICES", '{"openai:scripted": [1000, 1000]}')
    get_settings.cache_clear()
    await classify("Export hangs")
    [once] = await costs("model")
    assert once.cost_usd == pytest.approx((once.prompt_tokens + once.completion_tokens) / 1000)
    assert once.saved_usd == 0
    await classify("Export hangs")
    await classify("Export hangs")
    [thrice] = await costs("model")
    assert thrice.cost_usd == once.cost_usd
    assert thrice.saved_usd == pytest.approx(2 * (once.cost_usd or 0))


async def test_an_unknown_price_is_no_cost_rather_than_none(endpoint: ScriptedEndpoint) -> None:
    await classify("Export hangs")
    await classify("Export hangs")
    [found] = await costs("model")
    assert (found.cost_usd, found.saved_usd) == (None, None)


async def test_they_are_summed_up_by_what_is_asked(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_STRONG_MODEL", "openai:larger")
    get_settings.cache_clear()
    token = current_run.set(RunContext(root_run=uuid4(), flow="summarize-corpus"))
    await ask("synthesize", {"parts": "[F1] Export hangs: always."})
    current_run.reset(token)
    await classify("Export hangs", "Login fails")

    def calls(found: list[Cost]) -> dict[str, int]:
        return {each.of: each.model_calls for each in found}

    assert calls(await costs("prompt")) == {"classify_ticket": 2, "synthesize": 1}
    assert calls(await costs("model")) == {"openai:larger": 1, "openai:scripted": 2}
    assert calls(await costs("flow")) == {"no flow": 2, "summarize-corpus": 1}
    assert calls(await costs("day")) == {f"{datetime.now(UTC):%Y-%m-%d}": 3}


async def test_what_was_before_is_left_out(endpoint: ScriptedEndpoint, database: str) -> None:
    await classify("Export hangs", "Login fails")
    with psycopg.connect(database) as connection:
        connection.execute("update patterns.ledger set at = at - interval '1 day' where id = 1")
    hour = timedelta(hours=1)
    [found] = await costs("prompt", datetime.now(UTC) - hour)
    assert found.model_calls == 1
    assert await costs("prompt", datetime.now(UTC) + hour) == []
