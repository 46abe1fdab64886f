import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from infra.errors import InputError
from tasks.tables import read_table

RECORDS = [
    {"id": "007", "body": "Grüße, it broke.\nTwice."},
    {"id": "8", "body": "NA"},
    {"id": "9", "body": ""},
]


def written(path: Path, text: str) -> Path:
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def as_csv(delimiter: str) -> str:
    body = "".join(f'{r["id"]}{delimiter}"{r["body"]}"\n' for r in RECORDS)
    return f"id{delimiter}body\n{body}"


def as_lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", as_csv(",")),
        ("T.CSV", as_csv(";")),
        ("t.csv.gz", as_csv(",")),
        ("t.tsv", as_csv("\t")),
        ("t.tsv.gz", as_csv("\t")),
        ("t.json", json.dumps(RECORDS)),
        ("t.json.gz", json.dumps(RECORDS)),
        ("t.json", json.dumps({"total": 3, "tickets": RECORDS})),
        ("t.json", as_lines(RECORDS)),
        ("t.jsonl", as_lines(RECORDS)),
        ("t.jsonl.gz", as_lines(RECORDS).replace("\n", "\r\n\r\n")),
        ("t.ndjson", as_lines(RECORDS)),
    ],
)
def test_text_files_of_each_kind_hold_the_same_records(
    tmp_path: Path, name: str, text: str
) -> None:
    table, notes = read_table(written(tmp_path / name, text))
    assert table.to_dict("records") == RECORDS
    assert notes == []


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("t.parquet", lambda table, path: table.to_parquet(path)),
        ("t.xlsx", lambda table, path: table.to_excel(path, index=False)),
    ],
)
def test_parquet_and_excel_hold_the_same_records(
    tmp_path: Path, name: str, write: Callable[[pd.DataFrame, Path], None]
) -> None:
    write(pd.DataFrame(RECORDS), tmp_path / name)
    table, notes = read_table(tmp_path / name)
    assert table.to_dict("records") == RECORDS
    assert notes == []


def test_the_first_sheet_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        pd.DataFrame(RECORDS).to_excel(book, sheet_name="Tickets", index=False)
        pd.DataFrame({"a": [1]}).to_excel(book, sheet_name="Notes")
    table, notes = read_table(tmp_path / "t.xlsx")
    assert len(table) == 3
    assert notes == [f"{tmp_path / 't.xlsx'}: the sheet 'Tickets' was read, not Notes."]


def test_rows_of_a_sheet_without_any_value_are_left_out(tmp_path: Path) -> None:
    rows = [{"id": 1, "body": "a"}, {"id": None, "body": None}, {"id": 2, "body": None}]
    pd.DataFrame(rows, dtype=object).to_excel(tmp_path / "t.xlsx", index=False)
    found = read_table(tmp_path / "t.xlsx")[0].to_dict("records")
    assert found == [{"id": 1, "body": "a"}, {"id": 2, "body": ""}]


def test_a_line_separator_inside_a_json_string_ends_no_record(tmp_path: Path) -> None:
    record = {"id": "1", "body": "one\u2028two\x85three"}
    table, _ = read_table(written(tmp_path / "t.jsonl", as_lines([record])))
    assert table.to_dict("records") == [record]


def test_the_encoding_that_was_decided_on_is_noted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("id,body\n1,Grüße\n".encode("latin-1"))
    table, notes = read_table(tmp_path / "t.csv")
    assert table["body"].tolist() == ["Grüße"]
    assert "Windows-1252" in notes[0]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.jsonl", "t.parquet", "t.xlsx"])
@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(InputError, match=rf"{name} is empty\. Name"):
        read_table(written(tmp_path / name, text))


@pytest.mark.parametrize(("name", "text"), [("t.csv", "id,body\n"), ("t.json", "[]")])
def test_a_file_without_records_is_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(InputError, match=rf"{name} has no records"):
        read_table(written(tmp_path / name, text))


@pytest.mark.parametrize("name", ["t.csv.gz", "t.parquet", "t.xlsx"])
def test_a_file_that_is_not_what_it_is_called_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"id,body\n1,a\n")
    with pytest.raises(InputError, match=rf"{name} (cannot be read|is not)"):
        read_table(tmp_path / name)


def test_a_truncated_gzip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"id,body\n1,abc\n")[:-9])
    with pytest.raises(InputError, match=r"t\.csv\.gz cannot be read"):
        read_table(tmp_path / "t.csv.gz")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.jsonl", '{"id": 1}\n\n{"id": 2,}\n', "line 3 is not JSON"),
        ("t.jsonl", '{"id": 1}\n{"id": 2,\n', "line 2 is not JSON: .* line 1 column 10"),
        ("t.jsonl", '{"id": 1}\n"loose"\n', "record 2 is not an object but str"),
        ("t.json", '[{"id": 1}, 5]', "record 2 is not an object but int"),
        ("t.json", '[{"id": 1},\n', "is not JSON: .* line 2"),
        ("t.json", '{"a": 1}', "neither a list of objects nor"),
        ("t.json", '{"a": [{"id": 1}], "b": [{"id": 2}]}', "neither a list of objects nor"),
        ("t.json", "[" * 100_000, "is not JSON"),
    ],
)
def test_broken_json_is_refused_with_its_place(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_table(written(tmp_path / name, text))
