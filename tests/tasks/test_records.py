from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import InputError
from tasks.columns import Columns, recognise
from tasks.records import to_records

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def records(rows: list[dict[str, Any]], **named: Any) -> pd.DataFrame:
    return read(rows, **named)[0]


def read(rows: list[dict[str, Any]], **named: Any) -> tuple[pd.DataFrame, Columns, list[str]]:
    table = pd.DataFrame(rows, dtype=object)
    columns = Columns(**named)
    return to_records(table, recognise(columns, list(table.columns), "t.csv"), columns, "t.csv")


def texts(rows: list[dict[str, Any]], **named: Any) -> list[str]:
    return records(rows, **named)["text"].tolist()


def test_subject_and_body_are_joined_by_a_blank_line() -> None:
    rows = [
        {"id": "1", "subject": "Login", "body": "It fails.\n\nAgain."},
        {"id": "2", "subject": " ", "body": "Only a body"},
        {"id": "3", "subject": "Only a subject", "body": None},
    ]
    assert texts(rows) == ["Login\n\nIt fails.\n\nAgain.", "Only a body", "Only a subject"]


def test_several_named_texts_are_joined_in_the_order_given() -> None:
    rows = [{"id": "1", "a": "first", "b": "second", "text": "not asked for"}]
    assert texts(rows, text=("b", "a")) == ["second\n\nfirst"]


def test_rows_without_text_are_records() -> None:
    rows = [{"id": str(n), "body": body} for n, body in enumerate(["", None, " \n\t", "\0"])]
    found = records(rows)
    assert found["id"].tolist() == ["0", "1", "2", "3"]
    assert found["text"].tolist() == [""] * 4


def test_texts_are_kept_but_for_what_no_database_holds() -> None:
    text = " \u0065\u0301 ﬁ \u200f ＡＢ\r\n\t{{}} </x> 'NaN' "
    rows = [{"body": text}, {"body": "nul\0 here"}, {"body": "half \ud83d pair"}]
    assert texts(rows) == [text, "nul here", "half \ufffd pair"]


@given(st.text())
def test_any_text_becomes_one_that_utf_8_holds(text: str) -> None:
    (found,) = texts([{"body": text}])
    assert "\0" not in found
    assert found.encode().decode() == found


def test_records_without_an_id_column_are_numbered() -> None:
    assert records([{"body": "a"}, {"body": "b"}])["id"].tolist() == ["row-1", "row-2"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("007", "007"),
        (7, "7"),
        (7.0, "7"),
        (Decimal("7.10"), "7.10"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (date(2026, 3, 4), "2026-03-04"),
    ],
)
def test_an_id_is_the_value_as_written(value: Any, expected: str) -> None:
    assert records([{"id": value, "body": "a"}])["id"].tolist() == [expected]


def test_whole_numbers_stay_whole_beside_a_missing_one() -> None:
    table = pd.DataFrame({"id": ["a", "b"], "body": ["x", "y"], "shop": [12, None]})
    columns = Columns(id="id", text=("body",), group_by="shop")
    found, _, _ = to_records(table, columns, columns, "t.parquet")
    assert found["group"].tolist() == ["12", None]


def test_a_group_is_a_text_or_none() -> None:
    rows = [{"body": "a", "shop": shop} for shop in ("Graz", "", None, 4)]
    assert records(rows, group_by="shop")["group"].tolist() == ["Graz", None, None, "4"]
    assert records(rows)["group"].tolist() == [None] * 4


def test_times_are_utc() -> None:
    rows = [
        {"body": "a", "created_at": "2026-03-04T13:00:00+01:00"},
        {"body": "b", "created_at": NOON},
        {"body": "c", "created_at": None},
        {"body": "d", "created_at": ""},
    ]
    found = records(rows)["happened_at"]
    assert found.dt.tz is UTC or str(found.dt.tz) == "UTC"
    assert found[:2].tolist() == [NOON, NOON]
    assert found[2:].isna().all()


def test_a_recognised_time_column_without_any_time_is_not_used() -> None:
    found, used, notes = read([{"body": "a", "date": "03/04/2026"}, {"body": "b", "date": "soon"}])
    assert found["happened_at"].isna().all()
    assert used.time is None
    assert notes == ["t.csv: column 'date' holds no times that can be read: it was not used."]


@pytest.mark.parametrize("named", [{}, {"time": "date"}])
def test_a_time_that_cannot_be_read_is_refused_with_row_and_value(named: dict[str, str]) -> None:
    rows = [{"body": "a", "date": "2026-03-04"}, {"body": "b", "date": "04/03/2026"}]
    with pytest.raises(InputError, match=r"row 2, column 'date': '04/03/2026' .*\(1 of 2 rows\)"):
        records(rows, **named)


def test_a_named_time_column_without_any_time_is_refused() -> None:
    with pytest.raises(InputError, match=r"row 1, column 'x': 'soon' is not a time"):
        records([{"body": "a", "x": "soon"}], time="x")


def test_a_list_of_turns_becomes_a_transcript() -> None:
    rows = [
        {"turns": [{"role": "customer", "author": "c_1", "text": "Hi"}, {"text": "No speaker"}]},
        {"turns": ["One", "Two"]},
        {"turns": [{"speaker": "Ann", "utterance": "Well\nthen"}, {"role": "bot", "content": ""}]},
        {"turns": []},
    ]
    found = records(rows)
    assert found["text"].tolist() == [
        "customer: Hi\nNo speaker",
        "One\nTwo",
        "Ann: Well\nthen\nbot: ",
        "",
    ]
    assert set(found["kind"]) == {"transcript"}


def test_the_types_of_a_parquet_file_are_read_alike() -> None:
    turns = [{"speaker": "Ann", "text": "Hi"}, {"speaker": "Bo", "text": "Hello"}]
    table = pa.table({"id": [1, 2], "shop": [12, None], "turns": [turns, None], "at": [NOON, None]})
    columns = Columns(id="id", text=("turns",), time="at", group_by="shop")
    arrow = table.to_pandas(types_mapper=pd.ArrowDtype)
    found, _, _ = to_records(arrow, columns, columns, "t.parquet")
    assert found["id"].tolist() == ["1", "2"]
    assert found["text"].tolist() == ["Ann: Hi\nBo: Hello", ""]
    assert found["group"].tolist() == ["12", None]
    assert found["happened_at"].tolist() == [NOON, pd.NaT]


def test_a_text_in_a_transcript_column_is_a_transcript_and_others_are_tickets() -> None:
    assert records([{"transcript": "Ann: Hi"}])["kind"].tolist() == ["transcript"]
    assert records([{"body": "Hi"}])["kind"].tolist() == ["ticket"]


def test_duplicate_ids_are_refused_with_their_rows() -> None:
    rows = [{"id": id_, "body": "x"} for id_ in ("a", "b", "a", "b", "c")]
    with pytest.raises(InputError, match=r"rows 1 and 3 have the same id 'a' .*and 2 rows in all"):
        records(rows)


def test_ids_that_differ_only_in_what_is_removed_are_duplicates() -> None:
    with pytest.raises(InputError, match="rows 1 and 2 have the same id 'a'"):
        records([{"id": "a", "body": "x"}, {"id": "a\0", "body": "y"}])


@pytest.mark.parametrize("missing", ["", " ", None])
def test_a_missing_id_is_refused_with_its_row(missing: str | None) -> None:
    with pytest.raises(InputError, match=r"t\.csv: row 2, column 'id': the id is missing"):
        records([{"id": "a", "body": "x"}, {"id": missing, "body": "y"}])


def test_an_endless_id_is_refused() -> None:
    with pytest.raises(InputError, match=r"row 1, column 'id': the id has 501 characters"):
        records([{"id": "a" * 501, "body": "x"}])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"html": "x"}, r"row 1, column 'body': the value is a dict, not a text"),
        (b"x", r"row 1, column 'body': the value is a bytes, not a text"),
        ([["nested"]], r"row 1, column 'body': a turn is neither"),
        ([{"speaker": "Ann"}], r"row 1, column 'body': a turn is neither"),
        ([{"text": 5}], r"row 1, column 'body': a turn is neither"),
    ],
)
def test_a_value_that_is_no_text_is_refused(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        records([{"id": "1", "body": value}])


def test_an_error_tells_nothing_of_a_text() -> None:
    with pytest.raises(InputError) as caught:
        records([{"id": "1", "body": "secret one"}, {"id": "1", "body": "secret two"}])
    assert "secret" not in str(caught.value)
