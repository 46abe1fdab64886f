"""Counts over time."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.findings import Finding, Period, Report, TimelinePoint
from tasks.timeline import count_timeline, fitting_period, period_start, period_starts, series
from tests.tasks.reports import reports, sample


def theme(*tickets: str) -> Finding:
    return Finding(id="F1", kind="theme", title="", ticket_ids=tickets, parent="S1")


def test_tickets_are_counted_in_the_week_that_they_are_of() -> None:
    monday = datetime(2026, 9, 21, tzinfo=UTC)
    times = {
        "a": monday,
        "b": monday + timedelta(days=6, hours=23),
        "c": monday + timedelta(days=28),
    }
    period, timeline = count_timeline([theme("b", "undated")], times)
    assert period == "week"
    assert timeline == (
        TimelinePoint(date(2026, 9, 21), None, 2),
        TimelinePoint(date(2026, 10, 19), None, 1),
        TimelinePoint(date(2026, 9, 21), "F1", 1),
    )


def test_without_times_there_is_no_timeline() -> None:
    assert count_timeline([theme("a")], {}) == ("week", ())


@pytest.mark.parametrize(
    ("days", "period"),
    [(0, "day"), (21, "day"), (22, "week"), (546, "week"), (547, "month"), (3654, "year")],
)
def test_the_period_fits_the_span(days: int, period: Period) -> None:
    assert fitting_period(timedelta(days=days)) == period


def test_periods_start_on_mondays_and_first_days() -> None:
    day = date(2024, 2, 29)
    assert period_start(day, "day") == day
    assert period_start(day, "week") == date(2024, 2, 26)
    assert period_start(day, "month") == date(2024, 2, 1)
    assert period_start(day, "year") == date(2024, 1, 1)


@given(
    st.sets(st.dates(date(1990, 1, 1), date(2030, 1, 1)), min_size=1),
    st.sampled_from(("day", "week", "month", "year")),
)
def test_periods_follow_each_other_without_gaps(days: set[date], period: Period) -> None:
    starts = {period_start(day, period) for day in days}
    report = sample(
        period=period, timeline=tuple(TimelinePoint(start, None, 1) for start in list(starts)[:7])
    )
    listed = period_starts(report)
    assert {point.start for point in report.timeline} <= set(listed)
    assert [period_start(day, period) for day in listed] == list(listed)
    spans = {(after - before).days for before, after in pairwise(listed)}
    assert (
        spans
        <= {
            "day": {1},
            "week": {7},
            "month": {28, 29, 30, 31},
            "year": {365, 366},
        }[period]
    )


@given(reports())
def test_a_series_has_every_dated_ticket_once(report: Report) -> None:
    counts = series(report)
    assert {len(numbers) for numbers in counts.values()} <= {len(period_starts(report))}
    for finding in report.findings:
        assert sum(counts.get(finding.id, [])) <= finding.count
    assert sum(counts.get(None, [])) <= len(report.tickets)
