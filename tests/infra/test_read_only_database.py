"""SQL of a model: it reads what its role was granted, and cannot get any further."""

from asyncio import gather, to_thread
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from infra import read_only_database as reader
from infra.embedded_postgres import ensure_running
from infra.errors import DatabaseError, DatabaseUnavailable, InputError, SettingsError
from infra.postgres import close_pool, open_pool
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


async def test_what_json_does_not_have_is_text_as_postgresql_writes_it(granted: str) -> None:
    found = await reader.read_rows(
        "select true, sum(9007199254740993), 'nan'::float8, '-infinity'::numeric, 'infinity'::date,"
        """ '{"a": 1}'::jsonb, array[1, null], interval '1 day', '\\x00ff'::bytea"""
    )
    assert found.rows == [
        [
            *(True, 9007199254740993, "NaN", "-Infinity", "infinity"),
            *('{"a": 1}', "{1,NULL}", "1 day", "\\x00ff"),
        ]
    ]


async def test_a_result_without_rows_has_columns(granted: str) -> None:
    found = await reader.read_rows("select id, note from shop.orders where false")
    assert found == reader.Rows(("id", "note"), [], False)


@pytest.mark.parametrize("end", ["", ";", " ;\n", "\n-- all of them"])
async def test_a_query_may_end_as_queries_do(granted: str, end: str) -> None:
    found = await reader.read_rows(f"with a as (select 1 as n) select n from a{end}")
    assert found.rows == [[1]]


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
        "reset session authorization",
        "set transaction read write",
        "do $$ begin perform 1; end $$",
        "commit",
        "show all",
        "copy shop.orders to stdout",
        "copy (select 1) to '/tmp/escaped'",
        "explain analyze delete from shop.orders",
        "select * into shop.mine from shop.orders",
        "select * from shop.orders for update",
        "select lo_from_bytea(0, 'x')",
        "select 1) as a) as b union all select * from (select * from (select 2",
        "select 1\0",
        "select '\ud800'",
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
    with pytest.raises(InputError, match=r"Mend the query|write it without them"):
        await reader.read_rows(statement)
    with psycopg.connect(database) as connection:
        assert connection.execute("select count(*) from shop.orders").fetchone() == (2,)


@pytest.mark.parametrize(
    "query",
    ["select pg_sleep(20)", "select set_config('statement_timeout', '0', false), pg_sleep(20)"],
)
async def test_a_query_that_takes_too_long_is_ended(granted: str, query: str) -> None:
    started = monotonic()
    with pytest.raises(InputError, match=r"took over 0\.5 s"):
        await reader.read_rows(query, seconds=0.5)
    assert monotonic() - started < 10


async def test_a_query_cannot_lift_its_limit_of_time_for_later_rows(granted: str) -> None:
    with pytest.raises(InputError, match="took over 1 s"):
        await reader.read_rows(
            "select case when n = 1 then set_config('statement_timeout', '0', false)"
            " else pg_sleep(20)::text end from generate_series(1, 3) as s (n)",
            seconds=1,
        )


async def test_what_a_query_notifies_reaches_nobody(granted: str, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("listen patterns_calls")
        await reader.read_rows("select pg_notify('patterns_calls', 'forged')")
        connection.execute("notify patterns_calls, 'true'")
        [first] = connection.notifies(timeout=5, stop_after=1)
    assert first.payload == "true"


async def test_of_a_long_result_the_first_rows_are_told(granted: str) -> None:
    found = await reader.read_rows("select n from generate_series(1, 10000000) as s (n)")
    assert [row[0] for row in found.rows] == [*range(1, reader.MOST_ROWS + 1)]
    assert found.more
    exact = await reader.read_rows("select n from generate_series(1, 3) as s (n)", limit=3)
    assert (exact.rows, exact.more) == ([[1], [2], [3]], False)
    assert (await reader.read_rows("select n from generate_series(1, 4) as s (n)", limit=3)).more


async def test_a_result_of_too_many_bytes_is_refused(granted: str) -> None:
    with pytest.raises(InputError, match="ask for less"):
        await reader.read_rows("select repeat('x', 100000) from generate_series(1, 100)")


async def test_a_row_of_too_many_bytes_is_refused_before_it_is_sent(granted: str) -> None:
    with pytest.raises(InputError, match="ask for less") as refused:
        await reader.read_rows("select 1 as n, repeat('x', 5000000) as n")
    assert isinstance(refused.value.__cause__, DatabaseError)  # PostgreSQL's own


async def test_large_rows_that_the_query_leaves_out_do_not_matter(granted: str) -> None:
    found = await reader.read_rows(
        "select t from (select repeat('x', n * 600000) as t from generate_series(0, 1) as s (n)) a"
        " where to_tsvector('simple', left(t, 9)) = ''"  # costly: PostgreSQL asks it last
    )
    assert found.rows == [[""]]


@pytest.mark.parametrize(
    ("grant", "said"),
    [
        ("alter role {} superuser", "superuser, or can make roles"),
        ("alter role {} createrole", "superuser, or can make roles"),
        ("alter role {} createdb", "superuser, or can make roles"),
        ("alter role {} replication", "superuser, or can make roles"),
        ("alter role {} bypassrls", "passes by policies"),
        ("grant pg_write_all_data to {}", "acts for the role"),
        ("grant pg_execute_server_program to {}", "acts for the role"),
        ("grant pg_read_server_files to {}", "acts for the role"),
        ("grant pg_signal_backend to {}", "acts for the role"),
        ("grant insert on shop.orders to {}", "can change shop.orders"),
        ("grant update (note) on shop.orders to {}", "can change shop.orders"),
        ("grant truncate on shop.orders to {}", "can change shop.orders"),
        ("alter table shop.orders owner to {}", "can change shop.orders"),
        ("create sequence shop.s; grant usage on sequence shop.s to {}", "can change shop.s"),
        ("grant create on schema shop to {}", "make objects in the schema shop"),
        ("grant create on database {1} to {0}", "make schemas"),
        ("grant execute on function pg_read_file(text) to {}", r"call pg_read_file\(text\)"),
        (
            "create function shop.peek() returns text language sql security definer"
            " return (select word from shop.secrets limit 1)",
            r"call shop\.peek\(\)",
        ),
        (
            "create function shop.dblink(text) returns text language sql return $1",
            r"call shop\.dblink\(text\)",
        ),
    ],
)
async def test_a_role_that_could_do_more_is_refused(
    granted: str, database: str, grant: sql.LiteralString, said: str
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        names = sql.Identifier(granted), sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL(grant).format(*names))
        with pytest.raises(SettingsError, match=said) as refused:
            await reader.read_rows("select 1")
    assert "create role reader login" in str(refused.value)


async def test_functions_that_the_role_cannot_call_are_no_fault_of_it(
    granted: str, database: str
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "create function shop.peek() returns text language sql security definer return 'x';"
            "revoke execute on function shop.peek() from public;"
            "create schema office;"
            "create function office.peek() returns text language sql security definer return 'x';"
            "create function shop.noted() returns trigger language plpgsql security definer"
            " as 'begin return new; end'"
        )
    assert (await reader.read_rows("select 1")).rows == [[1]]


async def test_the_tables_told_are_those_that_may_be_read(granted: str, database: str) -> None:
    [only] = await reader.readable_tables()
    assert only == reader.ReadableTable("shop.orders", ("id integer", "note text"))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create view shop.noted as select id from shop.orders")
        for grant in ("select (word) on shop.secrets", "select on shop.noted"):
            connection.execute(sql.SQL(f"grant {grant} to {{}}").format(sql.Identifier(granted)))
        connection.execute("alter table shop.secrets add hidden text")
    assert [(each.name, each.columns) for each in await reader.readable_tables()] == [
        ("shop.noted", ("id integer",)),
        ("shop.orders", ("id integer", "note text")),
        ("shop.secrets", ("word text",)),
    ]


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


@pytest.fixture
async def embedded(server_url: str, session_home: Path) -> AsyncIterator[str]:
    """The session's embedded server, which is the one in use; URL of its superuser."""
    await open_pool()
    yield ensure_running(session_home)
    await close_pool()


@pytest.mark.usefixtures("embedded")
async def test_the_embedded_server_has_a_role_that_reads_kept_corpora(session_home: Path) -> None:
    assert reader.is_configured()
    found = [table.name for table in await reader.readable_tables()]
    assert found == ["patterns.corpora", "patterns.corpus_records"]
    counted = await reader.read_rows("select count(*) as n from patterns.corpora")
    assert counted.columns == ("n",)
    with pytest.raises(InputError, match="permission denied"):
        await reader.read_rows("select * from patterns.calls")
    secret = session_home / "services" / "reader_password"
    assert secret.stat().st_mode & 0o777 == 0o600


async def test_what_is_granted_to_the_embedded_servers_role_stays_the_users(embedded: str) -> None:
    await reader.readable_tables()
    with psycopg.connect(embedded, autocommit=True) as connection:
        connection.execute("revoke select on patterns.corpora from patterns_reader")
        reader._password.cache_clear()  # as another process
        try:
            found = [table.name for table in await reader.readable_tables()]
        finally:
            connection.execute("grant select on patterns.corpora to patterns_reader")
    assert found == ["patterns.corpus_records"]


async def test_processes_that_need_the_embedded_servers_role_at_once_make_one(
    embedded: str, session_home: Path
) -> None:
    with psycopg.connect(embedded, autocommit=True) as connection:
        connection.execute("drop owned by patterns_reader; drop role patterns_reader")
    (session_home / "services" / "reader_password").unlink()
    reader._password.cache_clear()
    each = reader._password.__wrapped__
    made = await gather(*(to_thread(each, session_home, embedded) for _ in range(8)))
    assert len({*made}) == 1
    assert (await reader.read_rows("select 1 as one")).rows == [[1]]


async def test_a_password_that_was_lost_is_replaced(embedded: str, session_home: Path) -> None:
    await reader.readable_tables()
    (session_home / "services" / "reader_password").unlink()
    reader._password.cache_clear()
    assert (await reader.read_rows("select 1 as one")).rows == [[1]]
