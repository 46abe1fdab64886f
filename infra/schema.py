"""The schema, brought up to date by whoever connects first."""

from importlib.resources import files

import psycopg

from infra.connection import parameters, translated
from infra.errors import DatabaseError

_PGVECTOR = (0, 8)  # the first with iterative index scans
_LOCK = 7235  # any number, the same in every process


def migrate(url: str) -> None:
    """Bring the schema up to date, under an advisory lock: many processes may call at once.

    Raises DatabaseError when pgvector is missing or too old, or when the schema is newer than this
    program.
    """
    head = _head()
    with translated(), psycopg.connect(**parameters(url), autocommit=True) as connection:
        if _revision(connection, head) == head:
            return
        connection.execute("select pg_advisory_lock(%s)", [_LOCK])
        if _revision(connection, head) != head:
            _require_pgvector(connection)
            connection.execute("create schema if not exists patterns")
            _upgrade(url)


def _head() -> str:
    versions = files("infra.sql").joinpath("migrations/versions").iterdir()
    return max(file.name for file in versions if file.name.endswith(".sql")).split("_")[0]


def _revision(connection: psycopg.Connection, head: str) -> str | None:
    exists = connection.execute("select to_regclass('patterns.alembic_version')").fetchone()
    if not exists or exists[0] is None:
        return None
    row = connection.execute("select version_num from patterns.alembic_version").fetchone()
    if row and row[0] > head:
        raise DatabaseError(
            f"The database's schema ({row[0]}) is newer than this program ({head}). "
            "Update the program, or use another database."
        )
    return row[0] if row else None


def _require_pgvector(connection: psycopg.Connection) -> None:
    wanted = ".".join(map(str, _PGVECTOR))
    try:
        connection.execute("create extension if not exists vector with schema public")
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile) as error:
        raise DatabaseError(
            f"This PostgreSQL has no pgvector. Install version {wanted} or later (Debian and "
            "Ubuntu: postgresql-N-pgvector, Homebrew: pgvector, Docker: image pgvector/pgvector), "
            "or unset PATTERNS_DATABASE_URL to use the embedded PostgreSQL."
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            "The user of PATTERNS_DATABASE_URL may not create the extension pgvector. "
            "Let a superuser run in that database: create extension vector;"
        ) from error
    row = connection.execute("select extversion from pg_extension where extname = 'vector'")
    found = str(row.fetchall()[0][0])
    if tuple(map(int, found.split(".")[:2])) < _PGVECTOR:
        raise DatabaseError(
            f"This database has pgvector {found}, which is older than {wanted}. "
            "Install a later one, and let a superuser run: alter extension vector update;"
        )


def _upgrade(url: str) -> None:
    # Imported here: only a process that finds an old schema pays for it.
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", str(files("infra.sql").joinpath("migrations")))
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(**parameters(url)),
        poolclass=NullPool,
    )
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise error.orig from error
        raise
