"""Backup and restore of what the embedded PostgreSQL and the data directory hold: one file.

It holds both databases (ours and that of Prefect's server) as pg_dump writes them, and the trained
specialists. Reports can be made again for nothing, model files fetched; they are left out. It holds
ticket text: it is written with mode 0600.
"""

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from infra import embedded_postgres
from infra.background import running_service
from infra.connection import parameters, translated
from infra.errors import DatabaseError, InputError, SettingsError, StorageError
from infra.schema import migrate
from infra.settings import get_settings
from infra.storage import writing

DATABASES = ("patterns", "prefect")
_FORMAT = 1
_ABOUT, _MODELS = "backup.json", "specialists"
_USERS = ("serve", "prefect")  # services that would write while a restore swaps


def back_up(file: Path) -> int:
    """Write a backup to a file, whole or not at all; its size in bytes.

    Runs go on meanwhile: each database is as it was at one moment. Raises SettingsError where the
    database is the user's own, StorageError, DatabaseError.
    """
    home = _home_of_embedded()
    with _beside(file) as draft, TemporaryDirectory(dir=draft.parent, prefix=".backup-") as made:
        folder = Path(made)
        for name in DATABASES:
            _run("pg_dump", home, name, "--format=custom", "--file", str(folder / f"{name}.dump"))
        about = {"format": _FORMAT, "made_at": datetime.now(UTC).isoformat()}
        (folder / _ABOUT).write_text(json.dumps(about))
        with writing(draft.parent), tarfile.open(draft, "w") as archive:
            for name in (_ABOUT, *(f"{each}.dump" for each in DATABASES)):
                archive.add(folder / name, name)
            if (home / _MODELS).is_dir():
                archive.add(home / _MODELS, _MODELS)
    return file.stat().st_size


def restore(file: Path) -> list[str]:
    """Bring back what a backup holds; what was there before is kept under other names, which are
    returned. Until all of it is there nothing changes.

    Raises SettingsError where the database is the user's own or something of ours is running,
    InputError for a file that is no backup, DatabaseError for one of a newer program.
    """
    home = _home_of_embedded()
    if not file.is_file():
        raise InputError(f"There is no file {file}. Name one that `patterns backup` has written.")
    if running := [name for name in _USERS if running_service(home, name)]:
        raise SettingsError(
            f"Running: {', '.join(running)}. Stop it with `patterns down`, then restore."
        )
    had_data = embedded_postgres.status(home).data.exists()
    migrate(embedded_postgres.ensure_running(home))  # makes the roles that the dumps grant to
    with _unpacked(file, home) as folder:
        for name in DATABASES:
            _create(home, _new(name))
            dump = str(folder / f"{name}.dump")
            _run("pg_restore", home, _new(name), "--exit-on-error", "--no-owner", dump)
        migrate(embedded_postgres.database_url(home, _new("patterns")))
        return _swap(home, folder, keep=had_data)


def _home_of_embedded() -> Path:
    settings = get_settings()
    if settings.database_url is not None:
        raise SettingsError(
            "PATTERNS_DATABASE_URL names a PostgreSQL of yours: back it up as you do others, such "
            "as with pg_dump --format=custom --schema=patterns. Unset it for the embedded one."
        )
    return settings.home.absolute()


@contextmanager
def _beside(file: Path) -> Iterator[Path]:
    """A private file that takes the place of ``file`` when all went well."""
    file = file.expanduser().absolute()
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with writing(file.parent):
        draft.touch(mode=0o600)
    try:
        yield draft
        with writing(file.parent):
            draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _unpacked(file: Path, home: Path) -> Iterator[Path]:
    """A folder in ``home`` with what the backup holds."""
    with TemporaryDirectory(dir=home, prefix=".restore-") as made:
        folder = Path(made)
        try:
            with writing(home), tarfile.open(file) as archive:
                archive.extractall(folder, filter="data")
            about = json.loads((folder / _ABOUT).read_text())
            wanted = [folder / f"{name}.dump" for name in DATABASES]
            if about["format"] != _FORMAT or not all(each.is_file() for each in wanted):
                raise InputError(f"{file} was made by another version of this program.")
        except (StorageError, tarfile.TarError, OSError, ValueError, KeyError) as error:
            raise InputError(f"{file} is no whole backup of `patterns backup`: {error}") from error
        yield folder


def _swap(home: Path, folder: Path, *, keep: bool) -> list[str]:
    """Put the restored databases and models in the place of those that are there."""
    now = f"{datetime.now(UTC):%Y%m%d_%H%M%S}"
    old = {name: f"{name}_before_{now}" for name in DATABASES}
    renamed = sql.SQL("alter database {} rename to {}")
    with _maintenance(home) as connection, connection.transaction():
        for name in DATABASES:
            for was, becomes in ((name, old[name]), (_new(name), name)):
                connection.execute(renamed.format(sql.Identifier(was), sql.Identifier(becomes)))
    models, before = home / _MODELS, home / f"{_MODELS}_before_{now}"
    with writing(home):
        if models.is_dir():
            models.rename(before)
        if (folder / _MODELS).is_dir():
            (folder / _MODELS).rename(models)
    if keep:
        return [*old.values(), *([before.name] if before.is_dir() else [])]
    with _maintenance(home) as connection:
        for name in old.values():
            connection.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))
    shutil.rmtree(before, ignore_errors=True)
    return []


def _create(home: Path, name: str) -> None:
    """An empty database, also where a restore that was killed has left one."""
    with _maintenance(home) as connection:
        for statement in ("drop database if exists {}", "create database {} template template0"):
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


@contextmanager
def _maintenance(home: Path) -> Iterator[psycopg.Connection]:
    url = embedded_postgres.database_url(home, "postgres")
    with translated(), psycopg.connect(**parameters(url), autocommit=True) as connection:
        yield connection


def _run(program: str, home: Path, database: str, *arguments: str) -> None:
    """A program of PostgreSQL's on a database. Its password stands in no command line."""
    to = urlsplit(embedded_postgres.database_url(home, database))
    command: Sequence[str] = [
        str(embedded_postgres.program(program)),
        *("--host", str(to.hostname), "--port", str(to.port), "--username", str(to.username)),
        *("--no-password", "--dbname", database, *arguments),
    ]
    done = subprocess.run(
        command,
        env={**os.environ, "PGPASSWORD": to.password or "", "PGSSLMODE": "disable"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DatabaseError(f"{program} failed for the database {database}: {done.stderr.strip()}")


def _new(database: str) -> str:
    return f"{database}_restored"
