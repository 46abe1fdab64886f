"""The report as one self-contained HTML page: no request leaves it, and nothing in it executes.

Whatever comes from tickets or a model is escaped by the template, and a content security policy
allows the page's own style and one script by its hash: the one that opens the evidence to which a
citation links. Long lists show their beginning; what is left out is counted and lies in the files
beside the page.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from tasks.findings import Finding, GroupNarrative, Report, Section, cited, split_citations
from tasks.timeline import period_starts, series

if TYPE_CHECKING:
    from jinja2 import Template

TICKETS_SHOWN = 20_000  # over all findings; more than that opens slowly
QUOTES_SHOWN = 6_000
RARE_SHOWN = 1_000
GROUPS_SHOWN = 12

OPEN_TARGET = """\
const open = () => {
  const target = document.getElementById(location.hash.slice(1));
  for (let e = target; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
  target?.scrollIntoView();
};
addEventListener("hashchange", open);
open();
"""

# Control characters, and those that turn the direction of what follows them.
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def html_report(report: Report) -> str:
    """The whole page, UTF-8, a few MB at most whatever the size of the corpus."""
    sections = {section.id: section for section in report.sections}
    findings = {finding.id: finding for finding in report.findings}
    ranked = sorted(report.themes, key=lambda f: (-f.count, int(f.id[1:])))
    starts, counts = period_starts(report), series(report)
    many = max(1, len(findings))
    return (
        _template()
        .render(
            report=report,
            figures=report.figures,
            name=PurePath(report.source).name or report.source,
            root=report.sections[-1] if report.sections else None,
            ranked=ranked,
            most=ranked[0].count if ranked else 0,
            nodes=sections | findings,
            sections=sections,
            children=lambda section: _by_count(section, sections, findings),
            starts=starts,
            counts=counts,
            undated=len(report.tickets) - sum(counts.get(None, [])),
            labels=lambda numbers: [
                f"{_day(s)}: {n:,}" for s, n in zip(starts, numbers, strict=True)
            ],
            day=_day,
            sparkline=sparkline,
            columns=columns,
            linked=lambda text: _linked(text, report, sections | findings),
            rare=_cited_first(report),
            rare_count=len(report.rare),
            reasons=reasons(report),
            groups=sorted(report.groups, key=lambda g: (-g.tickets, g.group)),
            groups_shown=GROUPS_SHOWN,
            shade=_shade(report),
            tickets_shown=max(10, min(300, TICKETS_SHOWN // many)),
            quotes_shown=max(3, min(30, QUOTES_SHOWN // many)),
            script=Markup(OPEN_TARGET),
            script_hash=base64.b64encode(hashlib.sha256(OPEN_TARGET.encode()).digest()).decode(),
        )
        .strip()
    )


def reasons(report: Report) -> list[tuple[str, list[str]]]:
    """Reasons for which tickets are unassigned, with their tickets, the most frequent first."""
    tickets: dict[str, list[str]] = {}
    for ticket in report.tickets:
        if ticket in report.unassigned:
            tickets.setdefault(report.unassigned[ticket], []).append(ticket)
    return sorted(tickets.items(), key=lambda item: (-len(item[1]), item[0]))


def clean(text: str) -> str:
    """The text without characters that cannot be seen but change how the rest is shown."""
    return _INVISIBLE.sub("", text)


def clip(text: str, length: int) -> str:
    """At most so many characters, cut with an ellipsis."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def sparkline(counts: Sequence[int]) -> Markup:
    """A small line, stretched by the page to the width of its column."""
    top = max(counts)
    step = 100 / max(1, len(counts) - 1)
    points = " ".join(f"{i * step:.4g},{22 - 20 * n / top:.4g}" for i, n in enumerate(counts))
    return Markup(
        '<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">'
        '<polyline points="{}" vector-effect="non-scaling-stroke"/></svg>'
    ).format(points)


def columns(counts: Sequence[int], labels: Sequence[str] = ()) -> Markup:
    """A column for each period, as high as its count. ``labels`` are shown on pointing at one."""
    top, width = max(counts), 100 / len(counts)
    path = "".join(
        f"M{i * width + width / 10:.4g} 40v-{40 * n / top:.4g}h{width * 0.8:.4g}V40z"
        for i, n in enumerate(counts)
        if n
    )
    spots = Markup().join(
        Markup('<rect x="{:.4g}" width="{:.4g}" height="40"><title>{}</title></rect>').format(
            i * width, width, label
        )
        for i, label in enumerate(labels)
    )
    return Markup(
        '<svg viewBox="0 0 100 40" preserveAspectRatio="none" aria-hidden="true">'
        '<path d="{}"/>{}</svg>'
    ).format(path, spots)


def _shade(report: Report) -> Callable[[int, GroupNarrative], float]:
    """How dark a cell of the cross-table is, 0 to 1: its share of the group to the largest such."""

    def share(count: int, group: GroupNarrative) -> float:
        return count / max(count, group.tickets)

    by_name = {group.group: group for group in report.groups}
    cells = [(n, by_name[name]) for f in report.themes for name, n in f.groups.items()]
    largest = max((share(*cell) for cell in cells), default=1.0)
    return lambda count, group: share(count, group) / largest


def _day(day: date) -> str:
    return f"{day.day} {day:%b} {day.year}"


def _by_count(
    section: Section, sections: dict[str, Section], findings: dict[str, Finding]
) -> list[Section | Finding]:
    def size(node: str) -> int:
        return sections[node].ticket_count if node in sections else findings[node].count

    ordered = sorted(section.children, key=lambda node: (-size(node), int(node[1:])))
    return [sections.get(node) or findings[node] for node in ordered]


def _cited_first(report: Report) -> list[Finding]:
    """The rare findings that are shown: a citation must find its target among them."""
    texts = [
        report.synthesis,
        *(g.text for g in report.groups),
        *(s.detail for s in report.sections),
    ]
    targets = set().union(*(cited(text) for text in texts))
    linked = [finding for finding in report.rare if finding.id in targets]
    others = [finding for finding in report.rare if finding.id not in targets]
    return [*linked, *others][: max(len(linked), RARE_SHOWN)]


def _linked(text: str, report: Report, nodes: dict[str, Any]) -> Markup:
    """A text, escaped, with its citations as links to the findings."""
    root = report.sections[-1].id if report.sections else None
    shown = Markup()
    for words, ids in split_citations(clean(text)):
        links = [
            Markup('<a class="cite" href="#{}" title="{}">{}</a>').format(
                "top" if each == root else each, clip(clean(nodes[each].title), 200), each
            )
            for each in ids
            if each in nodes
        ]
        shown += escape(words) + Markup(" ").join(links)
    return shown


@lru_cache(maxsize=1)
def _template() -> "Template":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tasks", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
    environment.filters |= {
        "clip": clip,
        "number": lambda value: f"{value:,}",
        "percent": lambda part, whole: f"{100 * part / whole:.1f} %" if whole else "–",
        "paragraphs": lambda text: [p for p in re.split(r"\n\s*\n", text.strip()) if p],
    }
    return environment.get_template("report.html")
