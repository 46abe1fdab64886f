"""Scratch schemas: where SQL is run that nobody has looked at, and nothing else can be touched.

    role of its own ── may do nothing? ──▶ owns schema ── SQL of a model ──▶ records ──▶ all dropped

The role logs in by itself, as the one that reads for models does: SQL could set back a role that
our own connection had taken on. What it has made is read so, too: a policy of a table, or a cast,
is SQL that runs when it is read. Schema and role end with the block; those of a process that was
killed are dropped when the next one begins, which it knows by the lock that nobody holds any more.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, LiteralString
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from infra.cancellation import to_its_end
from infra.connection import parameters, translated
from infra.errors import DatabaseError, DatabaseUnavailable, SettingsError
from infra.guarded_tables import acting_as
from infra.postgres import Connection, alone, database_url, fetch, transaction
from infra.sql import queries

SECONDS = 5.0  # that SQL of a model may take
_NAME = re.compile(r"patterns_scratch_[0-9a-f]+")


@dataclass(frozen=True)
class Scratch:
    """A schema, owned by the role of the same name. ``script``: SQL that fills it."""

    name: str
    script: str = field(repr=False)
    url: str = field(repr=False)


def is_scratch(schema: str) -> bool:
    """Whether a schema is one of these."""
    return bool(_NAME.fullmatch(schema))


@asynccontextmanager
async def scratch(script: str) -> AsyncIterator[Scratch]:
    """A scratch schema with what the script makes, for as long as the block; then it is gone.

    Raises SettingsError where no such role can be made, or it could do more than read elsewhere.
    """
    await drop_stale()
    made = Scratch(f"patterns_scratch_{uuid4().hex[:8]}", script, "")
    async with alone(made.name):
        try:
            made = await _made(made)
            await refill(made)
            yield made
        finally:
            await to_its_end(_dropped(made.name))


async def refill(place: Scratch) -> None:
    """Make the schema as the script says, whatever is in it now."""
    async with transaction() as connection:
        await _execute(connection, "drop schema if exists {0} cascade", place.name)
        await _execute(connection, "create schema {0} authorization {0}", place.name)
        async with acting_as(connection, place.name):
            await _execute(connection, "set local search_path = {0}", place.name)
            await connection.execute(_sql(place.script))


async def run_unguarded(place: Scratch, statements: str) -> str:
    """Run SQL as it is, as the schema's owner; what PostgreSQL says against it, or nothing."""
    try:
        async with _logged_in(place) as connection:
            await connection.execute(_sql(statements))
    except TimeoutError:
        return f"It took over {SECONDS:g} s."
    except DatabaseUnavailable as error:
        if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            return f"It took over {SECONDS:g} s."
        raise
    except DatabaseError as error:
        return str(error)
    return ""


async def records(place: Scratch) -> dict[tuple[str, str], dict[str, Any]]:
    """Every record that there is, by table and key; the key is the column ``id``.

    Raises DatabaseError where what the owner has made of the tables lets nobody read them.
    """
    found = {}
    tables = await fetch("scratch_tables", {"schema": place.name})
    try:
        async with _logged_in(place) as connection:
            for row in tables:
                select = sql.SQL("select to_jsonb(t) as record from {} as t").format(
                    sql.Identifier(place.name, row["table"])
                )
                for each in await (await connection.execute(select)).fetchall():
                    record = each["record"]
                    found[row["table"], str(record.get("id"))] = record
    except TimeoutError as error:
        raise DatabaseError(f"Reading {place.name} took over {SECONDS:g} s.") from error
    return found


async def drop_stale() -> list[str]:
    """Drop what processes have left that were killed; the names."""
    async with transaction() as connection:
        left = await (await connection.execute(queries()["scratch_left"])).fetchall()
        for row in left:
            await _drop(connection, row["name"])
    return [row["name"] for row in left]


@asynccontextmanager
async def _logged_in(place: Scratch) -> AsyncIterator[Connection]:
    """A connection of the owner's. Raises TimeoutError for what takes too long, and ends it."""
    try:
        with translated():
            async with asyncio.timeout(SECONDS * 2):
                async with await psycopg.AsyncConnection.connect(
                    **parameters(place.url), autocommit=True, row_factory=dict_row
                ) as connection:
                    yield connection
    except TimeoutError:
        # SQL can catch that it is cancelled, and would go on with its locks.
        await fetch("end_sessions", {"role": place.name})
        raise


async def _made(place: Scratch) -> Scratch:
    password = secrets.token_urlsafe(24)
    try:
        async with transaction() as connection:
            await connection.execute(queries()["make_role"], {"role": place.name})
            await _execute(connection, "create schema {0}", place.name)
            await _execute(
                connection, "alter role {0} login password {1}", place.name, sql.Literal(password)
            )
            for setting in ("statement_timeout", "lock_timeout"):
                milliseconds = sql.Literal(f"{round(SECONDS * 1000)}ms")
                text = "alter role {0} set {1} = {2}"
                await _execute(connection, text, place.name, sql.Identifier(setting), milliseconds)
            await _execute(connection, "alter role {0} set search_path = {0}", place.name)
    except DatabaseUnavailable:
        raise
    except DatabaseError as error:
        raise SettingsError(
            f"A role of its own cannot be made, and SQL of a model runs as no other: {error} "
            "Let this database's user make roles: alter role … createrole."
        ) from error
    url = await asyncio.to_thread(_url_of, place.name, password)
    await _require_powerless(url)
    return Scratch(place.name, place.script, url)


async def _require_powerless(url: str) -> None:
    """Before it owns a schema the role may do nothing anywhere that changes anything."""
    with translated():
        async with await psycopg.AsyncConnection.connect(**parameters(url)) as connection:
            rows = await (await connection.execute(queries()["beyond_reading"])).fetchall()
    if rows:
        raise SettingsError(
            f"Every role of this database could do more than read: {rows[0][0]}. SQL of a model "
            "is not run here. Take that right from `public`, or try an embedded server."
        )


def _url_of(name: str, password: str) -> str:
    parts = urlsplit(database_url())
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{name}:{password}@{place}").geturl()


async def _dropped(name: str) -> None:
    async with transaction() as connection:
        await _drop(connection, name)


async def _drop(connection: Connection, name: str) -> None:
    await connection.execute(queries()["end_sessions"], {"role": name})
    found = await connection.execute(queries()["state_of_role"], {"role": name})
    if await found.fetchone():
        async with acting_as(connection, name):
            await _execute(connection, "drop owned by {0} cascade", name)
    await _execute(connection, "drop schema if exists {0} cascade", name)
    await _execute(connection, "drop role if exists {0}", name)


async def _execute(
    connection: Connection, statement: LiteralString, name: str, *what: sql.Composable
) -> None:
    await connection.execute(sql.SQL(statement).format(sql.Identifier(name), *what))


def _sql(text: str) -> sql.SQL:
    """A script of ours, or a model's SQL: the role says what it can do."""
    return sql.SQL(text)
