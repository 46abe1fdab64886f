import asyncio
import json
import subprocess
import sys
import time
from uuid import uuid4

import psycopg
import pytest
from pydantic import BaseModel, ConfigDict

from infra import in_flight, llm
from infra.budget import Budget, RunContext, current_run
from infra.call_rows import claim_row
from infra.errors import (
    BudgetSpent,
    ContextOverflow,
    ModelRateLimited,
    ModelRefused,
    ModelRejected,
    ModelUnavailable,
    ReplyMalformed,
    ReplyTruncated,
)
from infra.llm import complete, kept_reply
from infra.messages import Message
from infra.postgres import fetch, transaction
from infra.request import Request
from infra.settings import get_settings
from infra.sql import queries
from tests.endpoint import Fault, Said, ScriptedEndpoint

PAUSE = llm._pause  # before the fixture replaces it

pytestmark = pytest.mark.usefixtures("database")


class Colour(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str


def question(text: str = "Which colour?", **changes: object) -> Request:
    asked = {
        "prompt": "test",
        "version": "v1",
        "model": "openai:scripted",
        "messages": (Message("user", text),),
    }
    return Request(**(asked | changes))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm, "_pause", lambda tries, error: 0.0)


async def ledger(url: str) -> list[tuple[object, ...]]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        rows = await connection.execute(
            "select served_by, error, prompt_tokens > 0 from patterns.ledger order by id"
        )
        return await rows.fetchall()


async def test_a_reply_is_asked_for_once_and_then_found(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    endpoint.answer = lambda body, n: "green"
    first, second = await complete(question()), await complete(question())
    assert (first.text, first.served_by) == ("green", "model")
    assert (second.text, second.served_by, second.cost_usd) == ("green", "exact", 0)
    assert len(endpoint.calls) == 1
    assert await ledger(database) == [("model", None, True), ("exact", None, False)]


async def test_a_hit_names_the_run_that_paid_for_it(endpoint: ScriptedEndpoint) -> None:
    payer = uuid4()
    token = current_run.set(RunContext(root_run=payer))
    await complete(question())
    current_run.reset(token)
    assert (await complete(question())).paid_by == payer


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "openai:other"},
        {"messages": (Message("user", "Which shade?"),)},
        {"messages": (Message("system", "Which colour?"),)},
        {"fills": Colour},
        {"max_tokens": 7},
        {"attempt": 1},
    ],
)
def test_whatever_changes_the_reply_changes_the_key(changes: dict[str, object]) -> None:
    assert question(**changes).key != question().key


def test_who_asks_does_not_change_the_key() -> None:
    assert question(prompt="other", version="v2", sources=("a",)).key == question().key


async def test_a_hundred_equal_requests_at_once_make_one_call(endpoint: ScriptedEndpoint) -> None:
    endpoint.latency = 0.2
    replies = await asyncio.gather(*(complete(question()) for _ in range(100)))
    assert len({reply.text for reply in replies}) == 1
    assert len(endpoint.calls) == 1


async def test_calls_in_flight_stay_within_the_slots(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_CHAT_SLOTS", "5")
    get_settings.cache_clear()
    endpoint.latency = 0.05
    await asyncio.gather(*(complete(question(f"number {n}")) for n in range(40)))
    assert len(endpoint.calls) == 40
    assert 2 <= endpoint.most_at_once <= 5


async def test_a_structured_reply_is_validated(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: '{"name": "green"}'
    reply = await complete(question(fills=Colour))
    assert reply.value == Colour(name="green")
    [body] = endpoint.calls
    assert body["response_format"]["json_schema"]["schema"] == Colour.model_json_schema()
    assert (await complete(question(fills=Colour))).value == Colour(name="green")


async def test_a_reply_that_does_not_fit_is_asked_for_again_with_the_error(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    replies = iter(["nonsense", '{"colour": 1}', '{"name": "green"}'])
    endpoint.answer = lambda body, n: next(replies)
    reply = await complete(question(fills=Colour))
    assert reply.value == Colour(name="green")
    last = endpoint.calls[-1]["messages"]
    assert [m["role"] for m in last] == ["user", "assistant", "user", "assistant", "user"]
    assert "name: Field required" in last[-1]["content"]
    used = [error for _, error, _ in await ledger(database)]
    assert used == ["ReplyMalformed", "ReplyMalformed", None]


async def test_a_reply_that_never_fits_is_an_error_after_three(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: "nonsense"
    with pytest.raises(ReplyMalformed, match="3 times"):
        await complete(question(fills=Colour))
    assert len(endpoint.calls) == 3


async def test_a_reply_that_was_cut_off_is_asked_for_again(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    endpoint.answer = lambda body, n: Said("gre", "length") if n < 3 else "green"
    assert (await complete(question())).text == "green"
    used = [error for _, error, _ in await ledger(database)]
    assert used == ["ReplyTruncated", "ReplyTruncated", None]


@pytest.mark.parametrize(("divisible", "calls"), [(False, 3), (True, 1)])
async def test_a_reply_that_is_always_cut_off_is_an_error_at_once_where_less_can_be_asked_for(
    endpoint: ScriptedEndpoint, divisible: bool, calls: int
) -> None:
    endpoint.answer = lambda body, n: Said("gre", "length")
    with pytest.raises(ReplyTruncated):
        await complete(question(divisible=divisible))
    assert len(endpoint.calls) == calls


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (Said("", "content_filter"), ModelRefused),
        (Fault(400, code="context_length_exceeded", message="maximum context"), ContextOverflow),
        (Fault(401, message="bad key"), ModelRejected),
        (Fault(404, message="no such model"), ModelRejected),
        (Fault(400, message="temperature in this context"), ModelRejected),
        (Fault(400, code="content_filter"), ModelRefused),
    ],
)
async def test_what_trying_again_cannot_mend_is_tried_once(
    endpoint: ScriptedEndpoint, said: Said | Fault, error: type[Exception], database: str
) -> None:
    endpoint.answer = lambda body, n: said
    with pytest.raises(error):
        await complete(question())
    assert len(endpoint.calls) == 1
    assert [row[1] for row in await ledger(database)] == [error.__name__]


@pytest.mark.parametrize(
    "fault", [Fault(500), Fault(503), Fault(429, {"Retry-After": "1"}), Fault(dropped=True)]
)
async def test_a_passing_fault_is_tried_again(endpoint: ScriptedEndpoint, fault: Fault) -> None:
    endpoint.answer = lambda body, n: fault if n < 3 else "green"
    assert (await complete(question())).text == "green"
    assert len(endpoint.calls) == 3


async def test_a_reply_without_an_end_is_waited_for_no_longer_than_the_setting_says(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_CHAT_TIMEOUT", "0.5")
    get_settings.cache_clear()
    endpoint.answer = lambda body, n: Fault(endless=True) if n == 1 else "green"
    assert (await complete(question())).text == "green"
    assert len(endpoint.calls) == 2


async def test_a_body_that_is_no_json_is_a_passing_fault(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: Fault(200) if n == 1 else "green"
    assert (await complete(question())).text == "green"


@pytest.mark.parametrize(
    ("fault", "error"), [(Fault(500), ModelUnavailable), (Fault(429), ModelRateLimited)]
)
async def test_an_endpoint_that_never_answered_is_given_up_soon(
    endpoint: ScriptedEndpoint, fault: Fault, error: type[Exception]
) -> None:
    endpoint.answer = lambda body, n: fault
    with pytest.raises(error):
        await complete(question())
    assert len(endpoint.calls) == llm.TRIES_AT_FIRST


async def test_a_busy_endpoint_that_serves_others_is_not_given_up(
    endpoint: ScriptedEndpoint,
) -> None:
    def answer(body: dict[str, object], n: int) -> str | Fault:
        if "patient" not in json.dumps(body) or n > 2 * llm.TRIES:
            return "green"
        served = len(endpoint.answered)
        while len(endpoint.answered) < served + 2:  # meanwhile others are served
            time.sleep(0.01)
        return Fault(429)

    endpoint.answer = answer
    patient = asyncio.create_task(complete(question("patient")))
    number = 0
    while not patient.done():
        await complete(question(f"number {number}"))
        number += 1
    assert patient.result().text == "green"


async def test_calls_wait_for_their_turn_while_an_endpoint_takes_two_at_once(
    endpoint: ScriptedEndpoint,
) -> None:
    now = 0

    def answer(body: dict[str, object], n: int) -> str | Fault:
        nonlocal now
        now += 1
        try:
            if now > 2:
                return Fault(429, {"Retry-After": "0"})
            time.sleep(0.02)
            return "green"
        finally:
            now -= 1

    endpoint.answer = answer
    replies = await asyncio.gather(*(complete(question(f"number {n}")) for n in range(60)))
    assert {reply.text for reply in replies} == {"green"}
    assert len(endpoint.calls) < 60 * 4


def test_the_pause_is_what_the_server_asks_for() -> None:
    pause = PAUSE(1, ModelRateLimited("busy", retry_after=7))
    assert 7 <= pause <= 7 * 1.2
    assert PAUSE(1, ModelRateLimited("busy", retry_after=7000)) <= 72
    assert PAUSE(20, ModelUnavailable("gone")) <= llm.LONGEST_PAUSE


async def test_a_failed_call_leaves_its_place_to_the_next(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: Fault(401) if n == 1 else "green"
    with pytest.raises(ModelRejected):
        await complete(question())
    assert (await complete(question())).text == "green"


async def test_a_reply_that_is_paid_for_is_kept_though_its_caller_was_cancelled(
    endpoint: ScriptedEndpoint,
) -> None:
    endpoint.latency = 0.5
    first = asyncio.create_task(complete(question()))
    while not endpoint.calls:
        await asyncio.sleep(0.02)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await complete(question())).served_by == "exact"


async def test_a_call_that_waits_for_its_slot_can_be_cancelled(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_CHAT_SLOTS", "1")
    get_settings.cache_clear()
    endpoint.latency = 0.5
    first = asyncio.create_task(complete(question("first")))
    while not endpoint.calls:
        await asyncio.sleep(0.02)
    second = asyncio.create_task(complete(question("second")))
    await asyncio.sleep(0.1)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert (await first).served_by == "model"
    assert len(endpoint.calls) == 1


async def test_a_killed_holder_loses_its_place_when_the_lease_ends(
    endpoint: ScriptedEndpoint,
) -> None:
    await fetch(
        "use_or_claim_call",
        {
            **dict.fromkeys(("root_run", "flow_run", "flow", "task_run", "inputs")),
            "key": question().key,
            "model": "m",
            "prompt": "p",
            "version": "v",
            "request": psycopg.types.json.Jsonb({}),
            "sources": [],
            "tenant": "",
            "ttl": None,
            "holder": uuid4(),
            "lease": 1.0,
        },
    )
    started = time.monotonic()
    assert (await complete(question())).served_by == "model"
    assert time.monotonic() - started >= 0.9


async def test_a_claim_holds_for_a_statement_that_began_before_it(database: str) -> None:
    claim = queries()["use_or_claim_call"]
    params = claim_row(question()) | {"ttl": None}
    async with transaction() as early:
        await early.execute("select now()")  # the time of the whole transaction
        await asyncio.sleep(0.05)
        assert (await fetch("use_or_claim_call", {**params, "holder": uuid4()}))[0]["ours"]
        cursor = await early.execute(claim, {**params, "holder": uuid4()})
        assert await cursor.fetchall() == []


async def test_processes_share_one_call(endpoint: ScriptedEndpoint, database: str) -> None:
    endpoint.latency = 1.0
    program = (
        "import asyncio; from tests.infra.test_llm import question; from infra.llm import complete;"
        "print(asyncio.run(complete(question())).text)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [await asyncio.to_thread(lambda p=p: p.communicate()[0]) for p in running]
    assert len(set(said)) == 1
    assert said[0].strip()
    assert len(endpoint.calls) == 1


@pytest.mark.parametrize(
    ("budget", "calls"),
    [(Budget(max_calls=2), 2), (Budget(max_tokens=1), 1), (Budget(max_cost=1e-9), 1)],
)
async def test_a_run_stops_when_its_budget_is_spent(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch, budget: Budget, calls: int
) -> None:
    monkeypatch.setenv("PATTERNS_PRICES", '{"openai:scripted": [1, 1]}')
    get_settings.cache_clear()
    token = current_run.set(RunContext(budget=budget))
    try:
        for n in range(calls):
            await complete(question(f"number {n}"))
        with pytest.raises(BudgetSpent, match="is spent"):
            await complete(question("one more"))
        assert (await complete(question("number 0"))).served_by == "exact"
    finally:
        current_run.reset(token)
    assert len(endpoint.calls) == calls


async def test_a_limit_of_money_wants_a_known_price(endpoint: ScriptedEndpoint) -> None:
    token = current_run.set(RunContext(budget=Budget(max_cost=1.0)))
    with pytest.raises(BudgetSpent, match="PATTERNS_PRICES"):
        await complete(question())
    current_run.reset(token)
    assert endpoint.calls == []


async def test_an_unknown_price_is_unknown_and_not_nothing(endpoint: ScriptedEndpoint) -> None:
    run = uuid4()
    token = current_run.set(RunContext(root_run=run))
    assert (await complete(question())).cost_usd is None
    current_run.reset(token)
    [row] = await fetch("run_totals", {"root_run": run})
    assert (row["model_calls"], row["cost_usd"]) == (1, None)


async def test_calls_at_once_do_not_run_past_the_budget_together(
    endpoint: ScriptedEndpoint,
) -> None:
    endpoint.latency = 0.05
    token = current_run.set(RunContext(budget=Budget(max_calls=5)))
    many = (complete(question(f"number {n}")) for n in range(30))
    done = await asyncio.gather(*many, return_exceptions=True)
    current_run.reset(token)
    assert len(endpoint.calls) == 5
    assert sum(isinstance(each, BudgetSpent) for each in done) == 25


async def test_an_error_says_whether_the_endpoint_answered_anybody(
    endpoint: ScriptedEndpoint,
) -> None:
    endpoint.answer = lambda body, n: "green" if "good" in json.dumps(body) else Fault(500)
    await complete(question("good"))
    with pytest.raises(ModelUnavailable) as alone:
        await complete(question("bad"))
    assert alone.value.endpoint_down


async def test_text_that_postgresql_cannot_hold_is_asked_and_kept(
    endpoint: ScriptedEndpoint,
) -> None:
    odd = question("NUL \0 and half a pair \ud800")
    assert (await complete(odd)).served_by == "model"
    assert (await complete(odd)).served_by == "exact"


@pytest.mark.parametrize("damage", ['{"text": "gre"}', '{"text": null}', "{}", "[]", '"x"'])
async def test_a_damaged_stored_reply_is_asked_for_again_and_mended(
    endpoint: ScriptedEndpoint, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.answer = lambda body, n: '{"name": "green"}'
    await complete(question(fills=Colour))
    async with transaction() as connection:
        await connection.execute("update patterns.calls set reply = %s::jsonb", [damage])
    assert await kept_reply(question(fills=Colour)) is None
    assert (await complete(question(fills=Colour))).served_by == "model"
    assert "damaged" in caplog.text
    assert (await complete(question(fills=Colour))).served_by == "exact"
    assert len(endpoint.calls) == 2


async def test_a_reply_is_given_for_as_long_as_the_setting_says(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_CACHE_DAYS", "2")
    get_settings.cache_clear()
    await complete(question())
    await _let_pass("1 day")
    assert (await complete(question())).served_by == "exact"
    await _let_pass("1 day 1 second")
    assert await kept_reply(question()) is None
    assert (await complete(question())).served_by == "model"
    assert (await complete(question())).served_by == "exact"


async def test_a_clock_that_was_moved_back_keeps_nobody_waiting_and_nothing_for_ever(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_CACHE_DAYS", "2")
    monkeypatch.setenv("PATTERNS_CHAT_REQUESTS_PER_MINUTE", "6000")
    get_settings.cache_clear()
    await complete(question())
    await _let_pass("-1 hour")  # what was written then is of the future now
    async with transaction() as connection:
        await connection.execute(
            "insert into patterns.calls (key, model, prompt, version, request, holder, held_until)"
            " values (%s, 'm', 'p', 'v', '{}', %s, now() + interval '1 hour')",
            [question("Which shape?").key, uuid4()],
        )
        await connection.execute(
            "insert into patterns.slot_leases values"
            " ('openai:scripted', %s, 1000, 1000, now() + interval '1 hour')",
            [uuid4()],
        )
        await connection.execute(
            "update patterns.rate_buckets set filled_at = now() + interval '1 hour'"
        )
    async with asyncio.timeout(5):
        assert (await complete(question())).served_by == "model"
        assert (await complete(question("Which shape?"))).served_by == "model"


async def test_a_reply_is_kept_though_its_claim_was_lost(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    def answer(body: dict[str, object], n: int) -> str:
        with psycopg.connect(database) as crashed:  # before the claim had reached the disk
            crashed.execute("delete from patterns.calls")
        return "green"

    endpoint.answer = answer
    assert (await complete(question())).served_by == "model"
    assert (await complete(question())).text == "green"
    assert len(endpoint.calls) == 1


async def test_a_reply_that_is_kept_twice_was_paid_for_once(
    endpoint: ScriptedEndpoint, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def doubtful(name: str, params: dict[str, object]) -> list[dict[str, object]]:
        if name in ("keep_reply", "note_failure"):
            await fetch(name, params)  # and the connection broke before anybody heard of it
        return await fetch(name, params)

    monkeypatch.setattr(llm, "fetch", doubtful)
    endpoint.answer = lambda body, n: Fault(500) if n == 1 else "green"
    assert (await complete(question())).text == "green"
    used = await ledger(database)
    assert used == [("model", "ModelUnavailable", False), ("model", None, True)]


async def test_the_next_call_is_sent_before_the_last_reply_is_written(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_CHAT_SLOTS", "1")
    get_settings.cache_clear()

    async def slow(name: str, params: dict[str, object]) -> list[dict[str, object]]:
        while name == "keep_reply" and len(endpoint.calls) < 2:
            await asyncio.sleep(0.01)
        return await fetch(name, params)

    monkeypatch.setattr(llm, "fetch", slow)
    async with asyncio.timeout(30):
        await asyncio.gather(complete(question("first")), complete(question("second")))
    assert endpoint.most_at_once == 1


async def test_of_calls_that_wait_for_a_slot_few_have_a_claim(
    endpoint: ScriptedEndpoint, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_flight, "_AHEAD", 1)
    monkeypatch.setenv("PATTERNS_CHAT_SLOTS", "1")
    get_settings.cache_clear()
    claims = []

    def answer(body: dict[str, object], n: int) -> str:
        time.sleep(0.1)
        with psycopg.connect(database) as connection:
            found = connection.execute("select from patterns.calls where reply is null")
            claims.append(found.rowcount)
        return "green"

    endpoint.answer = answer
    await asyncio.gather(*(complete(question(f"number {n}")) for n in range(6)))
    assert (len(claims), max(claims)) == (6, 2)


async def test_a_tenants_reply_is_its_own(endpoint: ScriptedEndpoint) -> None:
    await complete(question(tenant="acme"))
    assert (await complete(question())).served_by == "model"
    assert (await complete(question(tenant="other"))).served_by == "model"
    assert (await complete(question(tenant="acme"))).served_by == "exact"


async def _let_pass(interval: str) -> None:
    async with transaction() as connection:
        await connection.execute(
            "update patterns.calls set replied_at = replied_at - %s::interval", [interval]
        )
