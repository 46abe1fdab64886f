from datetime import UTC, datetime

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.times import parse_times

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2026-03-04T12:00:00Z",
        "2026-03-04T12:00",
        "2026-03-04 12:00:00 UTC",
        "2026-03-04T13:30:00+01:30",
        "2026-3-4 12:00",
        "20260304T120000Z",
        "  2026-03-04T12:00:00.000000000Z ",
        "1772625600",
        "1772625600.0",
        "1772625600000",
        "1772625600000000",
        "1772625600000000000",
        "Wed Mar 04 12:00:00 +0000 2026",
        "Wed, 4 Mar 2026 12:00:00 GMT",
        "04/Mar/26 12:00 PM",
        "March 4, 2026 12:00",
    ],
)
def test_a_time_is_read_however_it_is_written(written: str) -> None:
    assert list(parse_times([written])) == [NOON]


@pytest.mark.parametrize(
    "written",
    ["03/04/2026", "04.03.2026", "12:30", "now", "today", "2026", "yesterday", "4 March", "17",
     "2026-02-30", "2026-03-04T12:00 Mars time", "Marching 4 2026"],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_or_in_none_is_not_a_time(written: str) -> None:
    assert parse_times([written]).isna().all()


def test_one_column_may_mix_ways_of_writing() -> None:
    times = parse_times(["", "1772625600", "2026-03-04T12:00Z", "4 Mar 2026 12:00", "soon"])
    assert list(times.isna()) == [True, False, False, False, True]
    assert set(times.dropna()) == {NOON}


def test_no_values_are_no_times() -> None:
    assert len(parse_times([])) == 0


@given(st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2200, 1, 1)))
def test_every_way_of_writing_keeps_the_microsecond(moment: datetime) -> None:
    expected = pd.Timestamp(moment, tz="UTC")
    epoch = (expected - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(microseconds=1)
    written = [moment.isoformat(), f"{moment}Z", str(epoch), f"{epoch // 10**6}.{epoch % 10**6:06}"]
    assert list(parse_times(written)) == [expected] * 4
