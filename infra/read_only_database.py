"""The door for SQL that a model wrote: connections of a role that can do nothing but read.

The role logs in by itself. To act as it on a connection of ours would not do: one statement could
set the role back, and then read or call what only we may.
"""

import asyncio
import json
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from infra.connection import checked_url, parameters, translated
from infra.embedded_postgres import ensure_running
from infra.errors import DatabaseError, DatabaseUnavailable, InputError, SettingsError
from infra.postgres import open_pool
from infra.settings import get_settings
from infra.sql import queries
from infra.storage import private_directory, write_private

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MOST_ROWS = 200
MOST_BYTES = 500_000  # of all values of a result
_SECONDS = 10
_ROLE = "patterns_reader"
_HOW = (
    "Make one: create role reader login password '…' nosuperuser; grant usage on schema S to "
    "reader; grant select on S.TABLE to reader; revoke create on schema public from public; and "
    "name it: PATTERNS_READER_URL=postgresql://reader:…@host/database."
)
_READABLE = ("corpora", "corpus_records")  # of ours, to the role that is made here


@dataclass(frozen=True)
class Rows:
    """A result: rows of JSON values in the order of ``columns``; ``more``: it goes on."""

    columns: tuple[str, ...]
    rows: list[list[Any]]
    more: bool


@dataclass(frozen=True)
class ReadableTable:
    """What the role may read. ``name``: schema.table; ``columns``: name and type of each."""

    name: str
    columns: tuple[str, ...]


def is_configured() -> bool:
    """Whether there is a role that can only read: the user's, or that of the embedded server."""
    settings = get_settings()
    return settings.reader_url is not None or settings.database_url is None


async def read_rows(statement: str) -> Rows:
    """The first rows of one statement.

    Raises InputError with PostgreSQL's own words for one that it refuses, that takes too long, or
    whose result is too large; SettingsError for a role that could do more than read.
    """
    rows, size, more = list[list[Any]](), 0, False
    async with _reading() as connection, psycopg.AsyncRawCursor(connection) as cursor:
        try:
            with translated():
                # Streamed: not more than is told gets here, and it is one statement, prepared.
                async for row in cursor.stream(statement):
                    if more := len(rows) == MOST_ROWS:
                        break
                    rows.append([_plain(value) for value in row])
                    if (size := size + len(json.dumps(rows[-1]))) > MOST_BYTES:
                        raise InputError(f"The result has over {MOST_BYTES:,} bytes: ask for less.")
                names = tuple(column.name for column in cursor.description or ())
        except DatabaseUnavailable as error:
            if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
                raise InputError(f"The query took over {_SECONDS} s: ask for less.") from error
            raise
        except DatabaseError as error:
            raise InputError(f"{error} Mend the query: one that only reads.") from error
    return Rows(names, rows, more)


async def readable_tables() -> list[ReadableTable]:
    """What the role may read. Raises what `read_rows` raises."""
    async with _reading() as connection:
        with translated():
            cursor = await connection.execute(queries()["readable_columns"])
            return [
                ReadableTable(name, tuple(columns)) for name, columns in await cursor.fetchall()
            ]


@asynccontextmanager
async def _reading() -> "AsyncIterator[psycopg.AsyncConnection[Any]]":
    """A connection of the role, in a read-only transaction of some seconds."""
    url = await _url()
    with translated():
        connection = await psycopg.AsyncConnection.connect(**parameters(url))
    async with connection:
        with translated():
            await connection.set_read_only(True)
            await connection.execute(
                sql.SQL("set local statement_timeout = {}").format(sql.Literal(f"{_SECONDS}s"))
            )
            await _require_harmless(connection, url)
        yield connection


_harmless = set[str]()  # URLs of roles that were found to be


async def _require_harmless(connection: "psycopg.AsyncConnection[Any]", url: str) -> None:
    if url in _harmless:
        return
    cursor = await connection.execute(queries()["beyond_reading"])
    if found := [what for (what,) in await cursor.fetchall()]:
        raise SettingsError(
            f"The role of PATTERNS_READER_URL could do more than read: {'; '.join(found[:3])}. "
            f"{_HOW}"
        )
    _harmless.add(url)


async def _url() -> str:
    settings = get_settings()
    if settings.reader_url is not None:
        return checked_url(settings.reader_url.get_secret_value(), "PATTERNS_READER_URL")
    if settings.database_url is not None:
        raise SettingsError(
            f"PATTERNS_READER_URL is unset: SQL of a model needs a role that can only read. {_HOW}"
        )
    await open_pool()  # the tables that it may read are made by then
    return await asyncio.to_thread(_embedded_url, settings.home)


@cache
def _made(home: Path, url: str) -> str:
    """The password of the embedded server's role, which is made here."""
    secret = private_directory(home / "services") / "reader_password"
    if not secret.exists():
        write_private(secret, secrets.token_urlsafe(24))
    password = secret.read_text(encoding="utf-8")
    role = sql.Identifier(_ROLE)
    with translated(), psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute("select 1 from pg_roles where rolname = %s", [_ROLE])
        verb = sql.SQL("alter" if found.fetchone() else "create")
        statements = [
            sql.SQL("{} role {} login noinherit password {}").format(
                verb, role, sql.Literal(password)
            ),
            sql.SQL("grant usage on schema patterns to {}").format(role),
            *(
                sql.SQL("grant select on patterns.{} to {}").format(sql.Identifier(name), role)
                for name in _READABLE
            ),
        ]
        for statement in statements:
            connection.execute(statement)
    return password


def _embedded_url(home: Path) -> str:
    ours = ensure_running(home)
    parts = urlsplit(ours)
    password = _made(home, ours)
    return parts._replace(netloc=f"{_ROLE}:{password}@{parts.hostname}:{parts.port}").geturl()


def _plain(value: Any) -> Any:
    """The value as JSON has it; others as text."""
    if isinstance(value, Decimal):
        return float(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
