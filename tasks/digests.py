"""Digests: what has changed in a source since the last one, from its report and what was kept."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.codebook import load_codebook
from tasks.facts import lineage_of
from tasks.findings import Figures, Report
from tasks.kept_digests import Kept, keep, last_digest
from tasks.report import files_in
from tasks.runs import RETRIED
from tasks.steps import once
from tasks.summaries import SummaryRequest
from tasks.theme_changes import Look, Verdict, compare
from tasks.theme_twins import twins


class DigestRequest(SummaryRequest):
    """A corpus to summarize, and to hold against what the last digest of it found."""

    days: int | None = Field(
        None,
        ge=1,
        le=3650,
        description="Only records of the last so many days. Empty: all. Digests of other days are "
        "compared with each other.",
        json_schema_extra={"position": 2},
    )

    @model_validator(mode="after")
    def _one_window(self) -> Self:
        if self.days is not None and self.since is not None:
            raise ValueError("Give days or since, not both.")
        return self

    async def summary(self) -> SummaryRequest:
        """The summary that it rests on. A run that starts anew looks back on the same days."""
        if self.days is None:
            return self
        until = await once("digest-until", _now, datetime)
        return self.model_copy(update={"since": until - timedelta(days=self.days)})


class ThemeChange(BaseModel):
    """A theme, by its id in the report, and its tickets at the last digest and now; ``came``: those
    of now that were not in it then. An id with ``old`` is of themes that were fitted before."""

    model_config = ConfigDict(frozen=True)

    theme: str
    title: str
    before: int
    now: int
    came: int


class Digest(BaseModel):
    """What has changed since the last digest, each theme in one list, the largest change first.

    ``since``: when the last one was made, and ``after`` its id; None: this is the first, and every
    theme is new. ``days`` that it looks back on; None: all. ``refitted``: the themes were found
    anew since, and matched with the old ones by their nearest centroids. ``came``, ``left``:
    tickets; ``alone``: those of the tickets that came which are under no theme. ``report``, and
    this ``digest``: pages.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    days: int | None
    made_at: datetime
    since: datetime | None
    after: int | None
    refitted: bool
    new: tuple[ThemeChange, ...]
    grown: tuple[ThemeChange, ...]
    shrunk: tuple[ThemeChange, ...]
    vanished: tuple[ThemeChange, ...]
    unchanged: tuple[ThemeChange, ...]
    tickets: int
    tickets_before: int
    came: int
    left: int
    alone: int
    model_calls: int
    cache_hits: int
    cost_usd: float | None
    seconds: float
    report: str
    digest: str

    @property
    def changed(self) -> tuple[ThemeChange, ...]:
        """The themes that have changed, what is new first."""
        return (*self.new, *self.grown, *self.shrunk, *self.vanished)


@task(name="read report", cache_policy=NO_CACHE, persist_result=False)
async def report_of(figures: Figures) -> Report:
    """The report that a summary has written."""
    file = files_in(Path(str(figures.report)).parent).json
    return Report.model_validate_json(await asyncio.to_thread(file.read_text, encoding="utf-8"))


@task(name="compare with the last digest", **RETRIED)
async def compared(request: DigestRequest, report: Report) -> Digest:
    """What has changed since the last digest of the same lineage and days, or, should this run's
    be kept already, since the one that it was compared with.

    Raises DatabaseError when that one is not kept any more.
    """
    lineage = lineage_of(report.source, report.strategy)
    last = await last_digest(lineage, request.days)
    then, known, titles = await _then(last, lineage, report)
    titles |= {each.id: each.title for each in report.themes}
    themes = {each.id: frozenset(each.ticket_ids) for each in report.themes}
    now = Look(frozenset(report.tickets), themes)
    changes = await asyncio.to_thread(compare, then, now, known)

    def those(verdict: Verdict) -> tuple[ThemeChange, ...]:
        found = [
            ThemeChange(
                theme=each.theme,
                title=titles[each.theme],
                before=each.before,
                now=each.now,
                came=each.came,
            )
            for each in changes
            if each.verdict == verdict
        ]
        return tuple(sorted(found, key=_largest))

    arrived = now.tickets - then.tickets
    figures = report.figures
    return Digest(
        source=report.source,
        days=request.days,
        made_at=datetime.now(UTC),
        since=last.made_at if last else None,
        after=last.id if last else None,
        refitted=bool(last and last.generation != report.generation),
        new=those("new"),
        grown=those("grown"),
        shrunk=those("shrunk"),
        vanished=those("vanished"),
        unchanged=those("unchanged"),
        tickets=len(now.tickets),
        tickets_before=len(then.tickets),
        came=len(arrived),
        left=len(then.tickets - now.tickets),
        alone=len(arrived.difference(*now.themes.values())),
        model_calls=figures.model_calls,
        cache_hits=figures.cache_hits,
        cost_usd=figures.cost_usd,
        seconds=figures.seconds,
        report=str(figures.report),
        digest=str(Path(str(figures.report)).with_name("digest.html")),
    )


@task(name="keep digest", **RETRIED)
async def keep_digest(report: Report, digest: Digest) -> None:
    """Keep what this digest has found, for the next one to be compared with."""
    lineage = lineage_of(report.source, report.strategy)
    await keep(lineage, report, digest.days, digest.after, digest.made_at)


async def _then(
    last: Kept | None, lineage: str, report: Report
) -> tuple[Look, set[str], dict[str, str]]:
    """The last digest by the names that its themes have in the report: its look, the themes that
    were known then, and titles."""
    book = await load_codebook(lineage, report.generation)
    if last is None or book is None:
        return Look(frozenset(), {}), set(), {}
    old = await load_codebook(lineage, last.generation)
    pairs = twins(old, last.entries, book, {int(each.id[1:]) for each in report.themes})
    themes: dict[str, frozenset[str]] = {}
    titles: dict[str, str] = {}
    for theme, (title, tickets) in last.themes.items():
        name = f"F{pairs[theme]}" if theme in pairs else f"old F{theme}"
        themes[name] = themes.get(name, frozenset()) | tickets
        titles.setdefault(name, title or "its title was dropped")
    return Look(last.tickets, themes), {f"F{theme}" for theme in pairs.values()}, titles


def _largest(change: ThemeChange) -> tuple[int, int, str]:
    return -abs(change.now - change.before), -change.now, change.theme


async def _now() -> datetime:
    return datetime.now(UTC)
