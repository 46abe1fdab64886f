from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.budget import Budget
from infra.errors import BudgetSpent, WorkIncomplete
from infra.postgres import Jsonb, fetch
from infra.settings import get_settings
from infra.shared_budget import SharedBudget
from tasks.codebook import ROOT, Codebook, Entry, save_codebook
from tasks.columns import Columns
from tasks.corpus import Corpus
from tasks.facts import Strategy, extractor_of, lineage_of
from tasks.passages import passages
from tasks.reading import plan_reading
from tasks.shards import Shard
from tasks.summaries import Plan, SummaryRequest, expected_themes, plan_of, require_whole
from tests.tasks.reports import sample

TEXTS = [f"The export of report {n} hangs." for n in range(30)]
STARTED = datetime(2026, 9, 21, 8, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _remote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_CHAT_MODEL", "openai:scripted")


def request(**fields: Any) -> SummaryRequest:
    return SummaryRequest.model_validate({"source": "tickets.csv"} | fields)


def corpus(*texts: str) -> Corpus:
    rows = [(f"T{n}", text, pd.NaT, None, "ticket") for n, text in enumerate(texts)]
    records = pd.DataFrame(rows, columns=["id", "text", "happened_at", "group", "kind"])
    return Corpus("test", records, Columns(text=("text",)))


async def planned(*texts: str, strategy: Strategy = "read") -> Plan:
    source = corpus(*texts)
    cut = passages(source)
    return await plan_of.fn(source, cut, await plan_reading.fn(cut, strategy), strategy)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"souce": "a.csv"}, r"souce\n +Extra inputs are not permitted"),
        ({"columns": {"txt": "body"}}, r"columns\.txt\n +Extra inputs are not permitted"),
        ({"strategy": "skim"}, r"strategy\n +Input should be 'read' or 'embed'"),
        ({"since": "yesterday"}, r"since\n +Input should be a valid datetime"),
        ({"max_cost": 0}, r"max_cost\n +Input should be greater than 0"),
        ({"max_failed_share": 1.1}, r"max_failed_share\n +Input should be less than or equal to 1"),
        ({"max_failed_share": -0.1}, r"max_failed_share\n +Input should be greater than or equal"),
        ({"source": None}, r"source\n +Input should be a valid string"),
    ],
)
def test_a_request_with_unknown_fields_or_bad_values_is_refused_by_name(
    fields: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ValidationError, match=fault):
        request(**fields)


def test_the_way_is_the_one_that_is_asked_for_or_fits_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert [request(strategy=way).way for way in ("embed", "read", None)] == [
        "embed",
        "read",
        "read",
    ]
    monkeypatch.delenv("PATTERNS_CHAT_MODEL")
    get_settings.cache_clear()
    assert request().way == "embed"


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("/data/Tickets 2026.csv", "tickets-2026-csv"),
        ("corpus:Täglich", "corpus-täglich"),
        ("sql:/queries/../../etc.sql", "etc-sql"),
        ("/data/???", "report"),
        ("query:" + "a" * 99, "query-" + "a" * 54),
    ],
)
def test_a_report_has_a_folder_of_its_source_and_its_time(name: str, folder: str) -> None:
    found = request().folder(name, STARTED)
    assert found == get_settings().home / "reports" / f"{folder}-20260921-083000-000000"


def test_a_folder_that_is_named_is_taken_from_where_the_user_is(tmp_path: Path) -> None:
    assert request(out=tmp_path / "a b").folder("x", STARTED) == tmp_path / "a b"
    assert request(out="~/out").folder("x", STARTED) == Path.home() / "out"
    assert request(out="out").folder("x", STARTED) == Path.cwd() / "out"


async def test_the_budget_holds_at_most_the_cost_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATTERNS_PRICES", '{"openai:scripted": [1, 1]}')

    async def spend(budget: Budget) -> None:
        for _ in range(3):
            async with budget.call("openai:scripted", 1000, 0):
                budget.spend(1000, 1.0)

    await spend(request().budget())
    with pytest.raises(BudgetSpent, match="2 USD"):
        await spend(request(max_cost=2.0).budget())


def test_with_shards_the_money_is_that_of_all_of_them() -> None:
    assert isinstance(request(max_cost=2.0, shards=3).budget(), SharedBudget)
    assert isinstance(Shard(run=uuid4(), max_cost=2.0).budget(), SharedBudget)
    assert not isinstance(request(shards=3).budget(), SharedBudget)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("strategy", ["read", "embed"])
async def test_a_plan_counts_no_text_twice(strategy: Strategy) -> None:
    once = await planned(*TEXTS, strategy=strategy)
    twice = await planned(*TEXTS, *TEXTS, "", strategy=strategy)
    assert (once.tickets, once.passages, once.facts_to_make) == (30, 30, 30)
    assert twice == once.model_copy(update={"tickets": 61})


@pytest.mark.usefixtures("database")
async def test_what_has_been_read_is_in_no_plan() -> None:
    before = await planned(*TEXTS)
    for sha256 in passages(corpus(*TEXTS[:20]))["sha256"]:
        row = {"passage": sha256, "facts": Jsonb([]), "reason": "none", "borrowed_from": []}
        await fetch("keep_facts", {"extractor": extractor_of("read"), **row})
    after = await planned(*TEXTS)
    assert (before.facts_to_make, after.facts_to_make) == (30, 10)
    assert after.nodes == before.nodes
    assert after.model_calls == before.model_calls - 2
    assert (before.passages_a_call, after.passages_a_call) == (10, 10)
    assert after.prompt_tokens < before.prompt_tokens
    assert after.completion_tokens < before.completion_tokens


@pytest.mark.usefixtures("database")
async def test_a_plan_knows_the_themes_of_the_last_run() -> None:
    row = np.eye(8, dtype=np.float32)[0]
    themes = [Entry(n, ROOT, "theme", row, 0.2) for n in range(1, 5)]
    codebook = Codebook([Entry(ROOT, None, "area"), *themes], 0.2, 9, 0, 5)
    await save_codebook(lineage_of("test", "embed"), codebook)
    plan = await planned(*TEXTS, strategy="embed")
    assert (plan.nodes, plan.model_calls) == (5, 5)
    assert (await planned(*TEXTS, strategy="read")).nodes != 5, "another lineage"


@pytest.mark.usefixtures("database")
async def test_a_plan_has_a_cost_where_the_price_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = {}
    for model in ("openai:scripted", "openai:priced", "local:any"):
        monkeypatch.setenv("PATTERNS_CHAT_MODEL", model)
        monkeypatch.setenv("PATTERNS_PRICES", '{"openai:priced": [2, 30]}')
        get_settings.cache_clear()
        plans[model] = await planned(*TEXTS)
        assert plans[model].model == model
    priced = plans["openai:priced"]
    by_hand = (2 * priced.prompt_tokens + 30 * priced.completion_tokens) / 1e6
    assert priced.cost_usd == pytest.approx(by_hand)
    assert plans["openai:scripted"].cost_usd is None
    assert plans["local:any"].cost_usd == 0


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_more_facts_are_more_themes_up_to_a_limit(some: int, more: int) -> None:
    assert 0 <= expected_themes(some) <= min(some, 120)
    assert expected_themes(some) <= expected_themes(some + more)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 12), st.integers(0, 100))
def test_a_run_is_whole_exactly_up_to_the_allowed_share(
    lost: int, passages: int, nodes: int, percent: int
) -> None:
    report = sample(
        lost=("it hangs",) * lost, figures=sample().figures.model_copy(update={"nodes": nodes})
    )
    share = lost / (passages + 2 * nodes + len(report.groups) + 1)
    if share > percent / 100:
        with pytest.raises(WorkIncomplete, match=f"^{lost} pieces of work failed for good"):
            require_whole(report, passages, percent / 100)
    else:
        require_whole(report, passages, percent / 100)
    require_whole(report, passages, share)


@pytest.mark.usefixtures("database")
async def test_a_plan_says_how_many_calls_are_made_at_once_and_how_long_they_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATTERNS_CHAT_MODEL", "openai:scripted")
    monkeypatch.setenv("PATTERNS_CHAT_SLOTS", "2")
    get_settings.cache_clear()
    plan = await planned(*TEXTS)
    assert (plan.passages_a_call, plan.slots, plan.calls_at_once, plan.seconds) == (15, 2, 2, None)
    for prompt in ("extract_facts", "word_theme", "synthesize"):
        await noted(prompt, "openai:scripted", 2000)
        await noted(prompt, "openai:scripted", 4000)
        await noted(prompt, "openai:other", 9000)
    leaves = plan.nodes - 1
    plan = await planned(*TEXTS)
    assert plan.seconds == pytest.approx(3 * (1 + -(-leaves // 2) + 1))
    monkeypatch.setenv("PATTERNS_CHAT_REQUESTS_PER_MINUTE", "6")
    get_settings.cache_clear()
    assert (await planned(*TEXTS)).seconds == pytest.approx(plan.model_calls * 10)


async def noted(prompt: str, model: str, milliseconds: float) -> None:
    used = dict.fromkeys(("cost_usd", "error", "root_run", "flow_run", "flow", "task_run"))
    tokens = {"prompt_tokens": 1, "completion_tokens": 1}
    call = {"key": f"{prompt} {model}".encode(), "model": model, "prompt": prompt, "version": "v"}
    await fetch("note_failure", {**used, **tokens, **call, "latency_ms": milliseconds})


def test_a_run_that_is_not_whole_names_what_it_lost_and_where_the_report_is() -> None:
    of = sample().figures.model_copy(update={"report": "/reports/x/report.html"})
    with pytest.raises(WorkIncomplete) as error:
        require_whole(
            sample(lost=("F7: ReplyTruncated", "synthesis: ModelRefused"), figures=of), 0, 0.1
        )
    assert "(F7: ReplyTruncated; synthesis: ModelRefused)" in str(error.value)
    assert "/reports/x/report.html" in str(error.value)
    with pytest.raises(WorkIncomplete) as error:
        require_whole(sample(lost=("it was refused",) * 9), 9, 0.0)
    assert str(error.value).count("it was refused") == 5
    assert "refused …)" in str(error.value)
