"""Reports to test with: a small one that reads like real ones, large ones, and any at all."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tasks.findings import Figures, Finding, GroupNarrative, Quote, Report, Section
from tasks.timeline import count_timeline

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "'\"><svg onload=alert(1)>",
    "[click](javascript:alert(1))",
    "![](https://evil.example/x.png)",
    "https://evil.example www.evil.example a@evil.example",
    "| a | b |\n|---|---|\n| c | d |",
    "# Heading\n\n- item\n1. item\n\n---\n```\ncode\n```",
    "{{ 7 * 7 }} {% raw %}",
    "\u202etfel ot thgir\u2066",
    "nul \x00 bell \x07",
    "half a pair \ud800",
    "&lt;b&gt; &#42; &amp;",
    "x" * 5000,
)

anything = st.one_of(st.text(), st.sampled_from(HOSTILE), st.sampled_from(("[F1]", "[S1]")))


def sample(**changes: Any) -> Report:
    """Seven tickets: three themes, two of them in an area, one rare finding, one unassigned.

    ``changes`` replace fields of the report.
    """
    tickets = tuple(f"T-{number}" for number in range(1, 8))
    findings = (
        Finding(
            id="F1",
            kind="theme",
            title="Codes arrive late",
            detail="They come after they have expired.",
            severity="high",
            ticket_ids=("T-1", "T-2", "T-4"),
            quotes=(
                Quote(ticket="T-1", text="the code came too late"),
                Quote(ticket="T-4", text="Code war abgelaufen"),
            ),
            groups={"iOS": 1, "Web": 2},
            parent="S1",
        ),
        Finding(
            id="F2",
            kind="theme",
            title="Reset link fails",
            severity="medium",
            ticket_ids=("T-2", "T-3"),
            groups={"Web": 2},
            parent="S1",
        ),
        Finding(
            id="F3",
            kind="theme",
            title="Charged twice",
            severity="critical",
            ticket_ids=("T-5",),
            groups={"iOS": 1},
            parent="S2",
        ),
        Finding(id="F4", kind="rare", title="Watch battery drains", ticket_ids=("T-6",)),
    )
    start = datetime(2026, 9, 21, 8, tzinfo=UTC)
    dated = {ticket: start + timedelta(days=5 * n) for n, ticket in enumerate(tickets[:-1])}
    period, timeline = count_timeline(findings, dated)
    fields: dict[str, Any] = {
        "source": "/data/tickets.csv",
        "made_at": datetime(2026, 11, 23, 13, 25, tzinfo=UTC),
        "strategy": "read",
        "chat_model": "openai:scripted",
        "embedder": "local:all-minilm-l6-v2",
        "synthesis": "Codes come late [F1], and money is lost [F3].\n\nOne is alone [F4].",
        "tickets": tickets,
        "sections": (
            Section(
                id="S1",
                title="Signing in",
                detail="Mostly [F1].",
                children=("F1", "F2"),
                ticket_count=4,
            ),
            Section(id="S2", title="All", children=("S1", "F3"), ticket_count=5),
        ),
        "findings": findings,
        "unassigned": {"T-7": "it is empty"},
        "lost": ("passage 0f3a9c: it <was> refused",),
        "group_by": "product",
        "groups": (
            GroupNarrative(group="Web", tickets=4, text="On the web, codes come late [F1]."),
            GroupNarrative(group="iOS", tickets=2),
        ),
        "period": period,
        "timeline": timeline,
        "figures": figures(tickets=7, covered=6, unassigned=1, findings=4),
    }
    return Report.model_validate(fields | changes)


def nothing() -> Report:
    """The report of a corpus without tickets."""
    return sample(
        tickets=(),
        sections=(),
        findings=(),
        unassigned={},
        groups=(),
        timeline=(),
        synthesis="",
        figures=figures(),
    )


def figures(**changes: Any) -> Figures:
    """Figures of a run, the counts as given."""
    fields: dict[str, Any] = {
        "tickets": 0,
        "covered": 0,
        "unassigned": 0,
        "invalid_citations": 2,
        "findings": 0,
        "nodes": 5,
        "model_calls": 24,
        "cache_hits": 3,
        "prompt_tokens": 7813,
        "completion_tokens": 1420,
        "cost_usd": None,
        "seconds": 214.6,
    }
    return Figures.model_validate(fields | changes)


def many(tickets: int, themes: int, rare: int = 0, periods: int = 8, text: str = "word") -> Report:
    """A large report: each theme in an area of ten, with a quote from each of its tickets."""
    ids = tuple(f"T-{number:06}" for number in range(tickets))
    findings = [
        Finding(
            id=f"F{n + 1}",
            kind="theme" if n < themes else "rare",
            title=f"{text} {n}",
            detail=text,
            ticket_ids=evidence,
            quotes=tuple(Quote(ticket=ticket, text=text) for ticket in evidence),
            groups={f"{text} {n % 30}": 1},
            parent=f"S{n // 10 + 1}" if n < themes else None,
        )
        for n, evidence in enumerate(ids[start :: themes + rare] for start in range(themes + rare))
    ]
    areas = [findings[start : min(start + 10, themes)] for start in range(0, themes, 10)]
    sections = [
        Section(
            id=f"S{n + 1}",
            title=text,
            detail=text,
            children=tuple(finding.id for finding in area),
            ticket_count=sum(finding.count for finding in area),
        )
        for n, area in enumerate(areas)
    ]
    root = Section(
        id=f"S{len(areas) + 1}",
        title="All",
        children=tuple(section.id for section in sections),
        ticket_count=sum(section.ticket_count for section in sections),
    )
    start = datetime(2026, 1, 5, tzinfo=UTC)
    dated = {ticket: start + timedelta(weeks=n % periods) for n, ticket in enumerate(ids)}
    period, timeline = count_timeline(findings, dated)
    return sample(
        synthesis=f"{text} [F{themes + rare}]",
        tickets=ids,
        sections=(*sections, root),
        findings=tuple(findings),
        unassigned={},
        groups=tuple(GroupNarrative(group=f"{text} {n}", tickets=tickets) for n in range(30)),
        period=period,
        timeline=timeline,
        figures=figures(tickets=tickets, covered=tickets, findings=themes + rare),
    )


@st.composite
def reports(draw: st.DrawFn) -> Report:
    """Any report that keeps its promises, with any words in it."""
    tickets = tuple(draw(st.lists(anything, unique_by=_written, max_size=8)))
    tickets = tuple(_written(ticket) for ticket in tickets)
    place = {ticket: n for n, ticket in enumerate(tickets)}
    group_names = draw(st.lists(anything.map(_written), unique=True, max_size=3))
    findings, sections = [], []
    evidence = st.lists(st.sampled_from(tickets), min_size=1, unique=True) if tickets else st.none()
    for n in range(1, draw(st.integers(0, 5 if tickets else 0)) + 1):
        own = tuple(sorted(draw(evidence), key=place.__getitem__))
        rare = draw(st.booleans())
        quotes = draw(st.lists(st.tuples(st.sampled_from(own), anything), max_size=3))
        findings.append(
            Finding(
                id=f"F{n}",
                kind="rare" if rare else "theme",
                title=draw(anything),
                detail=draw(anything),
                severity=draw(st.sampled_from((None, "low", "medium", "high", "critical"))),
                ticket_ids=own,
                quotes=tuple(Quote(ticket=ticket, text=text) for ticket, text in quotes),
                groups=dict.fromkeys(group_names[: len(own)], 1),
                parent=None if rare else f"S{draw(st.integers(1, 2))}",
            )
        )
    top: list[str] = []
    covered: set[str] = set()
    for id_ in ("S1", "S2"):
        if children := [finding for finding in findings if finding.parent == id_]:
            below = {ticket for finding in children for ticket in finding.ticket_ids}
            covered |= below
            top.append(id_)
            sections.append(
                Section(
                    id=id_,
                    title=draw(anything),
                    detail=draw(anything),
                    children=tuple(finding.id for finding in children),
                    ticket_count=len(below),
                )
            )
    if top:
        title = draw(anything)
        root = Section(id="S3", title=title, children=tuple(top), ticket_count=len(covered))
        sections.append(root)
    covered |= {ticket for finding in findings for ticket in finding.ticket_ids}
    unassigned = {ticket: draw(anything) for ticket in tickets if ticket not in covered}
    days = st.dates(date(1990, 1, 1), date(2030, 1, 1))
    dated = {
        ticket: datetime(day.year, day.month, day.day, tzinfo=UTC)
        for ticket in tickets
        if (day := draw(st.none() | days))
    }
    period, timeline = count_timeline(findings, dated)
    citations = "".join(f" [{finding.id}]" for finding in findings)
    return sample(
        source=draw(anything),
        synthesis=draw(anything.filter(lambda text: "[" not in text)) + citations,
        tickets=tickets,
        sections=tuple(sections),
        findings=tuple(findings),
        unassigned=unassigned,
        group_by=draw(anything),
        groups=tuple(GroupNarrative(group=name, tickets=len(tickets)) for name in group_names),
        period=period,
        timeline=timeline,
        refitted=draw(st.booleans()),
        lost=tuple(draw(st.lists(anything, max_size=3))),
        figures=figures(
            tickets=len(tickets),
            covered=len(covered),
            unassigned=len(unassigned),
            findings=len(findings),
            cost_usd=draw(st.none() | st.floats(0, 1e6)),
        ),
    )


def _written(text: str) -> str:
    return Quote(ticket=text, text="").ticket
