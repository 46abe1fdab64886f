"""Scratch schemas: what runs there touches nothing else, and nothing of it stays."""

import asyncio
import os
import signal
import subprocess
import sys

import psycopg
import pytest

from infra.errors import DatabaseError, SettingsError
from infra.scratch import drop_stale, is_scratch, records, refill, run_unguarded, scratch

SCRIPT = "create table things (id int primary key, name text); insert into things values (1, 'a')"
THING = ("things", "1")
# Runs when the table is read, and gives up the role of whoever reads it.
PLANTED = """
create function {kind} language plpgsql as $$ begin
    perform set_config('role', 'none', true); delete from other.things; return {value}; end $$;
"""
POLICY = (
    PLANTED.format(kind="planted() returns boolean", value="true")
    + """
create policy planted on things using (planted());
alter table things enable row level security;
alter table things force row level security
"""
)
CAST = (
    "create type planted as enum ('x');"
    + PLANTED.format(kind="planted(planted) returns json", value="'{}'")
    + """
create cast (planted as json) with function planted(planted);
alter table things add column other planted;
update things set other = 'x'
"""
)
STUBBORN = """
set statement_timeout = 0;
do $$ begin
    lock table things;
    for i in 1..60 loop
        begin perform pg_sleep(1); exception when query_canceled then null; end;
    end loop;
end $$
"""
# Holds a scratch schema until it is killed.
HOLDER = f"""
import asyncio
from infra.scratch import scratch
async def hold():
    async with scratch({SCRIPT!r}) as place:
        print(place.name, flush=True)
        await asyncio.sleep(600)
asyncio.run(hold())
"""

pytestmark = pytest.mark.usefixtures("database")


def names(database: str) -> tuple[list[str], list[str]]:
    """Scratch schemas and roles that there are."""
    with psycopg.connect(database) as connection:
        schemas = connection.execute("select nspname::text from pg_namespace").fetchall()
        roles = connection.execute("select rolname::text from pg_roles").fetchall()
    return ([n for (n,) in schemas if is_scratch(n)], [n for (n,) in roles if is_scratch(n)])


async def test_sql_is_run_as_it_is_and_the_schema_is_as_new_again(database: str) -> None:
    async with scratch(SCRIPT) as place:
        assert await run_unguarded(place, "update things set name = 'b'; select 1") == ""
        assert (await records(place))[THING]["name"] == "b"
        assert await run_unguarded(place, "drop table things; create table x (id int)") == ""
        assert await records(place) == {}
        await refill(place)
        assert await records(place) == {THING: {"id": 1, "name": "a"}}
        assert names(database)[0] == [place.name]
    assert not {place.name} & {*names(database)[0], *names(database)[1]}


@pytest.mark.parametrize(
    "statement",
    [
        "insert into other.things values (1)",
        "delete from patterns.ledger",
        "create table public.mine (id int)",
        "create schema mine",
        "create role mine",
        "set role postgres",
        "reset session authorization; delete from other.things",
        "copy things to program 'id'",
        "copy things from '/etc/passwd'",
        "select lo_import('/etc/passwd')",
        "create extension dblink",
        "do $$ begin execute 'delete from other.things'; end $$",
        "alter table things set schema public",
        "not even SQL",
    ],
)
async def test_nothing_else_can_be_touched(database: str, statement: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create schema other; create table other.things (id int)")
        connection.execute("insert into other.things values (7)")
    async with scratch(SCRIPT) as place:
        before = await records(place)
        assert "refused" in await run_unguarded(place, statement)
        assert await records(place) == before
    with psycopg.connect(database) as connection:
        assert connection.execute("select * from other.things").fetchall() == [(7,)]


@pytest.mark.parametrize("planted", [POLICY, CAST], ids=["a policy", "a cast"])
async def test_what_was_planted_for_the_reader_can_touch_nothing_else(
    database: str, planted: str
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create schema other; create table other.things (id int)")
        connection.execute("insert into other.things values (7)")
    async with scratch(SCRIPT) as place:
        assert await run_unguarded(place, planted) == ""
        with pytest.raises(DatabaseError, match="permission denied for schema other"):
            await records(place)
        await refill(place)
        assert await records(place) == {THING: {"id": 1, "name": "a"}}
    with psycopg.connect(database) as connection:
        assert connection.execute("select * from other.things").fetchall() == [(7,)]


async def test_what_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.scratch.SECONDS", 0.3)
    async with scratch(SCRIPT) as place:
        assert "took over" in await run_unguarded(place, "select pg_sleep(30)")
        endless = "set statement_timeout = 0; select pg_sleep(30)"
        assert "took over" in await run_unguarded(place, endless)
        assert "took over" in await run_unguarded(place, STUBBORN)
        async with asyncio.timeout(10):
            await refill(place)  # nobody holds the table any more


async def test_after_an_error_and_after_a_cancellation_nothing_is_left(database: str) -> None:
    with pytest.raises(ZeroDivisionError):
        async with scratch(SCRIPT):
            raise ZeroDivisionError
    began = asyncio.Event()

    async def hold() -> None:
        async with scratch(SCRIPT):
            began.set()
            await asyncio.sleep(600)

    holding = asyncio.create_task(hold())
    await began.wait()
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    assert names(database)[0] == []


async def test_what_a_killed_process_has_left_is_dropped_and_what_is_in_use_is_not(
    database: str,
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        env={**os.environ, "PATTERNS_DATABASE_URL": database},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    left = holder.stdout.readline().strip()
    async with scratch(SCRIPT) as place:
        assert {left, place.name} <= {*names(database)[0]}  # both are in use
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
        async with asyncio.timeout(30):
            while left not in await drop_stale():
                await asyncio.sleep(0.1)
        assert names(database)[0] == [place.name]
    assert not {left} & {*names(database)[0], *names(database)[1]}


async def test_where_everybody_could_write_no_sql_of_a_model_is_run(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create schema other; create table other.things (id int)")
        connection.execute("grant usage on schema other to public")
        connection.execute("grant insert on other.things to public")
    with pytest.raises(SettingsError, match=r"it can change other\.things"):
        async with scratch(SCRIPT):
            pytest.fail("it was run")
    assert names(database)[0] == []
