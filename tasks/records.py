"""The rows of a table to records: id, text, time, group, kind, each checked."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from infra.errors import InputError
from tasks.columns import ROW, Columns, is_transcript
from tasks.times import parse_times

if TYPE_CHECKING:
    import pandas as pd

LONGEST_ID = 500  # characters: ids are part of a key in the database

_SPEAKERS = ("speaker", "role", "author", "name", "from", "sender")
_WORDS = ("text", "utterance", "content", "message", "body")
_SURROGATES = re.compile("[\ud800-\udfff]")  # JSON's "\ud800" is no character and no UTF-8


def to_records(
    table: "pd.DataFrame", columns: Columns, named: Columns, source: str
) -> tuple["pd.DataFrame", Columns, list[str]]:
    """The records of a table, in its order, the columns that were used, and notes for the user.

    A record is id (str, unique), text (str, '' when the row has none), happened_at (UTC or NaT),
    group (str or None) and kind ('ticket' or 'transcript'). Values are kept as they stand, except
    that NULs are removed and lone surrogates become U+FFFD. A list of turns in a text column, texts
    or objects with a speaker and a text, becomes a line a turn, ``speaker: text``.

    Raises InputError naming row (from 1, without the header), column and what to do: a missing,
    duplicate or endless id, a text that is none, a time that cannot be read.
    """
    import pandas as pd

    texts, kinds = _texts(table, columns.text, source)
    times, notes = _times(table, columns.time, named.time, source)
    used = columns if times is not None else columns.model_copy(update={"time": None})
    records = pd.DataFrame(
        {
            "id": pd.Series(_ids(table, columns.id, source), dtype="str"),
            # As objects, which passages share: a text is in memory once.
            "text": pd.Series(texts, dtype=object),
            "happened_at": parse_times([""] * len(table)) if times is None else times,
            "group": pd.Series(_groups(table, columns.group_by, source), dtype=object),
            "kind": pd.Series(kinds, dtype="str"),
        }
    )
    return records, used, notes


def clean(text: str) -> str:
    """The text without what PostgreSQL and UTF-8 have no place for."""
    if "\0" in text:
        text = text.replace("\0", "")
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _texts(table: "pd.DataFrame", names: Sequence[str], source: str) -> tuple[list[str], list[str]]:
    transcript = any(map(is_transcript, names))
    kinds = ["transcript" if transcript else "ticket"] * len(table)
    parts: list[list[str]] = [[] for _ in kinds]
    for name in names:
        for row, value in enumerate(_values(table, name)):
            if isinstance(value, Sequence) and not isinstance(value, str | bytes):
                kinds[row] = "transcript"
                value = "\n".join(_turn(turn, source, row, name) for turn in value)
            text = _written(value, source, row, name)
            if text and not text.isspace():
                parts[row].append(text)
    return ["\n\n".join(part) for part in parts], kinds


def _turn(turn: Any, source: str, row: int, name: str) -> str:
    if isinstance(turn, str):
        return turn
    if isinstance(turn, Mapping):
        speaker = next((turn[key] for key in _SPEAKERS if turn.get(key)), None)
        words = next((turn[key] for key in _WORDS if turn.get(key) is not None), None)
        if isinstance(words, str):
            return f"{speaker}: {words}" if speaker else words
    raise InputError(
        f"{_place(source, row, name)}: a turn is neither a text nor an object with a text "
        f"({', '.join(_WORDS)}). Mend the turn, or name another column with --text."
    )


def _ids(table: "pd.DataFrame", name: str | None, source: str) -> list[str]:
    if name is None:
        return [f"row-{row}" for row in range(1, len(table) + 1)]
    ids = _written_column(table, name, source)
    first: dict[str, int] = {}
    for row, id_ in enumerate(ids):
        if not id_.strip():
            raise InputError(
                f"{_place(source, row, name)}: the id is missing. Fill it in, or name another "
                "column with --id."
            )
        if len(id_) > LONGEST_ID:
            raise InputError(
                f"{_place(source, row, name)}: the id has {len(id_)} characters, at most "
                f"{LONGEST_ID} are allowed. Name another column with --id."
            )
        if (other := first.setdefault(id_, row)) != row:
            raise InputError(
                f"{source}: rows {other + 1} and {row + 1} have the same id '{id_[:80]}' in column "
                f"'{name}', and {len(ids) - len(set(ids))} rows in all repeat an id. Give each "
                "record an id of its own, name another column with --id, or number the records "
                f"with --id {ROW}."
            )
    return ids


def _times(
    table: "pd.DataFrame", name: str | None, named: str | None, source: str
) -> tuple["pd.Series[pd.Timestamp] | None", list[str]]:
    if name is None:
        return None, []
    written = _written_column(table, name, source)
    times = parse_times(written)
    unread = [row for row in times.index[times.isna()] if written[row].strip()]
    if named is None and times.isna().all():
        note = f"{source}: column '{name}' holds no times that can be read: it was not used."
        return None, [note] if unread else []
    if not unread:
        return times, []
    raise InputError(
        f"{_place(source, unread[0], name)}: '{written[unread[0]][:40]}' is not a time that can be "
        f"read ({len(unread)} of {len(written)} rows). Write times as 2026-03-04T10:00:00Z, or "
        "name another column with --time."
    )


def _groups(table: "pd.DataFrame", name: str | None, source: str) -> list[str | None]:
    if name is None:
        return [None] * len(table)
    written = _written_column(table, name, source)
    return [group if group.strip() else None for group in written]


def _values(table: "pd.DataFrame", name: str) -> list[Any]:
    """The column as plain Python values, None where one is missing."""
    import pandas as pd
    import pyarrow as pa

    column = table[name]
    if isinstance(column.dtype, pd.ArrowDtype):
        values: list[Any] = pa.array(column).to_pylist()
        return values
    return column.astype(object).where(column.notna(), None).tolist()


def _written_column(table: "pd.DataFrame", name: str, source: str) -> list[str]:
    return [_written(value, source, row, name) for row, value in enumerate(_values(table, name))]


def _written(value: Any, source: str, row: int, name: str) -> str:
    """A scalar as text. A whole number stays whole where the file had missing ones beside it."""
    if isinstance(value, str):
        return clean(value)
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Mapping | Sequence | set):
        raise InputError(
            f"{_place(source, row, name)}: the value is a {type(value).__name__}, not a text. "
            "Name another column."
        )
    return str(value)


def _place(source: str, row: int, name: str) -> str:
    return f"{source}: row {row + 1}, column '{name}'"
