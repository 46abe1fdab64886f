"""The database that SQL sources are read from: read-only, outside the pool."""

import asyncio
import re
from datetime import datetime
from typing import Any

import psycopg

from infra.connection import checked_url, parameters, translated
from infra.postgres import database_url
from infra.settings import get_settings

_SINCE = re.compile(r"(?<![:\w]):since\b")


def takes_since(query: str) -> bool:
    """Whether the query has the parameter ``:since``."""
    return bool(_SINCE.search(query))


async def read(query: str, since: datetime | None) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names of the columns and rows of one query, in a read-only transaction of its own.

    ``:since`` in the query is the time given, or the infinite past without one.

    Raises DatabaseUnavailable, and DatabaseError for a query that PostgreSQL refuses, such as one
    that writes or several in one text.
    """
    with translated():
        async with await psycopg.AsyncConnection.connect(**await _parameters()) as connection:
            await connection.set_read_only(True)
            async with psycopg.AsyncRawCursor(connection) as cursor:
                # Prepared: the simple protocol would take several statements, and so a commit.
                await cursor.execute(
                    _SINCE.sub("$1::timestamptz", query),
                    [since or "-infinity"] if takes_since(query) else None,
                    prepare=True,
                )
                names = [column.name for column in cursor.description or ()]
                return names, await cursor.fetchall() if names else []


async def _parameters() -> dict[str, Any]:
    given = get_settings().source_database_url
    if given is None:
        return parameters(await asyncio.to_thread(database_url))
    return parameters(checked_url(given.get_secret_value(), "PATTERNS_SOURCE_DATABASE_URL"))
