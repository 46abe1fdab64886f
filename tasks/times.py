"""Written times to UTC. What could be read in two ways is not read at all."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_EPOCH = r"\d{9,19}(?:\.\d*)?"
_ISO = r"\d{4}-\d{1,2}(?!\d)|\d{8}(?!\d)"
_MONTH = r"(?i)(?<![a-z])(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*(?![a-z])"
_EARLIEST = 1900  # a date without a year gets year 1


def parse_times(values: Sequence[str]) -> "pd.Series[pd.Timestamp]":
    """UTC times to the microsecond; NaT for an empty value and for one that cannot be read.

    Read are ISO 8601, Unix time (seconds, milli-, micro- or nanoseconds, told apart by size; from
    1973 on) and dates with the month's English name. A time without a zone is taken as UTC.
    ``03/04/2026`` is not read: it is a day in March or in April.
    """
    import pandas as pd

    texts = pd.Series(values, dtype="str").str.strip()
    texts = texts.str.replace(r"\s*(?:UTC|GMT)$", "+00:00", regex=True)
    texts = texts.str.replace(r"(\.\d{6})\d+", r"\1", regex=True)
    times = pd.Series(pd.NaT, index=texts.index, dtype="datetime64[us, UTC]")
    epoch = texts.str.fullmatch(_EPOCH)
    iso = ~epoch & texts.str.match(_ISO)
    named = ~epoch & ~iso & texts.str.contains(_MONTH)
    if epoch.any():
        microseconds = [_microseconds(text) for text in texts[epoch]]
        times[epoch] = pd.to_datetime(microseconds, unit="us", utc=True).astype(times.dtype)
    for mask, style in ((iso, "ISO8601"), (named, "mixed")):
        if mask.any():
            read = pd.to_datetime(texts[mask], format=style, utc=True, errors="coerce")
            times[mask] = read.where(read.dt.year >= _EARLIEST).astype(times.dtype)
    return times


def _microseconds(text: str) -> int:
    number = Decimal(text)
    for limit, factor in ((11, 1_000_000), (14, 1_000), (17, 1)):
        if number < 10**limit:
            return int(number * factor)
    return int(number / 1000)
