"""The only door to PostgreSQL: one pool a process, and what runs in it.

The pool belongs to the running event loop and ends with it. Before it opens, the embedded server
is started where it is the one in use, and the schema is brought up to date.

A server that restarts, or a connection that breaks, is waited for: for a connection, and with what
may be repeated, also when it breaks in the midst of it. That is a statement whose SQL says so, and
the work of `repeated`. Anything else ends with DatabaseUnavailable, as nobody knows how far it got.
"""

import asyncio
import logging
import random
import select
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, LiteralString, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import psycopg
from pgvector import HalfVector, SparseVector
from pgvector.psycopg import register_vector_async
from psycopg import sql
from psycopg.adapt import Dumper
from psycopg.conninfo import make_conninfo
from psycopg.pq import Format
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from infra.connection import checked_url, parameters, translated
from infra.embedded_postgres import ensure_running
from infra.errors import DatabaseUnavailable
from infra.schema import migrate
from infra.settings import get_settings
from infra.sql import queries, repeatable

__all__ = [
    "Connection",
    "HalfVector",
    "Jsonb",
    "SparseVector",
    "TsVector",
    "alone",
    "close_pool",
    "database_url",
    "fetch",
    "open_pool",
    "repeated",
    "statement",
    "transaction",
]

Connection = psycopg.AsyncConnection[DictRow]
_Pool = AsyncConnectionPool[Connection]
_log = logging.getLogger(__name__)
_NOWHERE = logging.NullHandler()
_PATIENCE = 30.0  # seconds, for a server that restarts
_PAUSE = (0.1, 0.5)  # seconds, at random, before what may be repeated is
T = TypeVar("T")


class TsVector(tuple[str, ...]):
    """Lexemes as a ``tsvector`` without places, for a binary COPY."""


class _TsVectorDumper(Dumper):
    format = Format.BINARY
    oid = psycopg.postgres.types["tsvector"].oid

    def dump(self, obj: TsVector) -> bytes:
        # As PostgreSQL's tsvectorsend has it: the count, then each with its end and 0 places.
        return len(obj).to_bytes(4) + b"".join([each.encode() + b"\0\0\0" for each in obj])


_pools: dict[asyncio.AbstractEventLoop, tuple[_Pool, asyncio.Task[None]]] = {}
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
    async with _connection() as connection, connection.transaction():
        yield connection


async def fetch(
    name: str, params: Mapping[str, Any] | Sequence[Any] = (), **numbers: int
) -> list[dict[str, Any]]:
    """Run the named statement, which is a transaction by itself, and return its rows.

    ``numbers``: what `statement` takes.
    """

    async def once() -> list[dict[str, Any]]:
        async with _connection() as connection:
            cursor = await connection.execute(statement(name, **numbers), params)
            return await cursor.fetchall() if cursor.description else []

    return await (_patiently(once) if name in repeatable() else once())


async def repeated(work: Callable[[Connection], Awaitable[T]]) -> T:
    """The result of work in one transaction, done again from its start when its connection breaks.

    It may do nothing but in the database, and twice must be the same as once: where the connection
    breaks in the commit, nobody knows whether that was done.
    """

    async def once() -> T:
        async with transaction() as connection:
            return await work(connection)

    return await _patiently(once)


def statement(name: str, **numbers: int) -> LiteralString | sql.Composed:
    """The named statement, with numbers in the places ``{number}`` where no parameter can stand:
    in the name of a table, in a type."""
    text = queries()[name]
    return _with_numbers(text, tuple(numbers.items())) if numbers else text


@asynccontextmanager
async def alone(what: str) -> AsyncIterator[None]:
    """Wait until nobody else, in any process, is in here for the same thing.

    The lock is that of a connection beside the pool's, and ends with it or with the process.
    """
    with translated():
        conninfo = await _conninfo()
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
            found = await connection.execute(queries()["try_lock"], {"what": what})
            if not (await found.fetchone() or (False,))[0]:
                _log.warning("Another process is at %s: waiting for it to end.", what)
                await connection.execute(queries()["take_lock"], {"what": what})
            yield


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    await _pool()  # a server that was never there is no broken connection
    patience = time.monotonic() + _PATIENCE
    while True:
        try:
            return await work()
        except DatabaseUnavailable as error:
            if time.monotonic() > patience:
                raise
            _log.warning("Trying again: %s", error)
            await asyncio.sleep(random.uniform(*_PAUSE))


@lru_cache(maxsize=1024)
def _with_numbers(text: LiteralString, numbers: tuple[tuple[str, int], ...]) -> sql.Composed:
    return sql.SQL(text).format(**{name: sql.Literal(number) for name, number in numbers})


async def open_pool() -> None:
    """Open this loop's pool now, and not with the first statement."""
    await _pool()


async def close_pool() -> None:
    """Close this loop's pool, when there is one, before the loop ends."""
    _, keeper = _pools.get(asyncio.get_running_loop(), (None, None))
    if keeper:
        keeper.cancel()
        await asyncio.wait([keeper])


@asynccontextmanager
async def _connection() -> AsyncIterator[Connection]:
    pool = await _pool()
    with translated():
        try:
            async with pool.connection() as connection:
                yield connection
        except PoolTimeout:
            await asyncio.to_thread(_probe)  # raises the reason, which the pool only logs
            raise


async def _pool() -> _Pool:
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        async with _opening.setdefault(loop, asyncio.Lock()):
            if loop not in _pools:
                await asyncio.to_thread(lambda: migrate(database_url()))
                connections = WeakSet[Connection]()
                pool = _unopened(connections)
                before = asyncio.all_tasks()
                await pool.open()
                workers = asyncio.all_tasks() - before
                _pools[loop] = pool, loop.create_task(_keep(pool, workers, connections))
    return _pools[loop][0]


def _unopened(connections: WeakSet[Connection]) -> _Pool:
    async def configure(connection: Connection) -> None:
        connections.add(connection)
        await register_vector_async(connection)
        connection.adapters.register_dumper(TsVector, _TsVectorDumper)
        # A filtered search goes on until it has as many as it wants, not the index's first forty.
        await connection.execute("set hnsw.iterative_scan = strict_order")
        await connection.execute("set hnsw.ef_search = 100")
        # To launch workers takes longer than most statements, also where they turn out needless.
        await connection.execute("set max_parallel_workers_per_gather = 0")

    # What keeps it from connecting is raised by `_probe`: not for stderr as well.
    logging.getLogger("psycopg.pool").addHandler(_NOWHERE)
    return AsyncConnectionPool(
        _conninfo,
        connection_class=Connection,
        kwargs={"row_factory": dict_row, "autocommit": True},
        min_size=1,
        max_size=get_settings().database_connections,
        configure=configure,
        check=_check,
        timeout=_PATIENCE,
        open=False,
    )


async def _check(connection: Connection) -> None:
    """Ask a connection on which something has arrived unasked whether it still lives: so a server
    says that it ends. To ask each one would be a round trip more for every statement."""
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    if waiting.poll(0):
        await AsyncConnectionPool.check_connection(connection)


async def _keep(
    pool: _Pool, workers: set[asyncio.Task[Any]], connections: WeakSet[Connection]
) -> None:
    """Close the pool when we are cancelled, which a loop that ends does to all its tasks.

    It does so to the pool's workers as well. Idle ones die of it, so that closing the pool ends
    with their CancelledError and leaves connections open; one that is just connecting takes no
    notice, and would keep the loop from ending if the pool were not closed.
    """
    loop = asyncio.get_running_loop()
    try:
        await loop.create_future()
    finally:
        del _pools[loop]
        try:
            await pool.close()
        finally:
            await asyncio.wait(workers)
            for connection in list(connections):
                await connection.close()


async def _conninfo() -> str:
    # Asked for with each new connection: an embedded server that was killed is started again.
    return await asyncio.to_thread(lambda: make_conninfo(**parameters(database_url())))


def _probe() -> None:
    psycopg.connect(**parameters(database_url())).close()
