"""Files of records (CSV, TSV, JSON, JSON lines, Parquet, Excel) to tables."""

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.errors import InputError
from tasks.decoding import decode
from tasks.delimited import read_delimited

if TYPE_CHECKING:
    import pandas as pd

TEXT_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")
SUFFIXES = (*TEXT_SUFFIXES, *(f"{suffix}.gz" for suffix in TEXT_SUFFIXES), ".parquet", ".xlsx")

_LINE = re.compile(r"([^\n]*)(?:\n|\Z)")


def read_table(path: Path) -> tuple["pd.DataFrame", list[str]]:
    """The file's records, a row each, and notes for the user on what had to be decided.

    The name's ending says how to read it. Texts are never taken for missing values ("NA", "null")
    nor for numbers (a CSV's "007"); JSON keeps lists and objects; of an Excel file the first sheet
    is read.

    Raises InputError naming file and line or record: empty, not readable, or not what it is called.
    """
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), "")
    notes: list[str] = []
    # The bytes have no name: they go as soon as they are text.
    if suffix == ".parquet":
        table = _read_parquet(_read(path, suffix), path)
    elif suffix == ".xlsx":
        table, notes = _read_excel(_read(path, suffix), path)
    else:
        text, notes = decode(_read(path, suffix), str(path))
        kind = suffix.removesuffix(".gz")
        if kind == ".csv":
            table = read_delimited(text, str(path))
        elif kind == ".tsv":
            table = read_delimited(text, str(path), "\t")
        else:
            table = _read_json(text, path, lines=kind != ".json")
    if table.empty:
        raise InputError(f"{path} has no records. Name a file that has some.")
    return table, notes


def _read(path: Path, suffix: str) -> bytes:
    """What is in the file, unpacked. Raises InputError where it cannot be read, or is empty."""
    try:
        data = path.read_bytes()
        if suffix.endswith(".gz"):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read: {why}. Mend the file or its rights.") from error
    if not data or data.isspace():
        raise InputError(f"{path} is empty. Name a file that has records.")
    return data


def _read_json(text: str, path: Path, *, lines: bool) -> "pd.DataFrame":
    import pandas as pd

    records = list(_json_lines(text, path)) if lines else _json_document(text, path)
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise InputError(
                f"{path}: record {number} is not an object but {type(record).__name__}. "
                'Each record must be like {"id": …, "text": …}.'
            )
    return pd.DataFrame(records, dtype=object)


def _json_document(text: str, path: Path) -> list[Any]:
    try:
        document = json.loads(text, strict=False)
    except (json.JSONDecodeError, RecursionError) as error:
        if _starts_with_a_record(text):
            return list(_json_lines(text, path))
        raise InputError(f"{path} is not JSON: {error}. Mend the file at that place.") from error
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list)]
        document = lists[0] if len(lists) == 1 else document
    if not isinstance(document, list):
        raise InputError(
            f"{path} is neither a list of objects nor an object with one list of them. "
            "Save the records as one of these, or as JSON lines."
        )
    return document


def _starts_with_a_record(text: str) -> bool:
    try:
        return isinstance(json.loads(text.lstrip().split("\n", 1)[0], strict=False), dict)
    except (json.JSONDecodeError, RecursionError):
        return False


def _json_lines(text: str, path: Path) -> Iterator[Any]:
    # Not splitlines(): U+2028 and its like may stand inside a JSON string. Not split(): the file
    # would be in memory twice.
    for number, found in enumerate(_LINE.finditer(text), start=1):
        if (line := found[1]).strip():
            try:
                yield json.loads(line, strict=False)
            except (json.JSONDecodeError, RecursionError) as error:
                raise InputError(
                    f"{path}: line {number} is not JSON: {error}. Mend or remove the line."
                ) from error


def _read_parquet(data: bytes, path: Path) -> "pd.DataFrame":
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Arrow's types keep whole numbers whole beside missing ones, and nested lists lists.
        table: pd.DataFrame = pq.read_table(io.BytesIO(data)).to_pandas(
            types_mapper=pd.ArrowDtype, ignore_metadata=True
        )
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a Parquet file: {error}. Export it again.") from error
    return table


def _read_excel(data: bytes, path: Path) -> tuple["pd.DataFrame", list[str]]:
    from zipfile import BadZipFile

    import pandas as pd

    try:
        with pd.ExcelFile(io.BytesIO(data), engine="openpyxl") as book:
            first, *others = map(str, book.sheet_names)
            table = pd.read_excel(book, first, dtype=object, keep_default_na=False, na_filter=False)
    except (BadZipFile, KeyError, ValueError, OSError) as error:
        raise InputError(f"{path} is not an Excel file (.xlsx): {error}. Save it again.") from error
    table.columns = table.columns.map(str)
    note = f"{path}: the sheet '{first}' was read, not {', '.join(others)}."
    return table[(table != "").any(axis=1)].reset_index(drop=True), [note] if others else []
