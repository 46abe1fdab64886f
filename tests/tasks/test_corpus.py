import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect import Task
from prefect.cache_policies import NO_CACHE

from infra.errors import DatabaseUnavailable, InputError
from infra.settings import get_settings
from tasks.columns import Columns, recognise
from tasks.corpus import Corpus, load, load_corpus
from tasks.kept_corpora import add_records
from tasks.passages import cut
from tasks.records import to_records

APRIL = datetime(2026, 4, 1, tzinfo=UTC)
ROWS = [
    {"id": "T3", "created_at": "2026-04-01", "product": "Atlas", "body": "It broke."},
    {"id": "T1", "created_at": "2026-04-01", "product": "Delta", "body": ""},
    {"id": "T2", "created_at": "2026-03-01", "product": "Atlas", "body": "It broke."},
    {"id": "T0", "created_at": "", "product": "", "body": "When?"},
]


def as_csv() -> str:
    body = "".join(",".join(row.values()) + "\n" for row in ROWS)
    return "id,created_at,product,body\n" + body


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.csv"
    path.write_text(as_csv())
    return path


@pytest.fixture
def ticket_table(database: str) -> str:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "create table tickets as select * from jsonb_to_recordset(%s::jsonb)"
            " as t (id text, created_at text, product text, body text)",
            [json.dumps(ROWS)],
        )
    return database


async def test_a_corpus_stands_in_canonical_order_and_knows_its_columns(tickets: Path) -> None:
    corpus = await load_corpus(str(tickets))
    assert corpus.name == str(tickets)
    assert corpus.records["id"].tolist() == ["T2", "T1", "T3", "T0"]
    assert corpus.columns == Columns(id="id", text=("body",), time="created_at")
    assert corpus.notes == ()
    assert list(corpus.records.columns) == ["id", "text", "happened_at", "group", "kind"]
    assert set(corpus.records["kind"]) == {"ticket"}
    assert corpus.records["group"].tolist() == [None] * 4


async def test_named_columns_are_used(tickets: Path) -> None:
    named = Columns(id="row", text=("product", "body"), group_by="product")
    corpus = await load_corpus(str(tickets), named)
    found = corpus.records.set_index("id")
    assert found.loc["row-1", "text"] == "Atlas\n\nIt broke."
    assert found.loc["row-1", "group"] == "Atlas"
    assert found.loc["row-4", "group"] is None


@pytest.mark.parametrize("name", ["t.csv.gz", "t.jsonl", "t.json", "t.parquet", "t.xlsx"])
async def test_every_kind_of_file_gives_the_same_corpus(tickets: Path, name: str) -> None:
    path = tickets.with_name(name)
    match name.partition(".")[2]:
        case "csv.gz":
            path.write_bytes(gzip.compress(as_csv().encode()))
        case "jsonl":
            path.write_text("\n".join(map(json.dumps, ROWS)))
        case "json":
            path.write_text(json.dumps(ROWS))
        case "parquet":
            pd.DataFrame(ROWS).to_parquet(path)
        case "xlsx":
            pd.DataFrame(ROWS).to_excel(path, index=False)
    expected, found = await load_corpus(str(tickets)), await load_corpus(str(path))
    pd.testing.assert_frame_equal(found.records, expected.records)
    assert found.columns == expected.columns


async def test_a_folder_of_transcripts_is_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "2026-03-04 call.txt").write_text("Ann: Hi")
    (tmp_path / "undated.md").write_text("Bo: Hello")
    corpus = await load_corpus(str(tmp_path))
    assert corpus.name == str(tmp_path)
    assert corpus.records["id"].tolist() == ["2026-03-04 call.txt", "undated.md"]
    assert corpus.records["happened_at"][0] == datetime(2026, 3, 4, tzinfo=UTC)
    assert set(corpus.records["kind"]) == {"transcript"}


@given(st.permutations(ROWS))
def test_the_order_of_rows_changes_nothing(rows: list[dict[str, str]]) -> None:
    def corpus(rows: list[dict[str, str]]) -> Corpus:
        table = pd.DataFrame(rows, dtype=object)
        columns = recognise(Columns(), list(table.columns), "t.csv")
        return Corpus("t", *to_records(table, columns, Columns(), "t.csv")[:2])

    pd.testing.assert_frame_equal(corpus(rows).records, corpus(ROWS).records)


async def test_records_since_a_time_are_kept(tickets: Path) -> None:
    corpus = await load_corpus(str(tickets), since=datetime(2026, 4, 1))
    assert corpus.records["id"].tolist() == ["T1", "T3"]


async def test_since_may_leave_nothing(tickets: Path) -> None:
    corpus = await load_corpus(str(tickets), since=datetime(2027, 1, 1, tzinfo=UTC))
    assert corpus.records.empty


async def test_since_needs_times(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,body\n1,a\n")
    with pytest.raises(InputError, match=r"t\.csv has no times .*--time"):
        await load_corpus(str(tmp_path / "t.csv"), since=APRIL)


@pytest.mark.usefixtures("ticket_table")
async def test_a_query_in_a_file_gives_the_same_corpus_as_the_file(tickets: Path) -> None:
    query = tickets.with_name("tickets.sql")
    query.write_text("select * from tickets -- 100 %\n")
    corpus = await load_corpus(f"sql:{query}")
    assert corpus.name == f"sql:{query}"
    pd.testing.assert_frame_equal(corpus.records, (await load_corpus(str(tickets))).records)


@pytest.mark.usefixtures("ticket_table")
async def test_a_query_may_choose_by_since_itself() -> None:
    opened = "nullif(created_at, '')::timestamptz"
    query = f"query:select id, body from tickets where {opened} >= :since"
    chosen, everything = await load_corpus(query, since=APRIL), await load_corpus(query)
    assert set(chosen.records["id"]) == {"T1", "T3"}
    assert set(everything.records["id"]) == {"T1", "T2", "T3"}


@pytest.mark.usefixtures("ticket_table")
async def test_a_query_without_since_is_filtered_by_its_times() -> None:
    corpus = await load_corpus("query:select * from tickets", since=APRIL)
    assert corpus.records["id"].tolist() == ["T1", "T3"]


@pytest.mark.usefixtures("ticket_table")
async def test_the_same_query_has_the_same_name_and_another_another() -> None:
    names = [
        (await load_corpus(f"query:{query}")).name
        for query in (
            "select * from tickets",
            "select * from tickets",
            "select id, body from tickets",
        )
    ]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("query:")


@pytest.mark.usefixtures("ticket_table")
@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select * from tikcets", 'relation "tikcets" does not exist'),
        ("select * from tickets where false", "returned no records"),
        ("delete from tickets returning *", "read-only"),
        ("select id from tickets", "no column looks like text"),
    ],
)
async def test_a_query_that_gives_no_corpus_is_refused(query: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"query:\w+.*{message}"):
        await load_corpus(f"query:{query}")


async def test_a_database_that_is_down_is_no_fault_of_the_query(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATTERNS_SOURCE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    get_settings.cache_clear()
    with pytest.raises(DatabaseUnavailable):
        await load_corpus("query:select 1")


@pytest.mark.usefixtures("database")
async def test_a_kept_corpus_gives_the_same_corpus_as_its_file(tickets: Path) -> None:
    grouped = await load_corpus(str(tickets), Columns(group_by="product"))
    await add_records("mine", grouped)
    kept = await load_corpus("corpus:mine", Columns(group_by="product"))
    assert kept.name == "corpus:mine"
    pd.testing.assert_frame_equal(kept.records, grouped.records)
    ungrouped = await load_corpus("corpus:mine", since=APRIL)
    assert ungrouped.records["id"].tolist() == ["T1", "T3"]
    assert ungrouped.records["group"].tolist() == [None, None]


@pytest.mark.usefixtures("database")
async def test_a_kept_corpus_has_its_own_columns(tickets: Path) -> None:
    await add_records("mine", await load_corpus(str(tickets)))
    with pytest.raises(InputError, match=r"corpus:mine has no column 'product'.*: id, text, happ"):
        await load_corpus("corpus:mine", Columns(group_by="product"))
    with pytest.raises(InputError, match="no corpus 'min'"):
        await load_corpus("corpus:min")


async def test_a_missing_file_is_refused_with_the_nearest_name(tickets: Path) -> None:
    with pytest.raises(
        InputError, match=r"tickest\.csv does not exist\. Did you mean 'tickets\.csv'"
    ):
        await load_corpus(str(tickets.with_name("tickest.csv")))
    with pytest.raises(InputError, match=r"does not exist, nor does its folder"):
        await load_corpus(str(tickets.parent / "nowhere" / "tickets.csv"))


async def test_an_unknown_kind_of_file_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "tickets.pdf").write_text("x")
    with pytest.raises(InputError, match=r"tickets\.pdf.*none that can be read.*\.csv, .*\.srt"):
        await load_corpus(str(tmp_path / "tickets.pdf"))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv", b"", r"t\.csv is empty"),
        ("t.csv", b"id,body\n1,a\n1,b\n", r"t\.csv: rows 1 and 2 have the same id '1'"),
        ("t.csv", b'id,body\n1,"a\n2,b\n', r"t\.csv: .* line 2 is broken"),
        ("t.csv", b"id,colour\n1,red\n", r"t\.csv: no column looks like text.*id, colour"),
    ],
)
async def test_a_bad_file_is_refused_by_name(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        await load_corpus(str(tmp_path / name))


async def test_an_unknown_text_column_is_refused(tickets: Path) -> None:
    with pytest.raises(
        InputError, match=r"tickets\.csv has no column 'bdoy'\. Did you mean 'body'"
    ):
        await load_corpus(str(tickets), Columns(text=("bdoy",)))


@pytest.mark.parametrize(
    "data",
    [
        "id;body\n1;Grüße\n2;b\n".encode(),
        "id\tbody\n1\tGrüße\n2\tb\n".encode("utf-16"),
        "\ufeffid,body\r\n1,Grüße\r\n2,b\r\n".encode(),
        "id,body\n1,Grüße\n2,b\n".encode("latin-1"),
        "id,body\n1,Gr\0üße\n2,\0b\n".encode(),
    ],
)
async def test_a_file_of_another_dialect_is_read_alike(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    corpus = await load_corpus(str(tmp_path / "t.csv"))
    assert corpus.records["text"].tolist() == ["Grüße", "b"]


async def test_what_was_decided_is_noted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("id,date,body\n1,soon,Grüße\n".encode("latin-1"))
    corpus = await load_corpus(str(tmp_path / "t.csv"))
    assert ["Windows-1252" in note or "'date'" in note for note in corpus.notes] == [True, True]


@pytest.mark.parametrize("task", [load, cut])
def test_no_text_of_a_corpus_goes_into_stored_results(task: Task[..., object]) -> None:
    assert task.persist_result is False
    assert task.cache_policy == NO_CACHE
    assert not task.log_prints


async def test_the_task_gives_the_corpus(tickets: Path) -> None:
    assert len((await load.fn(str(tickets))).records) == 4
