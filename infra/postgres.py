"""The only door to PostgreSQL: one pool a process, migrations, errors translated once."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files
from typing import Any

import psycopg
from pgvector.psycopg import register_vector_async
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from infra.embedded_postgres import ensure_running
from infra.errors import DatabaseError, DatabaseUnavailable
from infra.settings import get_settings
from infra.sql import queries

Connection = psycopg.AsyncConnection[DictRow]

_MIGRATION_LOCK = 7235  # any number, the same in every process
_pools: dict[asyncio.AbstractEventLoop, AsyncConnectionPool[Connection]] = {}
_opening = asyncio.Lock()


def database_url() -> str:
    """The user's PostgreSQL, or the embedded one, started when it is down."""
    given = get_settings().database_url
    return given.get_secret_value() if given else ensure_running(get_settings().home)


@contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg's errors into ours: this is the border."""
    try:
        yield
    except (psycopg.OperationalError, PoolTimeout) as error:
        raise DatabaseUnavailable(
            f"PostgreSQL does not answer: {_first_line(error)}. "
            "See `patterns doctor`; PATTERNS_DATABASE_URL names the server."
        ) from error
    except psycopg.Error as error:
        raise DatabaseError(f"PostgreSQL refused a statement: {_first_line(error)}.") from error


@asynccontextmanager
async def transaction() -> AsyncIterator[Connection]:
    """A connection of the process's pool, in one transaction. Rows are dicts."""
    pool = await _pool()
    with translated():
        async with pool.connection() as connection, connection.transaction():
            yield connection


async def fetch(name: str, params: Mapping[str, Any] | Sequence[Any] = ()) -> list[dict[str, Any]]:
    """Run the named statement in a transaction of its own and return its rows."""
    async with transaction() as connection:
        cursor = await connection.execute(queries()[name], params)
        return await cursor.fetchall() if cursor.description else []


async def close_pool() -> None:
    """Close this loop's pool, when there is one."""
    pool = _pools.pop(asyncio.get_running_loop(), None)
    if pool:
        await pool.close()


def migrate(url: str) -> None:
    """Bring the schema up to date, under an advisory lock: many processes may call at once."""
    with translated(), psycopg.connect(url, autocommit=True) as connection:
        if _revision(connection) == _head():
            return
        connection.execute("select pg_advisory_lock(%s)", [_MIGRATION_LOCK])
        connection.execute("create extension if not exists vector with schema public")
        connection.execute("create schema if not exists patterns")
        if _revision(connection) != _head():
            _upgrade(url)


async def _pool() -> AsyncConnectionPool[Connection]:
    loop = asyncio.get_running_loop()
    if loop in _pools:
        return _pools[loop]
    async with _opening:
        if loop not in _pools:
            url = await asyncio.to_thread(database_url)
            await asyncio.to_thread(migrate, url)
            pool = AsyncConnectionPool(
                url,
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
            _pools[loop] = pool
    return _pools[loop]


async def _configure(connection: Connection) -> None:
    await register_vector_async(connection)
    await connection.commit()


def _head() -> str:
    versions = files("infra.sql").joinpath("migrations/versions").iterdir()
    return max(file.name for file in versions if file.name.endswith(".sql")).split("_")[0]


def _revision(connection: psycopg.Connection[Any]) -> str | None:
    exists = connection.execute("select to_regclass('patterns.alembic_version')").fetchone()
    if not exists or exists[0] is None:
        return None
    row = connection.execute("select version_num from patterns.alembic_version").fetchone()
    return row[0] if row else None


def _upgrade(url: str) -> None:
    # Imported here: only a process that finds an old schema pays for it.
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine

    config = Config()
    config.set_main_option("script_location", str(files("infra.sql").joinpath("migrations")))
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
