"""SQL of a model: it reads what its role was granted, and cannot get any further."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from infra import read_only_database as reader
from infra.errors import DatabaseUnavailable, InputError, SettingsError
from infra.settings import get_settings


@pytest.fixture
def granted(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A role that may read the table shop.orders, and is the setting's; its name."""
    name = f"reader_{uuid4().hex[:12]}"
    with psycopg.connect(database, autocommit=True) as connection:
        role = sql.Identifier(name)
        connection.execute(sql.SQL("create role {} login password 'secret'").format(role))
        connection.execute("create schema shop")
        connection.execute("create table shop.orders (id int, note text)")
        connection.execute("create table shop.secrets (word text)")
        connection.execute("insert into shop.orders values (1, 'one'), (2, null)")
        connection.execute("insert into shop.secrets values ('swordfish')")
        connection.execute(sql.SQL("grant usage on schema shop to {}").format(role))
        connection.execute(sql.SQL("grant select on shop.orders to {}").format(role))
        parts = urlsplit(database)
        place = f"{name}:secret@{parts.hostname}:{parts.port}"
        monkeypatch.setenv("PATTERNS_READER_URL", parts._replace(netloc=place).geturl())
        get_settings.cache_clear()
        yield name
        connection.execute(sql.SQL("drop owned by {}").format(role))
        connection.execute(sql.SQL("drop role {}").format(role))


async def test_rows_are_json_values_by_column(granted: str) -> None:
    found = await reader.read_rows(
        "select id, note, 1.5 as half, now()::date as day from shop.orders"
    )
    assert found.columns == ("id", "note", "half", "day")
    assert [row[:3] for row in found.rows] == [[1, "one", 1.5], [2, None, 1.5]]
    assert isinstance(found.rows[0][3], str)
    assert not found.more


@pytest.mark.parametrize(
    "statement",
    [
        "insert into shop.orders values (3, 'x')",
        "update shop.orders set note = 'x'",
        "delete from shop.orders",
        "create table shop.mine (id int)",
        "create temporary table mine (id int)",
        "copy shop.orders to program 'touch /tmp/escaped'",
        "select 1; select 2",
        "commit; drop table shop.orders",
        "select * from shop.secrets",
        "set role postgres",
        "select set_config('role', 'patterns', true), "
        "query_to_xml('select * from shop.secrets', true, true, '')",
        "set session authorization patterns",
        "select pg_read_file('/etc/passwd')",
        "select lo_export(1, '/tmp/escaped')",
        "select * from patterns.calls",
        "select pg_terminate_backend(pid) from pg_stat_activity where usename <> current_user",
        "with gone as (delete from shop.orders returning *) select * from gone",
        "no sql at all",
        "",
    ],
)
async def test_what_is_more_than_reading_is_refused(
    granted: str, statement: str, database: str
) -> None:
    with pytest.raises(InputError, match=r"Mend the query|one that only reads"):
        await reader.read_rows(statement)
    with psycopg.connect(database) as connection:
        assert connection.execute("select count(*) from shop.orders").fetchone() == (2,)


async def test_a_query_that_takes_too_long_is_ended(
    granted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_SECONDS", 1)
    with pytest.raises(InputError, match="took over 1 s"):
        await reader.read_rows("select pg_sleep(20)")


async def test_of_a_long_result_the_first_rows_are_told(granted: str) -> None:
    found = await reader.read_rows("select n from generate_series(1, 10000000) as s (n)")
    assert [row[0] for row in found.rows] == [*range(1, reader.MOST_ROWS + 1)]
    assert found.more
    exact = await reader.read_rows(f"select n from generate_series(1, {reader.MOST_ROWS}) as s (n)")
    assert not exact.more


async def test_a_result_of_too_many_bytes_is_refused(granted: str) -> None:
    with pytest.raises(InputError, match="ask for less"):
        await reader.read_rows("select repeat('x', 100000) from generate_series(1, 100)")


@pytest.mark.parametrize(
    ("grant", "said"),
    [
        ("alter role {} createrole", "superuser, or can make roles"),
        ("grant pg_write_all_data to {}", "acts for the role"),
        ("grant pg_execute_server_program to {}", "acts for the role"),
        ("grant insert on shop.orders to {}", "can change shop.orders"),
        ("grant create on schema shop to {}", "make objects in the schema shop"),
    ],
)
async def test_a_role_that_could_do_more_is_refused(
    granted: str, database: str, grant: sql.LiteralString, said: str
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL(grant).format(sql.Identifier(granted)))
        with pytest.raises(SettingsError, match=said):
            await reader.read_rows("select 1")


async def test_the_tables_told_are_those_that_may_be_read(granted: str) -> None:
    [only] = await reader.readable_tables()
    assert only == reader.ReadableTable("shop.orders", ("id integer", "note text"))


async def test_a_database_of_the_users_own_needs_a_role_of_his(database: str) -> None:
    assert not reader.is_configured()
    with pytest.raises(SettingsError, match="PATTERNS_READER_URL is unset"):
        await reader.read_rows("select 1")


async def test_a_server_that_is_away_is_no_fault_of_the_query(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_READER_URL", "postgresql://reader:x@127.0.0.1:1/nowhere")
    get_settings.cache_clear()
    with pytest.raises(DatabaseUnavailable):
        await reader.read_rows("select 1")


async def test_the_embedded_server_has_a_role_that_reads_kept_corpora(
    server_url: str, session_home: Path
) -> None:
    from infra.postgres import close_pool

    assert reader.is_configured()
    try:
        found = [table.name for table in await reader.readable_tables()]
        assert found == ["patterns.corpora", "patterns.corpus_records"]
        assert (await reader.read_rows("select count(*) as n from patterns.corpora")).columns == (
            "n",
        )
        with pytest.raises(InputError, match="permission denied"):
            await reader.read_rows("select * from patterns.calls")
        reader._made.cache_clear()  # as another process
        assert (await reader.read_rows("select 1 as one")).rows == [[1]]
    finally:
        await close_pool()
