"""`read` beside `embed` on the same labelled texts, and plain map-reduce beside both on meetings.

Each summary is a run of the real flow on the real model; its tokens and seconds are those of the
calls that it used, when they were paid for.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchmarks.label_measures import ALONE, v_measure
from benchmarks.spending import Spent, counted, spent_by
from tasks.facts import Strategy
from tasks.findings import Report

SHOWN = 4  # themes that are put side by side


class Summary(NamedTuple):
    """A report, and what the calls behind it took."""

    report: Report
    spent: Spent


async def summarized(source: Path, strategy: Strategy) -> Summary:
    """A source summarized by the flow."""
    from flows.recursive_summary import summarize_corpus
    from tasks.report import files_in
    from tasks.summaries import SummaryRequest

    with tempfile.TemporaryDirectory() as out, counted() as run:
        request = SummaryRequest(source=str(source), strategy=strategy, out=Path(out))
        await summarize_corpus(request)
        report = Report.model_validate_json(files_in(Path(out)).json.read_bytes())
        return Summary(report, await spent_by(run))


async def compared(texts: pd.DataFrame, price: tuple[float, float]) -> list[str]:
    """Both strategies on texts with labels: a line each, then their themes side by side."""
    labels = list(texts["label"])
    names = [f"T-{number:05}" for number in range(len(texts))]
    lines, titles = list[str](), list[list[str]]()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "texts.csv"
        pd.DataFrame({"id": names, "text": list(texts["text"])}).to_csv(source, index=False)
        for strategy in ("embed", "read"):
            report, spent = await summarized(source, strategy)  # type: ignore[arg-type]
            groups = _groups(report, names)
            lines.append(
                f"{strategy:6} V-measure {v_measure(labels, groups):.3f}: {len(report.themes)} "
                f"themes, {len(report.rare)} rare, {len(report.unassigned)} unassigned; "
                f"{spent.line}, {spent.cost(price):.5f} USD"
            )
            titles.append(_titles(report))
    return [*lines, *(f"  {left:60}| {right}" for left, right in zip(*titles, strict=True))]


def _groups(report: Report, names: list[str]) -> list[int]:
    """The first theme of each ticket, by its place in the report."""
    of: dict[str, int] = {}
    for place, theme in enumerate(report.themes):
        for ticket in theme.ticket_ids:
            of.setdefault(ticket, place)
    return [of.get(name, ALONE) for name in names]


def _titles(report: Report) -> list[str]:
    """The largest themes as a person sees them, empty where there are fewer."""
    largest = sorted(report.themes, key=lambda theme: -theme.count)[:SHOWN]
    shown = [f"{theme.title} ({theme.count})"[:58] for theme in largest]
    return shown + [""] * (SHOWN - len(shown))
