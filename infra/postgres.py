"""The only door to PostgreSQL: one pool a process, and what runs in it.

The pool belongs to the running event loop and ends with it. Before it opens, the embedded server
is started where it is the one in use, and the schema is brought up to date.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from pgvector.psycopg import register_vector_async
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from infra.connection import checked_url, parameters, translated
from infra.embedded_postgres import ensure_running
from infra.schema import migrate
from infra.settings import get_settings
from infra.sql import queries

Connection = psycopg.AsyncConnection[DictRow]
_Pool = AsyncConnectionPool[Connection]

_pools: dict[asyncio.AbstractEventLoop, tuple[_Pool, AsyncGenerator[None]]] = {}
_opening: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


def database_url() -> str:
    """The user's PostgreSQL, or the embedded one, started when it is down. Blocks."""
    given = get_settings().database_url
    if given is None:
        return ensure_running(get_settings().home)
    return checked_url(given.get_secret_value(), "PATTERNS_DATABASE_URL")


@asynccontextmanager
async def transaction() -> AsyncIterator[Connection]:
    """A connection of the process's pool, in one transaction. Rows are dicts."""
    pool = await _pool()
    with translated():
        try:
            async with pool.connection() as connection, connection.transaction():
                yield connection
        except PoolTimeout:
            await asyncio.to_thread(_probe)  # raises the reason, which the pool only logs
            raise


async def fetch(name: str, params: Mapping[str, Any] | Sequence[Any] = ()) -> list[dict[str, Any]]:
    """Run the named statement in a transaction of its own and return its rows."""
    async with transaction() as connection:
        cursor = await connection.execute(queries()[name], params)
        return await cursor.fetchall() if cursor.description else []


async def close_pool() -> None:
    """Close this loop's pool, when there is one, before the loop ends."""
    pool, lifetime = _pools.pop(asyncio.get_running_loop(), (None, None))
    if pool and lifetime:
        await pool.close()
        await lifetime.aclose()


async def _pool() -> _Pool:
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        async with _opening.setdefault(loop, asyncio.Lock()):
            if loop not in _pools:
                pool = await _opened()
                lifetime = _until_the_loop_ends(loop, pool)
                await anext(lifetime)
                _pools[loop] = pool, lifetime
    return _pools[loop][0]


async def _opened() -> _Pool:
    await asyncio.to_thread(lambda: migrate(database_url()))
    pool = AsyncConnectionPool(
        _conninfo,
        connection_class=Connection,
        kwargs={"row_factory": dict_row},
        min_size=1,
        max_size=get_settings().database_connections,
        configure=_configure,
        check=AsyncConnectionPool.check_connection,
        timeout=30,
        open=False,
    )
    await pool.open()
    return pool


async def _until_the_loop_ends(
    loop: asyncio.AbstractEventLoop, pool: _Pool
) -> AsyncGenerator[None]:
    """A loop that ends closes its asynchronous generators, after it has cancelled its tasks, and
    with them the pool's workers: what is left to do is to close the idle connections."""
    try:
        yield
    finally:
        if _pools.pop(loop, None):
            await pool.drain()


async def _conninfo() -> str:
    # Asked for with each new connection: an embedded server that was killed is started again.
    return await asyncio.to_thread(lambda: make_conninfo(**parameters(database_url())))


def _probe() -> None:
    psycopg.connect(**parameters(database_url())).close()


async def _configure(connection: Connection) -> None:
    await register_vector_async(connection)
    await connection.commit()
