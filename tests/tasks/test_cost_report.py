import base64
import io
import re
from datetime import UTC, date, datetime, time, timedelta

import psycopg
import pytest
from PIL import Image
from pydantic import ValidationError

from tasks.asking import ask
from tasks.cost_report import CostReport, CostRequest, bars, cost_markdown, cost_report, total
from tasks.costs import Cost
from tasks.plots import ACCENT, PALE

LAST = date(2026, 11, 23)


def row(of: str, usd: float | None = 0.5, saved: float | None = 0.25, failures: int = 0) -> Cost:
    return Cost(
        of=of,
        model_calls=1200,
        cache_hits=300,
        failures=failures,
        prompt_tokens=9000,
        completion_tokens=800,
        cost_usd=usd,
        saved_usd=saved,
        p50_ms=812.4,
        p95_ms=2000.0,
    )


def report(*daily: Cost, rows: tuple[Cost, ...] | None = None, days: int = 3) -> CostReport:
    found = (row("classify_ticket"), row("word_theme")) if rows is None else rows
    first = LAST - timedelta(days=days - 1)
    days_found = daily or tuple(each.model_copy(update={"of": str(LAST)}) for each in found[:1])
    return CostReport(by="prompt", first=first, last=LAST, rows=found, daily=days_found)


def drawn(markdown: str) -> bytes:
    [data] = re.findall(r"\(data:image/png;base64,([^)]*)\)", markdown)
    return base64.b64decode(data)


def lines(markdown: str) -> list[str]:
    return [line for line in markdown.splitlines() if line.startswith("|")]


def test_an_empty_ledger_is_said_plainly_and_nothing_is_drawn() -> None:
    told = cost_markdown(report(rows=()))
    assert told == (
        "No model was called from 2026-11-21 to 2026-11-23 (UTC), and nothing was served from the "
        "cache.\n"
    )


def test_the_table_has_a_line_for_each_and_one_for_all() -> None:
    head, _, first, second, whole = lines(cost_markdown(report(row("2026-11-23"))))
    assert head.startswith("| Prompt | Calls | Hits | Failures | Tokens in | out | Cost, USD |")
    assert first == (
        r"| classify\_ticket | 1,200 | 300 | 0 | 9,000 | 800 | 0.5000 | 0.2500 | 812 | 2,000 |"
    )
    assert second.startswith(r"| word\_theme |")
    assert whole == (
        "| **all** | **2,400** | **600** | **0** | **18,000** | **1,600** | **1.0000** | "
        "**0.5000** |  |  |"
    )


def test_little_money_is_told_from_none() -> None:
    told = cost_markdown(report(rows=(row("x", 0.00012, 0.0),)))
    assert "They cost **0.000120 USD**. The cache saved 0.0000 USD." in told


def test_one_unknown_price_makes_the_whole_unknown() -> None:
    rows = (row("known"), row("unknown", usd=None, saved=0.25))
    assert (total(rows).cost_usd, total(rows).saved_usd) == (None, 0.5)
    told = cost_markdown(report(rows=rows))
    assert "What they cost is unknown" in told
    assert "The cache saved 0.5000 USD." in told


def test_a_name_of_markup_stays_a_name_in_one_line() -> None:
    told = cost_markdown(report(rows=(row("<b>a|b</b>\n![x](http://x)"),)))
    assert told.count("\n|") == 3
    assert r"\<b\>a\|b\</b\> !\[x\](http\://x)" in told


def test_days_are_stacked_from_what_was_paid_and_saved_and_days_without_calls_are_empty() -> None:
    unit, stacks = bars(report(row("2026-11-21"), row("2026-11-23", 2.0, 1.0)))
    assert unit == "USD"
    assert stacks == {"paid": [0.5, 0, 2.0], "saved by the cache": [0.25, 0, 1.0]}


@pytest.mark.parametrize("unpriced", [row("2026-11-22", usd=None), row("2026-11-22", 0.0, 0.0)])
def test_where_a_price_is_unknown_or_all_was_free_calls_are_stacked(unpriced: Cost) -> None:
    free = row("2026-11-21", 0.0, 0.0)
    unit, stacks = bars(report(free, unpriced))
    assert unit == "calls"
    assert stacks == {
        "answered by a model": [1200, 1200, 0],
        "served from the cache": [300, 300, 0],
    }
    _, stacks = bars(report(free, unpriced.model_copy(update={"failures": 4})))
    assert stacks["failed"] == [0, 4, 0]


@pytest.mark.parametrize("days", [1, 7, 92])
def test_the_plot_is_a_small_picture_with_ink_in_both_colours(days: int) -> None:
    daily = [row(str(LAST - timedelta(days=back))) for back in range(days)]
    data = drawn(cost_markdown(report(*daily, days=days)))
    assert len(data) < 100_000
    colours = Image.open(io.BytesIO(data)).convert("RGB").getcolors(1_000_000)
    drawn_in = {bytes(colour).hex() for count, colour in colours or () if count > 300}
    assert {ACCENT[1:], PALE[1:]} <= drawn_in


@pytest.mark.parametrize("fields", [{"by": "week"}, {"days": 0}, {"days": 93}, {"since": "x"}])
def test_a_request_that_does_not_fit_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CostRequest.model_validate(fields)


def test_the_form_offers_what_costs_are_summed_up_by() -> None:
    asked = CostRequest.model_json_schema()["properties"]["by"]
    assert asked["enum"] == ["prompt", "flow", "model", "day"]


@pytest.mark.usefixtures("endpoint")
async def test_only_the_last_days_are_read_each_whole_and_the_most_used_first(
    database: str,
) -> None:
    for text in ("Export hangs", "Login fails"):
        await ask("classify_ticket", {"ticket": text})
    for text in ("Export hangs", "Login fails"):
        await ask("describe_group", {"themes": text})
    today = datetime.now(UTC).date()
    with psycopg.connect(database) as connection:
        begin = datetime.combine(today - timedelta(days=6), time.min, UTC)
        for number, at in ((1, begin - timedelta(microseconds=1)), (2, begin)):
            connection.execute("update patterns.ledger set at = %s where id = %s", [at, number])
    found = await cost_report(CostRequest(days=7))
    assert (found.first, found.last) == (today - timedelta(days=6), today)
    assert [(each.of, each.model_calls) for each in found.rows] == [
        ("describe_group", 2),
        ("classify_ticket", 1),
    ]
    assert [(each.of, each.model_calls) for each in found.daily] == [
        (str(found.first), 1),
        (str(today), 2),
    ]
