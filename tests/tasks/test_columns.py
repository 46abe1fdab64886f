import pytest

from infra.errors import InputError
from tasks.columns import Columns, is_transcript, recognise


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["id", "created_at", "product", "subject", "body"],
            Columns(id="id", text=("subject", "body"), time="created_at"),
        ),
        (
            ["Ticket ID", "Opened At", "Short Description", "Description"],
            Columns(id="Ticket ID", text=("Short Description", "Description"), time="Opened At"),
        ),
        (
            ["conversationId", "datetime", "turns", "doc_id"],
            Columns(id="conversationId", text=("turns",), time="datetime"),
        ),
        (["Key", "Summary", "Created"], Columns(id="Key", text=("Summary",), time="Created")),
        (["comment"], Columns(text=("comment",))),
    ],
)
def test_columns_are_recognised_by_their_usual_names(names: list[str], expected: Columns) -> None:
    assert recognise(Columns(), names, "t.csv") == expected


def test_named_columns_go_before_recognised_ones() -> None:
    named = Columns(id="guid", text=("body", "id"), time="closed", group_by="product")
    names = ["id", "guid", "body", "date", "closed", "product"]
    assert recognise(named, names, "t.csv") == named


def test_a_named_column_is_not_recognised_as_another() -> None:
    found = recognise(Columns(text=("ticket",)), ["ticket", "label"], "t.csv")
    assert found == Columns(text=("ticket",))


def test_a_column_named_as_the_id_is_not_recognised_as_text() -> None:
    found = recognise(Columns(id="message"), ["message", "question"], "t.csv")
    assert found == Columns(id="message", text=("question",))


def test_of_columns_alike_the_first_is_recognised() -> None:
    assert recognise(Columns(), ["ID", "id", "text"], "t.csv").id == "ID"


def test_nothing_is_grouped_unless_a_column_is_named() -> None:
    assert recognise(Columns(), ["id", "text", "product"], "t.csv").group_by is None


def test_records_are_numbered_on_request() -> None:
    assert recognise(Columns(id="row"), ["id", "text"], "t.csv").id is None


@pytest.mark.parametrize("field", ["id", "time", "group_by"])
def test_a_named_column_that_is_missing_is_refused(field: str) -> None:
    with pytest.raises(InputError, match=r"t\.csv has no column 'prodct'\. Did you mean 'product'"):
        recognise(Columns(**{field: "prodct"}), ["id", "text", "product"], "t.csv")


def test_an_unknown_text_column_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no column 'Boddy'\. Did you mean 'body'\? .*: id, body"):
        recognise(Columns(text=("Boddy",)), ["id", "body"], "t.csv")


def test_a_table_without_a_text_column_is_refused_with_its_columns() -> None:
    with pytest.raises(
        InputError, match=r"t\.csv: no column looks like text.*: id, a, b\. .*--text"
    ):
        recognise(Columns(), ["id", "a", "b"], "t.csv")


def test_of_many_columns_the_first_are_listed() -> None:
    with pytest.raises(InputError, match=r"c38, c39 and 60 more\."):
        recognise(Columns(), [f"c{n}" for n in range(100)], "t.csv")


def test_transcripts_are_known_by_their_column() -> None:
    assert is_transcript("Turns")
    assert not is_transcript("body")
