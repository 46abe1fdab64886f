"""Tickets over time: a period that fits their span, and the counts in each."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta

from tasks.findings import Finding, Period, Report, TimelinePoint

_LONGEST = {
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=31),
    "year": timedelta(days=366),
}


def count_timeline(
    findings: Iterable[Finding], happened_at: Mapping[str, datetime]
) -> tuple[Period, tuple[TimelinePoint, ...]]:
    """Tickets a period, for the whole corpus and for each finding; empty periods are left out.

    ``happened_at``: ticket id -> time, of the tickets that have one.
    """
    if not happened_at:
        return "week", ()
    period = fitting_period(max(happened_at.values()) - min(happened_at.values()))
    starts = {ticket: period_start(at.date(), period) for ticket, at in happened_at.items()}
    points = _points(None, starts.values())
    for finding in findings:
        points += _points(finding.id, (starts[t] for t in finding.ticket_ids if t in starts))
    return period, tuple(points)


def fitting_period(span: timedelta) -> Period:
    """Days up to three weeks, weeks up to a year and a half, months up to ten years, then years."""
    if span <= timedelta(weeks=3):
        return "day"
    if span <= timedelta(weeks=78):
        return "week"
    return "month" if span <= timedelta(days=3653) else "year"


def period_start(day: date, period: Period) -> date:
    """First day of the period that a day is in; weeks start on Monday."""
    match period:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "year":
            return day.replace(month=1, day=1)


def period_starts(report: Report) -> tuple[date, ...]:
    """First day of every period from the timeline's first to its last, without gaps."""
    if not report.timeline:
        return ()
    days = [point.start for point in report.timeline]
    starts, last = [min(days)], max(days)
    while starts[-1] < last:
        starts.append(period_start(starts[-1] + _LONGEST[report.period], report.period))
    return tuple(starts)


def series(report: Report) -> dict[str | None, list[int]]:
    """Tickets in each period from first to last, by finding; None is the whole corpus."""
    place = {start: index for index, start in enumerate(period_starts(report))}
    counts: dict[str | None, list[int]] = {}
    for point in report.timeline:
        counts.setdefault(point.finding, [0] * len(place))[place[point.start]] += point.tickets
    return counts


def _points(finding: str | None, starts: Iterable[date]) -> list[TimelinePoint]:
    return [TimelinePoint(start, finding, n) for start, n in sorted(Counter(starts).items())]
