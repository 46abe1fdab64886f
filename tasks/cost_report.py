"""What calls cost and what the cache saved, as an artifact that a person reads."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict, Field

from tasks.costs import By, Cost, costs
from tasks.markdown import escaped, table
from tasks.plots import ACCENT, PALE, WARNING, panels, picture
from tasks.runs import RETRIED

_HEAD = (
    "Calls",
    "Hits",
    "Failures",
    "Tokens in",
    "out",
    "Cost, USD",
    "Saved, USD",
    "p50 ms",
    "p95",
)
_TICKS = 8  # most dates under the plot


class CostRequest(BaseModel):
    """What a cost report is about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: By = Field("prompt", description="Sum up by this.", json_schema_extra={"position": 0})
    days: int = Field(
        7,
        ge=1,
        le=92,
        description="Days to look back on; today, which is that of UTC, is the last.",
        json_schema_extra={"position": 1},
    )


class CostReport(BaseModel):
    """What the calls of some days took: ``rows`` by what was asked for, ``daily`` by day, days
    without a call left out."""

    model_config = ConfigDict(frozen=True)

    by: By
    first: date
    last: date
    rows: tuple[Cost, ...]
    daily: tuple[Cost, ...]


async def cost_report(request: CostRequest) -> CostReport:
    """The ledger of the last days, the dearest first."""
    last = datetime.now(UTC).date()
    first = last - timedelta(days=request.days - 1)
    since = datetime.combine(first, time.min, UTC)
    rows = await costs(request.by, since)
    if request.by != "day":
        rows.sort(key=lambda row: (row.cost_usd or 0, row.model_calls), reverse=True)
    daily = await costs("day", since)
    return CostReport(by=request.by, first=first, last=last, rows=tuple(rows), daily=tuple(daily))


def cost_markdown(report: CostReport) -> str:
    """The report as Markdown: the sum in words, a plot by day, a table."""
    when = f"{_when(report)} (UTC)"
    if not report.rows:
        return f"No model was called {when}, and nothing was served from the cache.\n"
    whole = total(report.rows)
    money = (
        "What they cost is unknown: a model that was used is not in `PATTERNS_PRICES`."
        if whole.cost_usd is None
        else f"They cost **{_usd(whole.cost_usd)} USD**."
    )
    saved = "" if whole.saved_usd is None else f" The cache saved {_usd(whole.saved_usd)} USD."
    opening = (
        f"Calls answered by a model {when}: **{whole.model_calls:,}**, "
        f"**{whole.cache_hits:,}** from the cache; {whole.failures:,} failed. {money}{saved}"
    )
    cells = [[escaped(" ".join(row.of.split())), *_figures(row)] for row in report.rows]
    if len(cells) > 1:
        cells.append([f"**{cell}**" if cell else "" for cell in (whole.of, *_figures(whole))])
    head = (report.by.capitalize(), *_HEAD)
    return "\n\n".join([opening, _plot(report), table(head, "l" + "r" * len(_HEAD), cells)]) + "\n"


def total(rows: tuple[Cost, ...]) -> Cost:
    """All rows in one, which has no median: that is not to be had from those of its parts."""

    def known(values: list[float | None]) -> float | None:
        there = [value for value in values if value is not None]
        return sum(there) if len(there) == len(values) else None

    return Cost(
        of="all",
        model_calls=sum(row.model_calls for row in rows),
        cache_hits=sum(row.cache_hits for row in rows),
        failures=sum(row.failures for row in rows),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        completion_tokens=sum(row.completion_tokens for row in rows),
        cost_usd=known([row.cost_usd for row in rows]),
        saved_usd=known([row.saved_usd for row in rows]),
        p50_ms=None,
        p95_ms=None,
    )


def bars(report: CostReport) -> tuple[str, dict[str, list[float]]]:
    """What is stacked by day, and its unit: money, or calls where a price is unknown or all of it
    was free."""
    whole = total(report.daily)
    cost, saved = whole.cost_usd, whole.saved_usd
    if cost is not None and saved is not None and cost + saved > 0:
        return "USD", {
            "paid": _by_day(report, lambda day: day.cost_usd or 0),
            "saved by the cache": _by_day(report, lambda day: day.saved_usd or 0),
        }
    stacks = {
        "answered by a model": _by_day(report, lambda day: day.model_calls),
        "served from the cache": _by_day(report, lambda day: day.cache_hits),
        "failed": _by_day(report, lambda day: day.failures),
    }
    return "calls", {name: heights for name, heights in stacks.items() if any(heights)}


def _by_day(report: CostReport, height: Callable[[Cost], float]) -> list[float]:
    found = {day.of: height(day) for day in report.daily}
    return [found.get(str(day), 0) for day in _days(report)]


def _days(report: CostReport) -> list[date]:
    count = (report.last - report.first).days + 1
    return [report.first + timedelta(days=number) for number in range(count)]


def _when(report: CostReport) -> str:
    if report.first == report.last:
        return f"on {report.first}"
    return f"from {report.first} to {report.last}"


def _figures(row: Cost) -> list[str]:
    counts = (row.model_calls, row.cache_hits, row.failures, row.prompt_tokens)
    money = ["unknown" if usd is None else _usd(usd) for usd in (row.cost_usd, row.saved_usd)]
    times = ["" if ms is None else f"{ms:,.0f}" for ms in (row.p50_ms, row.p95_ms)]
    return [*(f"{count:,}" for count in (*counts, row.completion_tokens)), *money, *times]


def _usd(amount: float) -> str:
    """Cents and what is less, so far that little is told from nothing."""
    return f"{amount:,.6f}" if 0 < amount < 0.01 else f"{amount:,.4f}"


def _plot(report: CostReport) -> str:
    from matplotlib.ticker import MaxNLocator

    unit, stacks = bars(report)
    days = _days(report)
    figure, [axes] = panels(1, width=8)
    base = [0.0] * len(days)
    for (name, heights), colour in zip(stacks.items(), (ACCENT, PALE, WARNING), strict=False):
        axes.bar(range(len(days)), heights, bottom=base, color=colour, label=name, width=0.7)
        base = [below + height for below, height in zip(base, heights, strict=True)]
    step = -(-len(days) // _TICKS)
    axes.set_xticks(range(0, len(days), step), [f"{day:%m-%d}" for day in days[::step]])
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=unit == "calls"))
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.set_ylabel(unit, fontsize=8)
    axes.set_xlim(-0.6, max(len(days), 7) - 0.4)
    axes.set_xlabel(f"{_when(report)}, UTC", fontsize=8)
    axes.set_title(f"{'Cost' if unit == 'USD' else 'Calls'} a day", fontsize=9, loc="left")
    axes.legend(
        fontsize=8, frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0
    )
    return picture(figure, "Paid and saved by day" if unit == "USD" else "Calls by day")


@task(name="read costs", **RETRIED)
async def read_costs(request: CostRequest) -> CostReport:
    """`cost_report` as a task of its own."""
    return await cost_report(request)


@task(name="publish costs", cache_policy=NO_CACHE, persist_result=False)
async def publish_costs(report: CostReport) -> None:
    """Leave the report on the run's page, and among the artifacts under its key."""
    await acreate_markdown_artifact(
        cost_markdown(report), key="costs", description=f"What calls cost, by {report.by}"
    )
