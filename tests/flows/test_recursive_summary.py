import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from prefect.client.orchestration import get_client

from flows.recursive_summary import plan_summary, summarize_corpus
from infra import llm
from infra.errors import BudgetSpent, InputError, ModelUnavailable, WorkIncomplete
from infra.postgres import transaction
from infra.settings import get_settings
from tasks import progress
from tasks.columns import Columns
from tasks.findings import Figures, Report
from tasks.summaries import SummaryRequest
from tests.endpoint import Body, Fault, Said, ScriptedEndpoint, plausible, user_text

pytestmark = pytest.mark.usefixtures("database")

TICKETS = Path(__file__).parents[2] / "examples" / "tickets.csv"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm, "_pause", lambda tries, error: 0.0)


def request(source: Path = TICKETS, **changes: Any) -> SummaryRequest:
    return SummaryRequest.model_validate({"source": str(source), "strategy": "embed"} | changes)


def report_of(figures: Figures) -> Report:
    assert figures.report is not None
    file = Path(figures.report).with_name("report.json")
    return Report.model_validate_json(file.read_text(encoding="utf-8"))


def changed(tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    """The sample at a place of its own, changed; always the same place, so the same lineage."""
    table = change(pd.read_csv(TICKETS, dtype=str, keep_default_na=False))
    path = tmp_path / "tickets.csv"
    table.to_csv(path, index=False)
    return path


def as_it_is(table: pd.DataFrame) -> pd.DataFrame:
    return table


@pytest.mark.parametrize("strategy", ["embed", "read"])
async def test_every_ticket_is_covered_or_unassigned_and_the_findings_say_which(
    endpoint: ScriptedEndpoint, strategy: str
) -> None:
    figures = await summarize_corpus(request(strategy=strategy))
    table = pd.read_parquet(figures.findings_file)
    assert figures.tickets == 104
    assert figures.covered + figures.unassigned == figures.tickets
    assert len(table) == figures.findings
    found = {ticket for tickets in table["ticket_ids"] for ticket in tickets}
    assert len(found) == figures.covered
    assert (table["count"] == table["ticket_ids"].map(len)).all()
    report = report_of(figures)
    assert found.isdisjoint(report.unassigned)
    assert found | report.unassigned.keys() == set(report.tickets)


async def test_the_figures_are_those_of_the_ledger(endpoint: ScriptedEndpoint) -> None:
    figures = await summarize_corpus(request())
    assert figures.model_calls == len(endpoint.calls)
    assert figures.cost_usd is None
    assert figures.prompt_tokens > 0


async def test_what_is_followed_comes_to_its_end(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = dict[str, tuple[int, int]]()

    def listen(what: str, done: int, of: int) -> None:
        last[what] = (done, of)

    monkeypatch.setattr(progress, "listeners", [listen])
    await summarize_corpus(request())
    assert last["Wording themes"][1] > 1
    assert {done == of for done, of in last.values()} == {True}


async def test_the_same_again_asks_nothing_and_says_the_same(
    endpoint: ScriptedEndpoint, tmp_path: Path
) -> None:
    source = changed(tmp_path, as_it_is)
    first = report_of(await summarize_corpus(request(source)))
    endpoint.calls.clear()
    figures = await summarize_corpus(request(source))
    assert (figures.model_calls, endpoint.calls) == (0, [])
    assert figures.cache_hits > 0
    assert words_and_evidence(report_of(figures)) == words_and_evidence(first)


async def test_the_order_of_rows_changes_nothing(
    endpoint: ScriptedEndpoint, tmp_path: Path, database: str
) -> None:
    first = report_of(await summarize_corpus(request(changed(tmp_path, as_it_is))))
    for table in ("codebooks", "calls", "embeddings"):
        await truncate(table)
    mixed = changed(tmp_path, lambda table: table.sample(frac=1, random_state=3))
    assert words_and_evidence(report_of(await summarize_corpus(request(mixed)))) == (
        words_and_evidence(first)
    )


@pytest.mark.parametrize("strategy", ["embed", "read"])
async def test_a_new_ticket_costs_a_few_calls(
    endpoint: ScriptedEndpoint, tmp_path: Path, strategy: str
) -> None:
    await summarize_corpus(request(changed(tmp_path, as_it_is), strategy=strategy))
    new = pd.read_csv(TICKETS.with_name("tickets_new.csv"), dtype=str, keep_default_na=False)
    grown = changed(tmp_path, lambda table: pd.concat([table, new.head(1)]))
    figures = await summarize_corpus(request(grown, strategy=strategy))
    assert figures.tickets == 105
    assert figures.model_calls <= 8


async def test_a_deleted_ticket_is_in_nothing_that_is_left(
    endpoint: ScriptedEndpoint, tmp_path: Path
) -> None:
    secret = "The zebra stickers on my badge glow at night."

    def with_secrets(table: pd.DataFrame) -> pd.DataFrame:
        rows = [
            {**table.iloc[0], "id": f"T-999{n}", "subject": "", "body": secret} for n in range(4)
        ]
        return pd.concat([table, pd.DataFrame(rows)])

    told = changed(tmp_path, with_secrets)
    assert "zebra" in report_of(await summarize_corpus(request(told))).model_dump_json()
    endpoint.calls.clear()
    figures = await summarize_corpus(request(changed(tmp_path, as_it_is)))
    left = report_of(figures).model_dump_json() + json.dumps(endpoint.calls)
    assert "zebra" not in left
    assert "T-999" not in left


@pytest.mark.parametrize(
    "said",
    [
        "",
        "nonsense",
        "[]",
        '{"title": 7}',
        Said('{"title": "Export', "length"),
        Said("", "refusal"),
    ],
)
@pytest.mark.parametrize("strategy", ["embed", "read"])
async def test_a_model_that_answers_garbage_loses_no_ticket_and_the_run_fails(
    endpoint: ScriptedEndpoint, tmp_path: Path, strategy: str, said: str | Said
) -> None:
    endpoint.answer = lambda body, n: said
    few = changed(tmp_path, lambda table: table.head(12))
    with pytest.raises(WorkIncomplete, match="failed for good"):
        await summarize_corpus(request(few, strategy=strategy, out=tmp_path / "out"))
    report = Report.model_validate_json((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert report.figures.covered + report.figures.unassigned == 12


async def test_a_share_of_losses_may_be_allowed(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    endpoint.answer = lambda body, n: "nonsense"
    few = changed(tmp_path, lambda table: table.head(12))
    assert (await summarize_corpus(request(few, max_failed_share=1.0))).tickets == 12


async def test_faults_of_the_endpoint_do_not_show(
    endpoint: ScriptedEndpoint, tmp_path: Path
) -> None:
    def faulty(body: Body, n: int) -> str | Fault:
        if n == 1 and len(endpoint.calls) % 4 == 0:
            return Fault([500, 429][len(endpoint.calls) % 8 == 0])
        return plausible(body)

    endpoint.answer = faulty
    figures = await summarize_corpus(request(strategy="read"))
    assert figures.covered + figures.unassigned == 104


async def test_a_run_that_died_goes_on_where_it_stopped(
    endpoint: ScriptedEndpoint, tmp_path: Path
) -> None:
    source = changed(tmp_path, as_it_is)
    endpoint.answer = lambda body, n: Fault(401) if len(endpoint.calls) > 5 else plausible(body)
    with pytest.raises(llm.ModelError):
        await summarize_corpus(request(source))
    done = [json.dumps(body, sort_keys=True) for body in endpoint.answered]
    endpoint.answer = lambda body, n: plausible(body)
    endpoint.answered.clear()
    await summarize_corpus(request(source))
    again = {json.dumps(body, sort_keys=True) for body in endpoint.answered}
    assert done
    assert again.isdisjoint(done)


async def test_an_endpoint_that_is_down_is_an_error_that_says_so(
    endpoint: ScriptedEndpoint, tmp_path: Path
) -> None:
    endpoint.answer = lambda body, n: Fault(503)
    with pytest.raises(ModelUnavailable, match="PATTERNS_CHAT_BASE_URL"):
        await summarize_corpus(request(changed(tmp_path, lambda table: table.head(12))))


async def test_a_spent_budget_ends_the_run_and_keeps_the_work(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_PRICES", '{"openai:scripted": [1000, 1000]}')
    get_settings.cache_clear()
    with pytest.raises(BudgetSpent, match="What was done is kept"):
        await summarize_corpus(request(max_cost=1.0))
    assert endpoint.answered
    endpoint.answered.clear()
    assert (await summarize_corpus(request())).cache_hits > 0


async def test_instructions_in_a_ticket_stay_material(endpoint: ScriptedEndpoint) -> None:
    await summarize_corpus(request(strategy="read"))
    for body in endpoint.calls:
        system = next(m["content"] for m in body["messages"] if m["role"] == "system")
        assert "ignore all previous" not in system.lower()


async def test_no_count_date_or_id_enters_the_words_of_a_node(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: plausible(body)
    report = report_of(await summarize_corpus(request()))
    asked = [user_text(body) for body in endpoint.calls if "<texts>" in user_text(body)]
    assert asked
    for text in asked:
        assert not any(ticket in text.split() for ticket in report.tickets)


async def test_a_plan_calls_no_model_and_is_about_right(endpoint: ScriptedEndpoint) -> None:
    plan = await plan_summary(request())
    assert endpoint.calls == []
    figures = await summarize_corpus(request())
    assert plan.tickets == figures.tickets
    assert figures.model_calls / 2 <= plan.model_calls <= figures.model_calls * 2


async def test_groups_are_a_cross_table_with_a_sentence_each(endpoint: ScriptedEndpoint) -> None:
    figures = await summarize_corpus(request(columns=Columns(group_by="product")))
    report = report_of(figures)
    assert sum(group.tickets for group in report.groups) <= report.figures.tickets
    assert all(
        group.text for group in report.groups if any(group.group in f.groups for f in report.themes)
    )
    table = pd.read_parquet(figures.findings_file)
    assert all(sum(cell["count"] for cell in row) > 0 for row in table["group"])


async def test_the_run_leaves_a_report_on_its_page(endpoint: ScriptedEndpoint) -> None:
    await summarize_corpus(request())
    async with get_client() as client:
        keys = {artifact.key for artifact in await client.read_artifacts()}
    assert "summary-report" in keys


async def test_bad_input_is_refused_before_a_model_is_asked(
    endpoint: ScriptedEndpoint, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="does not exist"):
        await summarize_corpus(request(tmp_path / "none.csv"))
    assert endpoint.calls == []


@pytest.mark.parametrize("texts", [[""], ["Export hangs."], ["Export hangs."] * 5, ["?"]])
async def test_a_tiny_corpus_is_a_corpus(
    endpoint: ScriptedEndpoint, tmp_path: Path, texts: list[str]
) -> None:
    path = tmp_path / "few.csv"
    rows = [{"id": f"T{n}", "text": text} for n, text in enumerate(texts)]
    pd.DataFrame(rows).to_csv(path, index=False)
    figures = await summarize_corpus(request(path))
    assert figures.covered + figures.unassigned == len(texts)


def words_and_evidence(report: Report) -> str:
    return report.model_dump_json(exclude={"made_at", "figures"})


async def truncate(table: str) -> None:

    async with transaction() as connection:
        await connection.execute(f"truncate patterns.{table} cascade")  # type: ignore[arg-type]
