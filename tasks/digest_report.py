"""A digest as people read it: what is new first, on the run's page and beside the report.

digest.html   one self-contained page, whose themes link to the report's
digest.md     the same to read in a terminal
digest.json   the `Digest` itself; loads back to an equal one
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from prefect import task
from prefect.artifacts import acreate_markdown_artifact

from infra.storage import writing
from tasks.digests import Digest, ThemeChange
from tasks.findings import Finding, Report
from tasks.markdown import table
from tasks.plots import ACCENT, PALE, WARNING, panels, picture
from tasks.report_markdown import blocks_over_time, one_line
from tasks.runs import RETRIED
from tasks.timeline import period_starts, series

_SHOWN = 30  # themes of a table
_TOLD = 10  # new themes that are told in words
_DRAWN = 12  # themes of a plot
_LINES = 5  # themes whose course is drawn
_HEADS = {
    "new": ("New", "These themes were not there at the last digest."),
    "grown": ("Grown", "A larger share of the tickets than then, by more than chance."),
    "shrunk": ("Shrunk", "A smaller share of the tickets than then, by more than chance."),
    "vanished": ("Vanished", "No ticket is under them now."),
    "unchanged": ("Unchanged", "As large a share of the tickets as then, as far as one can tell."),
}


@task(name="publish digest", **RETRIED)
async def publish_digest(digest: Digest, report: Report) -> None:
    """Write the digest beside its report, and leave a Markdown artifact `digest`."""
    shown = await asyncio.to_thread(write_digest, digest, report)
    await acreate_markdown_artifact(shown, key="digest", description=says(digest))


def write_digest(digest: Digest, report: Report) -> str:
    """Write the files of a digest, all or none, and give back what the artifact shows.

    Raises StorageError.
    """
    picture_ = plot(digest, report)
    parts = {
        "digest.html": _page(digest_markdown(digest, report, picture_, _linked(report)), digest),
        "digest.md": digest_markdown(digest, report, "", _linked(report)),
        "digest.json": digest.model_dump_json(indent=1),
    }
    folder = Path(digest.digest).parent
    with writing(folder), TemporaryDirectory(dir=folder, prefix=".digest-") as unfinished:
        for name, text in parts.items():
            Path(unfinished, name).write_text(text, encoding="utf-8")
        for name in parts:
            Path(unfinished, name).replace(folder / name)
    return digest_markdown(digest, report, picture_)


def says(digest: Digest) -> str:
    """The digest in a sentence or two, without words of others."""
    now = f"{_tickets(digest.tickets)} in {_themes(digest)} now."
    if digest.since is None:
        return f"This is the first digest, so every theme is new: {now}"
    if not digest.changed and not digest.came and not digest.left:
        return f"Nothing has changed: {now}"
    moved = [
        f"{len(found):,} {word}"
        for word in ("new", "grown", "shrunk", "vanished")
        if (found := getattr(digest, word))
    ]
    left = f", {digest.left:,} left" if digest.left else ""
    return (
        f"{_tickets(digest.came)} came in{left}. Themes: {', '.join(moved) or 'none changed'}, "
        f"{len(digest.unchanged):,} unchanged. {now}"
    )


def digest_markdown(
    digest: Digest, report: Report, picture_: str = "", link: Callable[[str], str] = str
) -> str:
    """The digest as Markdown, under 1 MB whatever it holds. ``link``: from a theme's id to what
    stands for it."""
    found = {finding.id: finding for finding in report.themes}
    name = PurePath(digest.source).name or digest.source
    days = "" if digest.days is None else f", the last {_plural(digest.days, 'day')}"
    since = "" if digest.since is None else f", since {_time(digest.since)}"
    blocks = [
        f"# {one_line(name, 300)}: what has changed",
        f"{_time(digest.made_at)}{since}{days}",
        f"**{says(digest)}**",
    ]
    if digest.alone:
        are = "is" if digest.alone == 1 else "are"
        blocks.append(f"{_tickets(digest.alone)} of those that came in {are} under no theme.")
    if digest.refitted:
        blocks.append(
            "The themes were found anew since the last digest, and each was matched with the "
            "nearest of the old ones: what is new or vanished may be an old theme cut otherwise."
        )
    blocks += [picture_] if picture_ else []
    for kind, (title, what) in _HEADS.items():
        changes: Sequence[ThemeChange] = getattr(digest, kind)
        if changes:
            first = kind == "new" and digest.since is None
            blocks += [f"## {title} ({len(changes):,})", *([] if first else [what])]
            blocks.append(_changes(changes, digest, report, link))
        if len(changes) > _SHOWN:
            blocks.append(f"And {len(changes) - _SHOWN:,} more in `digest.json`.")
        if kind == "new":
            blocks += [_told(found[each.theme], link) for each in changes[:_TOLD]]
    return "\n\n".join([*blocks, *_making(digest)]) + "\n"


def plot(digest: Digest, report: Report) -> str:
    """What has changed, and the course of what is new or grown, as one picture; or nothing."""
    kinds = ("new", "grown", "shrunk", "vanished")
    changed = [(kind, each) for kind in kinds for each in getattr(digest, kind)][:_DRAWN]
    if not changed:
        return ""
    counts = series(report)
    courses = [
        change.theme
        for change in (*digest.new, *digest.grown)[:_LINES]
        if len(counts.get(change.theme, [])) > 1
    ]
    from matplotlib.ticker import MaxNLocator

    figure, axes = panels(1 + bool(courses), width=5, height=max(3, 1.1 + 0.3 * len(changed)))
    left = axes[0]
    places = range(len(changed))
    for shift, colour, when in ((-0.2, PALE, "then"), (0.2, ACCENT, "now")):
        heights = [each.before if when == "then" else each.now for _, each in changed]
        left.barh([p + shift for p in places], heights, height=0.38, color=colour, label=when)
    left.set_yticks(places, [f"{kind} {each.theme}" for kind, each in changed])
    left.invert_yaxis()  # the first at the top
    left.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    left.set_title("Tickets then and now", fontsize=9, loc="left")
    _legend(left)
    for right in axes[1:]:
        starts = period_starts(report)
        colours = (WARNING, ACCENT, PALE, "#6a7f3f", "#7d6b91")
        for theme, colour in zip(courses, colours, strict=False):
            right.plot(range(len(starts)), counts[theme], ".-", color=colour, label=theme)
        ticks = sorted({0, len(starts) // 2, len(starts) - 1})
        right.set_xticks(ticks, [f"{starts[tick]:%Y-%m-%d}" for tick in ticks])
        right.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        right.set_ylim(bottom=0)
        right.set_title(f"Tickets a {report.period}", fontsize=9, loc="left")
        _legend(right)
    return picture(figure, "Tickets by theme then and now, and of what is new or grown over time")


def _legend(axes: Any) -> None:
    """Above the plot, where nothing is drawn."""
    axes.legend(
        fontsize=8,
        frameon=False,
        ncols=_LINES,
        borderpad=0,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        handlelength=1,
        columnspacing=1,
    )


def _changes(
    changes: Sequence[ThemeChange], digest: Digest, report: Report, link: Callable[[str], str]
) -> str:
    counts = series(report)
    rows = [
        [
            link(each.theme),
            one_line(each.title, 100),
            _of(each.before, digest.tickets_before),
            _of(each.now, digest.tickets),
            f"{each.came:,}",
            blocks_over_time(counts.get(each.theme, [])),
        ]
        for each in changes[:_SHOWN]
    ]
    return table(["", "Theme", "Then", "Now", "Came in", "Over time"], "llrrrl", rows)


def _told(theme: Finding, link: Callable[[str], str]) -> str:
    """A theme in words, with one of its quotes."""
    severity = f", {theme.severity}" if theme.severity else ""
    head = f"**{one_line(theme.title)}** ({_tickets(theme.count)}{severity}) {link(theme.id)}"
    detail = [one_line(theme.detail, 600)] if theme.detail else []
    quotes = [f"> {one_line(each.text, 400)} — {one_line(each.ticket)}" for each in theme.quotes]
    return "\n\n".join([head, *detail, *quotes[:1]])


def _making(digest: Digest) -> list[str]:
    cost = "price unknown" if digest.cost_usd is None else f"{digest.cost_usd:.4f} USD"
    return [
        "## How this was made",
        "Code counted the tickets. A theme has grown or shrunk when dealing out its tickets at "
        "random among those that stayed, left and came seldom changes its share so much: of the "
        "themes that are called so, one in twenty is expected not to be.",
        f"{_plural(digest.model_calls, 'model call')}, {_plural(digest.cache_hits, 'cache hit')}, "
        f"{cost}, {digest.seconds:.1f} s. Full report, with the evidence: "
        f"{one_line(digest.report, 4096)}",
    ]


def _page(markdown: str, digest: Digest) -> str:
    """The Markdown as a page in the report's clothes. HTML in it stays text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("tasks", "."), autoescape=True, undefined=StrictUndefined
    )
    body = Markup(MarkdownIt("js-default", {"linkify": False}).render(markdown))
    name = PurePath(digest.source).name or digest.source
    return environment.get_template("digest.html").render(name=name, body=body)


def _linked(report: Report) -> Callable[[str], str]:
    """A theme's id as a link to it, where the report has it."""
    there = {finding.id for finding in report.themes}
    return lambda theme: f"[{theme}](report.html#{theme})" if theme in there else theme


def _of(count: int, tickets: int) -> str:
    return f"{count:,} · {count / tickets:.1%}" if tickets else f"{count:,}"


def _themes(digest: Digest) -> str:
    return _plural(
        sum(map(len, (digest.new, digest.grown, digest.shrunk, digest.unchanged))), "theme"
    )


def _tickets(count: int) -> str:
    return _plural(count, "ticket")


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} {at.tzname()}"
