"""A budget of money that several processes spend, each with an object of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest

from infra import shared_budget
from infra.budget import RunContext, current_run
from infra.errors import BudgetSpent, ModelRejected
from infra.llm import complete
from infra.messages import Message
from infra.postgres import transaction
from infra.request import Request
from infra.settings import get_settings
from infra.shared_budget import SharedBudget
from tests.endpoint import Fault, ScriptedEndpoint

pytestmark = pytest.mark.usefixtures("database")

RUN = UUID(int=7)


@pytest.fixture(autouse=True)
def _a_price(monkeypatch: pytest.MonkeyPatch, endpoint: ScriptedEndpoint) -> None:
    monkeypatch.setenv("PATTERNS_PRICES", '{"openai:scripted": [0, 1000000]}')  # a token, a dollar
    monkeypatch.setattr(shared_budget, "_PAUSE", 0.02)
    get_settings.cache_clear()
    endpoint.answer = lambda body, n: "four" * 10  # ten tokens


@asynccontextmanager
async def process(max_cost: float) -> AsyncIterator[None]:
    """As one of the processes that work for the run."""
    token = current_run.set(RunContext(root_run=RUN, budget=SharedBudget(max_cost)))
    try:
        yield
    finally:
        current_run.reset(token)


async def ask(words: str) -> None:
    await complete(
        Request(
            model="openai:scripted",
            messages=(Message("user", words),),
            prompt="p",
            version="v",
            max_tokens=10,
        )
    )


async def in_flight(cost: float, *, held: str) -> bytes:
    """A call of another process, whose lease lasts or has run out."""
    key = uuid4().bytes
    async with transaction() as connection:
        await connection.execute(
            "insert into patterns.calls (key, model, prompt, version, request, holder, held_until,"
            " may_cost, charged_to) values (%s, 'm', 'p', 'v', '{}', %s, now() + %s::interval,"
            " %s, %s)",
            [key, uuid4(), held, cost, RUN],
        )
    return key


async def test_what_one_process_has_spent_no_other_one_may() -> None:
    async with process(25):
        await ask("one")
        await ask("two")
    async with process(25):
        await ask("three")
        with pytest.raises(BudgetSpent, match="25 USD"):
            await ask("four")


async def test_near_the_limit_a_call_waits_for_those_of_others() -> None:
    other = await in_flight(20, held="10 seconds")
    async with process(25):
        waiting = asyncio.create_task(ask("one"))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        async with transaction() as connection:
            await connection.execute("delete from patterns.calls where key = %s", [other])
        await waiting


async def test_what_a_dead_process_had_in_flight_is_waited_for_no_longer_than_its_lease() -> None:
    await in_flight(20, held="-1 seconds")
    async with process(25):
        await ask("one")


async def test_a_call_whose_claim_is_gone_waits_for_others_and_is_made(
    endpoint: ScriptedEndpoint,
) -> None:
    other = await in_flight(20, held="10 seconds")
    async with process(25):
        waiting = asyncio.create_task(ask("one"))
        await asyncio.sleep(0.5)
        async with transaction() as connection:
            await connection.execute("delete from patterns.calls where key <> %s", [other])
        await asyncio.sleep(0.2)
        assert endpoint.calls == []
        async with transaction() as connection:
            await connection.execute("delete from patterns.calls")
        async with asyncio.timeout(10):
            await waiting
    assert len(endpoint.calls) == 1


async def test_a_reply_and_a_failure_leave_nothing_reserved(endpoint: ScriptedEndpoint) -> None:
    async with process(25):
        await ask("one")
        endpoint.answer = lambda body, n: Fault(401)
        with pytest.raises(ModelRejected):
            await ask("two")
    async with transaction() as connection:
        found = await connection.execute("select may_cost from patterns.calls")
        assert [row["may_cost"] for row in await found.fetchall()] == [None, None]


async def test_another_runs_money_is_its_own() -> None:
    async with process(15):
        await ask("one")
    token = current_run.set(RunContext(root_run=UUID(int=8), budget=SharedBudget(15)))
    try:
        await ask("two")
    finally:
        current_run.reset(token)
