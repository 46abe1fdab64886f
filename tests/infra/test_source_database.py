from collections.abc import AsyncIterator
from datetime import UTC, datetime

import psycopg
import pytest

from infra.errors import DatabaseError, DatabaseUnavailable, SettingsError
from infra.settings import get_settings
from infra.source_database import read, takes_since


@pytest.fixture
async def tickets(database: str) -> AsyncIterator[str]:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("create table tickets (id int, opened timestamptz, note text)")
        await connection.execute(
            "insert into tickets values (1, '2026-03-01', 'a'), (2, '2026-04-01', '100 %')"
        )
        yield database


async def count(url: str) -> int:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (await connection.execute("select count(*) from tickets")).fetchone()
    assert row
    return int(row[0])


@pytest.mark.usefixtures("tickets")
async def test_columns_and_rows_of_the_projects_own_database_are_read() -> None:
    names, rows = await read("select id, note from tickets where note like '%' order by id", None)
    assert names == ["id", "note"]
    assert rows == [(1, "a"), (2, "100 %")]


@pytest.mark.usefixtures("tickets")
async def test_since_is_a_parameter_and_without_it_everything_is_since() -> None:
    query = "select id from tickets where opened >= :since and note::text <> ':sincere' order by id"
    assert (await read(query, datetime(2026, 3, 15, tzinfo=UTC)))[1] == [(2,)]
    assert (await read(query, None))[1] == [(1,), (2,)]


@pytest.mark.parametrize(
    ("query", "takes"),
    [("select :since", True), ("select a::since", False), ("select :sinces", False)],
)
def test_the_parameter_is_known_by_its_name(query: str, takes: bool) -> None:
    assert takes_since(query) is takes


async def test_another_database_is_read_when_the_setting_names_it(
    tickets: str, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_SOURCE_DATABASE_URL", empty_database)
    get_settings.cache_clear()
    with pytest.raises(DatabaseError, match='"tickets" does not exist'):
        await read("select id from tickets", None)


@pytest.mark.parametrize(
    "query",
    [
        "delete from tickets",
        "with gone as (delete from tickets returning id) select id from gone",
        "commit; delete from tickets",
        "select 1; rollback; delete from tickets",
        "select from where",
    ],
)
async def test_a_query_that_writes_or_is_none_is_refused(tickets: str, query: str) -> None:
    with pytest.raises(DatabaseError):
        await read(query, None)
    assert await count(tickets) == 2


async def test_a_database_that_is_down_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_SOURCE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    get_settings.cache_clear()
    with pytest.raises(DatabaseUnavailable):
        await read("select 1", None)


async def test_a_setting_that_is_no_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_SOURCE_DATABASE_URL", "postgresql://me:p@ss@host/db")
    get_settings.cache_clear()
    with pytest.raises(SettingsError, match="PATTERNS_SOURCE_DATABASE_URL"):
        await read("select 1", None)
