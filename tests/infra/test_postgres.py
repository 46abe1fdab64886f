"""The door to PostgreSQL, on a real one."""

import asyncio
import subprocess
import sys
import textwrap
from contextlib import suppress

import numpy as np
import psycopg
import pytest
from pgvector import HalfVector

from infra import postgres
from infra.errors import DatabaseError, DatabaseUnavailable, PatternsError, StorageError
from infra.postgres import Connection, alone, close_pool, fetch, repeated, transaction
from infra.settings import get_settings

_PATIENT = """
import asyncio.base_events
patient = property(lambda loop: 60.0, lambda loop, seconds: None)
asyncio.base_events.BaseEventLoop.slow_callback_duration = patient
"""


async def value(statement: str) -> object:
    async with transaction() as connection:
        row = await (await connection.execute(statement.encode())).fetchone()
    assert row is not None
    return row["value"]


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Python that reports every resource that it leaves open, on the database of the test; but not
    what asyncio finds slow in its development mode, which a busy machine is."""
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", _PATIENT + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_one_who_waits_for_another_says_so(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    order = list[str]()

    async def second() -> None:
        async with alone("collection a"):
            order.append("second")

    async with alone("collection a"):
        async with alone("collection b"):  # another thing
            assert not caplog.messages
        waiting = asyncio.create_task(second())
        async with asyncio.timeout(10):
            while not caplog.messages:
                await asyncio.sleep(0.01)
        order.append("first")
    await waiting
    assert order == ["first", "second"]
    assert caplog.messages == ["Another process is at collection a: waiting for it to end."]


async def test_vectors_go_in_and_come_out(database: str) -> None:
    vector = np.array([0.5, -1.25], dtype=np.float32)
    async with transaction() as connection:
        cursor = await connection.execute("select %s::halfvec as it", [HalfVector(vector)])
        row = await cursor.fetchone()
    assert row is not None
    assert row["it"].to_list() == vector.tolist()


async def test_a_transaction_that_fails_leaves_nothing(database: str) -> None:
    async with transaction() as connection:
        await connection.execute("create table patterns.things (id int)")
    with suppress(ZeroDivisionError):
        async with transaction() as connection:
            await connection.execute("insert into patterns.things values (1)")
            raise ZeroDivisionError
    assert await value("select count(*) as value from patterns.things") == 0


async def test_a_named_statement_gives_its_rows(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {"numbers": "select %(n)s::int as n", "nothing": "set local jit = off"}
    monkeypatch.setattr(postgres, "queries", lambda: named)
    assert await fetch("numbers", {"n": 3}) == [{"n": 3}]
    assert await fetch("nothing") == []


async def test_a_process_uses_no_more_connections_than_it_may(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_DATABASE_CONNECTIONS", "2")
    get_settings.cache_clear()

    async def one() -> object:
        return await value("select pg_backend_pid() as value from pg_sleep(0.02)")

    assert len(set(await asyncio.gather(*[one() for _ in range(12)]))) <= 2


async def test_connections_that_the_server_cut_are_replaced(database: str) -> None:
    before = await value("select pg_backend_pid() as value")
    with psycopg.connect(database, autocommit=True) as other:
        other.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
    assert await value("select pg_backend_pid() as value") != before


@pytest.fixture
async def dying(database: str) -> str:
    """A statement of which the connection breaks the first time that it is run."""
    async with transaction() as connection:
        await connection.execute("create sequence patterns.tries")
    first = "(select nextval('patterns.tries') as n)"
    return f"select n, pg_terminate_backend(case n when 1 then pg_backend_pid() end) from {first} t"


@pytest.mark.parametrize("safe", [True, False])
async def test_a_statement_whose_connection_breaks_is_run_again_where_that_is_safe(
    dying: str, monkeypatch: pytest.MonkeyPatch, safe: bool
) -> None:
    monkeypatch.setattr(postgres, "queries", lambda: {"dying": dying})
    monkeypatch.setattr(postgres, "repeatable", lambda: {"dying"} if safe else set())
    if safe:
        assert [row["n"] for row in await fetch("dying")] == [2]
    else:
        with pytest.raises(DatabaseUnavailable):
            await fetch("dying")
        assert await value("select last_value as value from patterns.tries") == 1


async def test_work_whose_connection_breaks_is_done_again_from_its_start(dying: str) -> None:
    async def work(connection: Connection) -> str:
        await connection.execute("create table patterns.made ()")
        await connection.execute(dying.encode())
        return "done"

    assert await repeated(work) == "done"
    assert await value("select last_value as value from patterns.tries") == 2
    assert await value("select to_regclass('patterns.made') is not null as value")


async def test_a_server_that_does_not_come_back_is_waited_for_no_longer_than_that(
    dying: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute(b"select pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(postgres, "_PATIENCE", 0.5)
    with pytest.raises(DatabaseUnavailable):
        await repeated(work)


async def test_a_server_that_is_not_there_is_an_error_that_may_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATTERNS_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/db")
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1.*PATTERNS_DATABASE_URL") as caught:
        await fetch("anything")
    assert caught.value.transient
    assert "hunter2" not in str(caught.value)


async def test_who_waits_in_vain_for_a_connection_learns_the_reason(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_DATABASE_CONNECTIONS", "1")
    get_settings.cache_clear()
    await value("select 1 as value")
    pool, _ = postgres._pools[asyncio.get_running_loop()]
    pool.timeout = 0.1
    monkeypatch.setenv("PATTERNS_DATABASE_URL", "postgresql://127.0.0.1:1/db")
    get_settings.cache_clear()
    await pool.drain()
    with pytest.raises(DatabaseUnavailable, match="port 1"):
        await value("select 1 as value")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("40P01", DatabaseUnavailable),  # deadlock
        ("40001", DatabaseUnavailable),  # serialization failure
        ("55P03", DatabaseUnavailable),  # lock not available
        ("53300", DatabaseUnavailable),  # too many connections
        ("57P01", DatabaseUnavailable),  # shut down by an administrator
        ("53100", StorageError),  # disk full
        ("23505", DatabaseError),  # unique violation
        ("42501", DatabaseError),  # insufficient privilege
        ("54000", DatabaseError),  # program limit exceeded
    ],
)
async def test_the_servers_errors_are_told_apart(
    database: str, code: str, kind: type[PatternsError]
) -> None:
    with pytest.raises(kind, match="so it goes") as caught:
        await value(f"do $$ begin raise 'so it goes' using errcode = '{code}'; end $$")
    assert caught.type is kind


def test_pools_end_with_their_loops_and_leave_nothing_open(database: str) -> None:
    done = run("""
        import asyncio, gc, psycopg, time
        from infra import postgres

        async def one():
            async with postgres.transaction() as connection:
                await connection.execute("select pg_sleep(0.02)")

        async def main():
            await asyncio.gather(*[one() for _ in range(8)])

        gc.disable()
        asyncio.run(main())
        asyncio.run(main())
        deadline, left = time.monotonic() + 5, 1
        with psycopg.connect(postgres.database_url(), autocommit=True) as connection:
            while left and time.monotonic() < deadline:
                left, = connection.execute(
                    "select count(*) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                ).fetchone()
        print(left)
    """)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_loop_ends_also_while_its_pool_waits_for_a_connection(database: str) -> None:
    done = run("""
        import asyncio
        from infra import postgres

        real = postgres._conninfo
        asked = 0

        async def conninfo():
            global asked
            asked += 1
            if asked > 1:
                await asyncio.sleep(3600)
            return await real()

        postgres._conninfo = conninfo

        async def main():
            async with postgres.transaction():
                other = asyncio.create_task(anext(postgres.transaction().gen))
                while asked < 2:
                    await asyncio.sleep(0.01)

        asyncio.run(main())
        print("ended")
    """)
    assert done.stdout == "ended\n"


async def test_a_closed_pool_opens_anew(database: str) -> None:
    await value("select 1 as value")
    await close_pool()
    await close_pool()
    assert await value("select 2 as value") == 2


@pytest.mark.usefixtures("database")
async def test_a_filtered_search_for_neighbours_goes_on_until_it_has_enough() -> None:
    async with transaction() as connection:
        found = await connection.execute("show hnsw.iterative_scan")
        assert await found.fetchall() == [{"hnsw.iterative_scan": "strict_order"}]
