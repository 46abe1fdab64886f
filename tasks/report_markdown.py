"""The report as Markdown: a whole one for a file, and a short one for Prefect's UI.

HTML inside Markdown is rendered there, so text of tickets and models is escaped, and the only
pictures are our own, which hold numbers, dates and finding ids, never words of others.
"""

from collections.abc import Sequence
from pathlib import PurePath

from tasks.findings import Finding, Report, Section
from tasks.markdown import escaped, table
from tasks.plots import ACCENT, panels, picture
from tasks.report_page import clean, clip, reasons
from tasks.timeline import period_starts, series

_LEVELS = "▁▂▃▄▅▆▇█"
_THEMES_IN_ARTIFACT = 30
_SYNTHESIS_IN_ARTIFACT = 20_000  # characters; an artifact must stay under 1 MB
_TICKETS_IN_FILE = 50
_LOST = 20  # failed pieces that are listed


def markdown_report(report: Report) -> str:
    """The whole report; of long lists the beginning, and how much more there is."""
    nodes = {f.id: f for f in report.findings} | {s.id: s for s in report.sections}
    blocks = [*_opening(report, len(report.synthesis)), *_ranking(report, len(report.themes))]
    if report.sections:
        blocks += ["## Findings and their evidence", *_branch(report.sections[-1], nodes, 3)]
    if report.groups:
        blocks += [f"## By {one_line(report.group_by or '')}", _cross_table(report)]
        blocks += [
            block
            for group in report.groups
            if group.text
            for block in (f"### {one_line(group.group)}", _paragraphs(group.text))
        ]
    if report.rare:
        blocks += ["## Rare findings", *(block for f in report.rare for block in _finding(f))]
    for number, (reason, tickets) in enumerate(reasons(report)):
        blocks += ["## Unassigned"] * (number == 0)
        blocks += [f"**{one_line(reason)}** ({len(tickets):,})", _tickets(tickets, "report.json")]
    return "\n\n".join([*blocks, *_making(report)]) + "\n"


def markdown_artifact(report: Report) -> str:
    """What a person wants to read on the run's page; under 1 MB whatever the report."""
    blocks = _opening(report, _SYNTHESIS_IN_ARTIFACT)
    blocks += _plots(report)
    blocks += _ranking(report, _THEMES_IN_ARTIFACT)
    if report.figures.report:
        blocks.append(f"Full report, with the evidence: {one_line(report.figures.report, 4096)}")
    return "\n\n".join([*blocks, *_making(report)]) + "\n"


def _opening(report: Report, length: int) -> list[str]:
    figures, many = report.figures, report.figures.tickets != 1
    why = ", ".join(f"{one_line(why, 120)} ({len(t):,})" for why, t in reasons(report)[:4])
    name = PurePath(report.source).name or report.source
    return [
        f"# {one_line(name, 300)}: what {_count(figures.tickets)} {'say' if many else 'says'}",
        f"{report.made_at:%Y-%m-%d %H:%M} {report.made_at.tzname()}",
        _paragraphs(clip(report.synthesis, length)) or "No theme was found.",
        f"{figures.covered:,} of {_count(figures.tickets)} are under {len(report.themes):,} themes "
        f"or {len(report.rare):,} rare findings; {figures.unassigned:,} unassigned"
        + (f": {why}." if why else "."),
    ]


def _ranking(report: Report, shown: int) -> list[str]:
    ranked = sorted(report.themes, key=lambda f: (-f.count, int(f.id[1:])))
    if not ranked:
        return []
    counts = series(report)
    rows = [
        [
            finding.id,
            one_line(finding.title, 100),
            f"{finding.count:,} · {finding.count / report.figures.tickets:.1%}",
            finding.severity or "",
            blocks_over_time(counts.get(finding.id, [])),
        ]
        for finding in ranked[:shown]
    ]
    head = ["", "Theme", "Tickets", "Severity", "Over time"]
    more = [f"And {len(ranked) - shown:,} more themes."] if len(ranked) > shown else []
    return ["## Themes", table(head, "llrll", rows), *more]


def _branch(section: Section, nodes: dict[str, Finding | Section], depth: int) -> list[str]:
    blocks = []
    for child in section.children:
        node = nodes[child]
        if isinstance(node, Finding):
            blocks += _finding(node)
        else:
            size = _count(node.ticket_count)
            blocks.append(f"{'#' * min(depth, 6)} {one_line(node.title)} ({size}) [{node.id}]")
            blocks += [_paragraphs(node.detail)] if node.detail else []
            blocks += _branch(node, nodes, depth + 1)
    return blocks


def _finding(finding: Finding) -> list[str]:
    severity = f", {finding.severity}" if finding.severity else ""
    return [
        f"**{one_line(finding.title)}** ({_count(finding.count)}{severity}) [{finding.id}]",
        *([_paragraphs(finding.detail)] if finding.detail else []),
        *(f"> {one_line(q.text, 400)} — {one_line(q.ticket)}" for q in finding.quotes[:4]),
        _tickets(finding.ticket_ids, "findings.parquet"),
    ]


def _tickets(ids: Sequence[str], file: str) -> str:
    more = len(ids) - _TICKETS_IN_FILE
    return (
        "Tickets: "
        + ", ".join(one_line(ticket, 120) for ticket in ids[:_TICKETS_IN_FILE])
        + (f", and {more:,} more in `{file}`" if more > 0 else "")
    )


def _cross_table(report: Report) -> str:
    names = [group.group for group in report.groups]
    rows = [
        [one_line(f.title, 160), *(f"{f.groups.get(name, 0):,}" for name in names)]
        for f in report.themes
    ]
    head = ["Theme", *(f"{one_line(g.group, 60)} ({g.tickets:,})" for g in report.groups)]
    return table(head, "l" + "r" * len(names), rows)


def _making(report: Report) -> list[str]:
    f = report.figures
    cost = "price unknown" if f.cost_usd is None else f"{f.cost_usd:.4f} USD"
    rows = {
        "Model": one_line(report.chat_model),
        "Embedder": one_line(report.embedder),
        "Strategy": report.strategy,
        "Model calls": f"{f.model_calls:,}",
        "Cache hits": f"{f.cache_hits:,}",
        "Tokens in, out": f"{f.prompt_tokens:,}, {f.completion_tokens:,}",
        "Cost": cost,
        "Time": f"{f.seconds:.1f} s",
        "Invalid citations dropped": f"{f.invalid_citations:,}",
    }
    refit = "The themes were fitted anew: they cannot be compared with earlier ones one by one."
    return [
        "## How this was made",
        table(["", ""], "lr", [[name, value] for name, value in rows.items()]),
        *([refit] if report.refitted else []),
        *_failed(report.lost),
    ]


def _failed(lost: Sequence[str]) -> list[str]:
    if not lost:
        return []
    more = f"; and {len(lost) - _LOST:,} more in report.json" if len(lost) > _LOST else ""
    named = "; ".join(one_line(what) for what in lost[:_LOST])
    return [f"Failed, and tried again in the next run: {named}{more}."]


def one_line(text: str, length: int = 300) -> str:
    """A text on one line that renders to itself, also in a table's cell."""
    return escaped(clip(" ".join(clean(text).split()), length))


def _paragraphs(text: str) -> str:
    return escaped(clean(text).strip())


def _count(tickets: int) -> str:
    return f"{tickets:,} ticket{'' if tickets == 1 else 's'}"


def blocks_over_time(counts: Sequence[int]) -> str:
    """At most so many blocks that a table still fits beside Prefect's side bar."""
    if len(counts) < 2:
        return ""
    width = -(-len(counts) // 8)
    sums = [sum(counts[start : start + width]) for start in range(0, len(counts), width)]
    return "".join(_LEVELS[n * (len(_LEVELS) - 1) // max(sums)] for n in sums)


def _plots(report: Report) -> list[str]:
    """Tickets over time, and the largest themes by id, as one picture."""
    starts, whole = period_starts(report), series(report).get(None, [])
    ranked = sorted(report.themes, key=lambda f: (f.count, -int(f.id[1:])))[-12:]
    drawn = [kind for kind, there in (("time", len(whole) > 1), ("themes", ranked)) if there]
    if not drawn:
        return []
    from matplotlib.ticker import MaxNLocator

    figure, plots = panels(len(drawn))
    for kind, axes in zip(drawn, plots, strict=True):
        if kind == "time":
            axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.bar(range(len(whole)), whole, color=ACCENT)
            ticks = sorted({0, len(whole) // 2, len(whole) - 1})
            axes.set_xticks(ticks, [f"{starts[tick]:%Y-%m-%d}" for tick in ticks])
            axes.set_title(f"Tickets a {report.period}", fontsize=9, loc="left")
        else:
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.barh([f.id for f in ranked], [f.count for f in ranked], color=ACCENT)
            axes.set_title("Tickets by theme", fontsize=9, loc="left")
    return [picture(figure, "Tickets over time, and by theme")]
