"""The door for SQL that a model wrote: connections of a role that can do nothing but read.

The role logs in by itself. To act as it on a connection of ours would not do: one statement could
set the role back, and then read or call what only we may.
"""

import asyncio
import json
import math
import re
import secrets
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString, cast
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.types.string import TextLoader

from infra.background import exclusive
from infra.connection import checked_url, parameters, translated
from infra.embedded_postgres import ensure_running
from infra.errors import DatabaseError, DatabaseUnavailable, InputError, SettingsError
from infra.postgres import open_pool
from infra.settings import get_settings
from infra.sql import queries
from infra.storage import private_directory, write_private

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

MOST_ROWS = 200
MOST_BYTES = 500_000  # of all values of a result
_SECONDS = 10.0
# Behind a cursor PostgreSQL takes nothing but a query: no block of code, which could catch the end
# of its time and go on. First the query alone, of which nothing runs: its faults are told of
# itself, and it closes no bracket of what is put around it then. That refuses a large row before it
# is sent, by a cast, as SQL raises errors in no other way; `offset 0` keeps it from rows that the
# query leaves out.
_CURSORS = (
    sql.SQL("declare alone no scroll cursor for {query}"),
    sql.SQL("""
        declare answer no scroll cursor for
        select * from (select * from (
            {query}
        ) as answer offset 0) as "row of the answer"
        where case
            when octet_length("row of the answer"::text) <= {most} then true
            else ('patterns: too large' || left("row of the answer"::text, 0))::boolean
        end
    """),
)
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_AS_THEY_ARE = ("bool", "int2", "int4", "int8")
_NUMBERS = ("numeric", "float4", "float8")
_ROLE = "patterns_reader"
_DATABASE = "patterns"
_HOW = (
    "Make one: create role reader login password '…' nosuperuser; grant usage on schema S to "
    "reader; grant select on S.TABLE to reader; revoke create on schema public from public; revoke "
    "execute on function F from public, for each F that is named here; and name the role: "
    "PATTERNS_READER_URL=postgresql://reader:…@host/database."
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


async def read_rows(statement: str, *, limit: int = MOST_ROWS, seconds: float = _SECONDS) -> Rows:
    """The first rows of one query. Nothing of it is kept, whatever it called.

    Raises InputError with PostgreSQL's own words for one that it refuses, that takes too long, or
    whose result is too large; SettingsError for a role that could do more than read.
    """
    if _NO_TEXT.search(statement):
        raise InputError("The query holds signs that are no text: write it without them.")
    query = _sql(statement.rstrip("; \n\t\r"))
    async with _reading(seconds) as connection, psycopg.AsyncRawCursor(connection) as cursor:
        try:
            with translated():
                for each in _CURSORS:
                    declared = each.format(query=query, most=sql.Literal(MOST_BYTES))
                    # Prepared: the simple protocol would take several statements.
                    await cursor.execute(declared, prepare=True)
                return await _fetched(connection, limit)
        except DatabaseUnavailable as error:
            if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
                raise InputError(f"The query took over {seconds:g} s: ask for less.") from error
            raise
        except DatabaseError as error:
            if "patterns: too large" in str(error):
                raise _too_large() from error
            raise InputError(f"{error} Mend the query: one that only reads.") from error


async def _fetched(connection: "psycopg.AsyncConnection[Any]", limit: int) -> Rows:
    """What the cursor ``answer`` gives."""
    rows, size = list[list[Any]](), 0
    async with psycopg.AsyncRawCursor(connection) as cursor:
        await cursor.execute("fetch 0 from answer")  # a stream without rows tells no columns
        names = tuple(column.name for column in cursor.description or ())
        _load_as_json(cursor)
        # All with one statement: from the first row on, the query may have lifted the time limit.
        fetch = sql.SQL("fetch {} from answer").format(sql.Literal(limit + 1))
        stream = cast("AsyncGenerator[tuple[Any, ...]]", cursor.stream(fetch))
        async with aclosing(stream):
            async for row in stream:
                rows.append([*row])
                if (size := size + len(json.dumps(rows[-1]))) > MOST_BYTES:
                    raise _too_large()
    return Rows(names, rows[:limit], len(rows) > limit)


async def readable_tables() -> list[ReadableTable]:
    """What the role may read. Raises what `read_rows` raises."""
    async with _reading(_SECONDS) as connection:
        with translated():
            cursor = await connection.execute(queries()["readable_columns"])
            return [
                ReadableTable(name, tuple(columns)) for name, columns in await cursor.fetchall()
            ]


@asynccontextmanager
async def _reading(seconds: float) -> "AsyncIterator[psycopg.AsyncConnection[Any]]":
    """A connection of the role, in a read-only transaction of which nothing is kept: a commit
    would send off what the query notified."""
    url = await _url()
    settings = {**parameters(url), "client_encoding": "utf8"}
    with translated():
        async with await psycopg.AsyncConnection.connect(**settings) as connection:
            await connection.set_read_only(True)
            async with connection.transaction(force_rollback=True):
                timeout = sql.Literal(f"{max(1, round(seconds * 1000))}ms")
                await connection.execute(
                    sql.SQL("set local statement_timeout = {}").format(timeout)
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


def _embedded_url(home: Path) -> str:
    ours = ensure_running(home)
    parts = urlsplit(ours)
    place = f"{_ROLE}:{_password(home, ours)}@{parts.hostname}:{parts.port}"
    return parts._replace(netloc=place).geturl()


@cache
def _password(home: Path, url: str) -> str:
    """The password of the embedded server's role, which is made where it is missing."""
    folder = private_directory(home / "services")
    secret = folder / "reader_password"
    with exclusive(folder / "reader.lock"):  # two processes would make two passwords
        known = secret.exists()
        password = secret.read_text(encoding="utf-8") if known else secrets.token_urlsafe(24)
        with translated(), psycopg.connect(url) as connection:
            found = connection.execute("select from pg_roles where rolname = %s", [_ROLE])
            if not found.rowcount:
                _make_role(connection, password)
            elif not known:
                _execute(connection, "alter role {} password {}", sql.Literal(password))
        if not known:
            write_private(secret, password)
    return password


def _make_role(connection: "psycopg.Connection[Any]", password: str) -> None:
    """Make the role with what it may read at first. Later, `grant` and `revoke` are the user's."""
    _execute(connection, "create role {} login noinherit password {}", sql.Literal(password))
    _execute(connection, "grant connect on database {1} to {0}", sql.Identifier(_DATABASE))
    _execute(connection, "grant usage on schema patterns to {}")
    for name in _READABLE:
        _execute(connection, "grant select on {1} to {0}", sql.Identifier("patterns", name))


def _execute(
    connection: "psycopg.Connection[Any]", statement: LiteralString, *what: sql.Composable
) -> None:
    connection.execute(sql.SQL(statement).format(sql.Identifier(_ROLE), *what))


def _too_large() -> InputError:
    return InputError(f"The result has over {MOST_BYTES:,} bytes: ask for less.")


def _load_as_json(cursor: "psycopg.AsyncRawCursor[Any]") -> None:
    """Have it give what JSON has, and all else as the text that PostgreSQL writes."""
    for kind in psycopg.postgres.types:
        loader = _NumberLoader if kind.name in _NUMBERS else TextLoader
        if kind.name not in _AS_THEY_ARE:
            cursor.adapters.register_loader(kind.oid, loader)
        cursor.adapters.register_loader(kind.array_oid, TextLoader)


class _NumberLoader(TextLoader):
    """A number, where JSON has it: others, such as NaN, are text."""

    def load(self, data: Buffer) -> Any:
        text = str(super().load(data))
        number = float(text)
        if not math.isfinite(number):
            return text
        return number if {*text} & {*".e"} else int(text)


def _sql(text: str) -> sql.SQL:
    """A model's SQL: the role says what it can do."""
    return sql.SQL(text)
