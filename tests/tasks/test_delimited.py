import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import InputError
from tasks.delimited import LINE, read_delimited


def rows(text: str, delimiter: str | None = None) -> list[dict[str, str]]:
    return read_delimited(text, "t.csv", delimiter).to_dict("records")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_of_the_header(delimiter: str) -> None:
    text = f"id{delimiter}body\n1{delimiter}one\n"
    assert rows(text) == [{"id": "1", "body": "one"}]


def test_a_delimiter_in_a_quoted_name_does_not_count() -> None:
    assert rows('id;"subject, short, plain"\n1;a\n') == [{"id": "1", "subject, short, plain": "a"}]


def test_a_separator_line_of_excel_is_obeyed() -> None:
    assert rows("sep=;\r\na;b\r\n1,5;2\r\n") == [{"a": "1,5", "b": "2"}]


def test_values_stay_as_they_stand() -> None:
    assert rows('id,a,b\n007,NA, null\n1e3,"",\n') == [
        {"id": "007", "a": "NA", "b": " null"},
        {"id": "1e3", "a": "", "b": ""},
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_quoted_value_may_span_lines_and_keeps_its_line_breaks(end: str) -> None:
    text = end.join(["id,body", '1,"Hi,', "", 'it ""broke""."', "2,short"])
    body = end.join(["Hi,", "", 'it "broke".'])
    assert rows(text) == [{"id": "1", "body": body}, {"id": "2", "body": "short"}]


def test_spaces_between_delimiter_and_quote_are_skipped() -> None:
    assert rows('"id", "body"\n"1", "a, b"\n') == [{"id": "1", "body": "a, b"}]


def test_quotes_inside_an_unquoted_value_are_text() -> None:
    assert rows("id,size\n1,37' 8\"N\n") == [{"id": "1", "size": "37' 8\"N"}]


def test_rows_without_any_value_are_left_out() -> None:
    assert rows("id,body\n\n1,a\n,\n\n2,b\n\n") == [
        {"id": "1", "body": "a"},
        {"id": "2", "body": "b"},
    ]


def test_an_empty_value_of_a_single_column_is_a_row() -> None:
    assert rows('body\na\n""\n') == [{"body": "a"}, {"body": ""}]


def test_columns_of_one_name_and_of_none_can_be_told_apart() -> None:
    assert rows("id,Comment,Comment,\n1,a,b,c\n") == [
        {"id": "1", "Comment": "a", "Comment.1": "b", "column 4": "c"}
    ]


def test_empty_values_beyond_the_header_are_no_fault() -> None:
    assert rows("id,body\n1,a,,\n") == [{"id": "1", "body": "a"}]


def test_a_cell_of_ten_megabytes_is_read() -> None:
    (row,) = rows('id,body\n1,"' + "long text " * 1_000_000 + '"\n')
    assert len(row["body"]) == 10_000_000


def test_an_unclosed_quote_is_refused_with_the_line_it_opens_on() -> None:
    with pytest.raises(InputError, match=r"t\.csv.*line 3 .*Close the quote"):
        rows('id,body\n1,fine\n2,"never closed\n3,lost\n')


def test_a_quote_closed_by_the_next_record_is_refused_with_the_line_it_opens_on() -> None:
    with pytest.raises(InputError, match=r"starts on line 2 .*noticed on line 4"):
        rows('id,body\n1,"open\n2,lost\n3,"quoted"\n')


def test_text_after_a_closing_quote_is_refused() -> None:
    with pytest.raises(InputError, match="starts on line 4 "):
        rows('id,body\n1,"two\nlines"\n2,"said" and done\n')


@pytest.mark.parametrize(("row", "count"), [("1", 1), ("1,a,b", 3)])
def test_a_row_of_another_width_is_refused_with_its_line(row: str, count: int) -> None:
    with pytest.raises(InputError, match=rf"line 3 has {count} values, the header has 2"):
        rows(f"id,body\n0,x\n{row}\n")


VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(
    table=st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_was_written_is_read(
    table: list[tuple[str, str, str]], delimiter: str, end: str
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b", "c"), *table])
    read = read_delimited(file.getvalue(), "t.csv")
    assert [tuple(row) for row in read.to_numpy()] == [row for row in table if any(row)]


@given(st.text(alphabet='ab,\n\r"\u2028é🙂'))
def test_lines_end_where_the_standard_library_says(text: str) -> None:
    assert [line[0] for line in LINE.finditer(text)] == list(io.StringIO(text, newline=""))
