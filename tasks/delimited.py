"""Delimited text (CSV and its kin) to a table of strings.

The standard library's strict reader, because pandas' own takes broken quoting and short rows
without a word: an unclosed quote there swallows the records up to the next one.
"""

import csv
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from infra.errors import InputError

if TYPE_CHECKING:
    from _csv import Reader

    import pandas as pd

DELIMITERS = ",;\t|"

_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n")  # first line that Excel writes and reads
# With its end, of whatever kind. StringIO finds the same ones, and takes four bytes a character.
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_QUOTED = re.compile(r'"[^"]*"')


def read_delimited(text: str, source: str, delimiter: str | None = None) -> "pd.DataFrame":
    """Parse with the given delimiter, or the one of `DELIMITERS` that the header has most of.

    Values stay strings as they stand, line breaks inside quotes included. Rows without any value
    are left out. Of columns with the same name the second is ``name.1``, a column without one is
    ``column N``.

    Raises InputError naming the line: broken quoting, more or fewer values than the header has.
    """
    import pandas as pd

    if announced := _SEPARATOR_LINE.match(text):
        delimiter, text = announced[1], text[announced.end() :]
    header = _QUOTED.sub("", text[:65536].lstrip("\r\n")).split("\n", 1)[0]
    delimiter = delimiter or max(DELIMITERS, key=header.count)
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # no cell is too long
    reader = csv.reader(
        (line[0] for line in LINE.finditer(text)),
        delimiter=delimiter,
        strict=True,
        skipinitialspace=f'{delimiter} "' in text[:65536].lstrip("\r\n").split("\n", 1)[0],
    )
    records = _records(reader, source)
    _, names = next(records, (0, []))
    rows = [_fitted(row, len(names), line, source) for line, row in records]
    return pd.DataFrame(rows, columns=_unique(names), dtype=object)


def _records(reader: "Reader", source: str) -> Iterator[tuple[int, list[str]]]:
    """Each record that holds anything, with the line that it starts on."""
    line = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(
                f"{source}: the quoting of the record that starts on line {line} is broken "
                f"({error}; noticed on line {reader.line_num}). Close the quote, and double the "
                "quotes that belong to a value."
            ) from error
        if any(row) or len(row) == 1:
            yield line, row
        line = reader.line_num + 1


def _fitted(row: list[str], width: int, line: int, source: str) -> list[str]:
    if len(row) == width:
        return row
    if len(row) > width and not any(row[width:]):
        return row[:width]
    raise InputError(
        f"{source}: the record that starts on line {line} has {len(row)} values, the header has "
        f"{width}. Put values that hold a delimiter or a line break into double quotes."
    )


def _unique(names: list[str]) -> list[str]:
    taken: dict[str, int] = {}
    unique = []
    for place, name in enumerate(names, start=1):
        name = name.strip() or f"column {place}"
        taken[name] = taken.get(name, -1) + 1
        unique.append(f"{name}.{taken[name]}" if taken[name] else name)
    return unique
