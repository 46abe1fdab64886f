"""Background servers: one a machine, started by whoever comes first, living on without him.

A service owns three files in ``PATTERNS_HOME/services``: ``NAME.lock``, ``NAME.port`` and
``NAME.log``. Whoever starts it takes an exclusive `flock` on the lock file and hands it down to the
server, which keeps it until it dies. So "locked" means "starting or running", whoever was killed
meanwhile, and the process that the file names is ours: no stale pid file, no recycled pid.
"""

import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from infra import launcher
from infra.errors import EmbeddedServerError
from infra.storage import private_directory, write_private, writing
from infra.strays import end_strays, mark
from infra.unprivileged import Account

LOOPBACK = "127.0.0.1"
_PORTS = range(20_000, 32_000)  # below every system's range for outgoing connections
_PAUSE = 0.05


@dataclass(frozen=True)
class Service:
    """A server that is starting or running."""

    name: str
    pid: int
    port: int
    log: Path


def ensure_service(
    home: Path,
    name: str,
    command: Callable[[int], Sequence[str | Path]],
    ready: Callable[[int], bool],
    *,
    environment: Mapping[str, str] | None = None,
    account: Account | None = None,
    patience: float = 60.0,
) -> Service:
    """The running service, started when it is down. Blocks: in async code, in a thread.

    ``command`` gets the port and returns an absolute path with its arguments; ``environment`` is
    added to ours; ``account`` is who root wants it to run as. ``ready`` gets the port and says
    whether the server answers; it is asked for at most ``patience`` seconds.

    Raises EmbeddedServerError with the end of the log when the server dies at start or does not
    answer, StorageError when ``home`` cannot be written.
    """
    lock = _file(home, name, "lock")
    deadline = time.monotonic() + patience
    while not ((service := running_service(home, name)) and ready(service.port)):
        with _opened(lock) as descriptor:
            if started := _try_lock(descriptor):
                _launch(home, name, command, environment, account, descriptor)
        if started:
            return _await_answer(home, name, ready, deadline)
        if time.monotonic() > deadline:
            raise _no_answer(home, name, patience)
        time.sleep(_PAUSE)
    return service


def running_service(home: Path, name: str) -> Service | None:
    """The service, when it is starting or running."""
    lock = _file(home, name, "lock")
    if not _is_locked(lock):
        return None
    try:
        pid = int(lock.read_text())
        return Service(name, pid, int(_file(home, name, "port").read_text()), log_of(home, name))
    except ValueError:  # locked and not yet named: its starter is at work
        return None


def stop_service(
    home: Path, name: str, *, by: signal.Signals = signal.SIGTERM, patience: float = 20.0
) -> bool:
    """Stop the service and wait for its end; false when it was not running.

    It is asked with the signal ``by``, and killed with its process group when it takes longer than
    ``patience`` seconds; then what it has started ends, too. Raises EmbeddedServerError when
    something survives even that.
    """
    was_running = _stop(home, name, by, patience)
    end_strays(home, name, patience)
    return was_running


def port_of(home: Path, name: str) -> int | None:
    """The port that the service has, or had when it ran last."""
    file = _file(home, name, "port")
    return int(file.read_text()) if file.exists() else None


def log_of(home: Path, name: str) -> Path:
    """Where the service writes its output; the log of the start before is beside it (.1)."""
    return _file(home, name, "log")


@contextmanager
def exclusive(path: Path) -> Iterator[int]:
    """Hold an exclusive lock on the file, waiting for it. Gives its descriptor: a child process
    that inherits it (``pass_fds``) holds the lock on when we are killed."""
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor


def _stop(home: Path, name: str, by: signal.Signals, patience: float) -> bool:
    lock = _file(home, name, "lock")
    deadline = time.monotonic() + patience
    while (service := running_service(home, name)) is None:
        if not _is_locked(lock) or time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    with suppress(ProcessLookupError):
        os.kill(service.pid, by)
    if not _await_end(lock, patience):
        with suppress(ProcessLookupError):
            os.killpg(service.pid, signal.SIGKILL)
        if not _await_end(lock, 10):
            raise EmbeddedServerError(f"{name} (process {service.pid}) does not end; kill it.")
    return True


def _file(home: Path, name: str, suffix: str) -> Path:
    return home / "services" / f"{name}.{suffix}"


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    private_directory(path.parent)
    with writing(path.parent):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # releases the lock, unless a child has inherited it


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    os.ftruncate(descriptor, 0)
    return True


def _is_locked(path: Path) -> bool:
    with writing(path.parent):
        if not path.exists():
            return False
        descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _launch(
    home: Path,
    name: str,
    command: Callable[[int], Sequence[str | Path]],
    environment: Mapping[str, str] | None,
    account: Account | None,
    lock: int,
) -> None:
    port = _kept_port(_file(home, name, "port"))
    log = log_of(home, name)
    who = [account.user, account.group] if account else [-1, -1]
    with writing(log.parent):
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        output = log.open("wb")
    with output:
        subprocess.run(
            [sys.executable, "-IS", launcher.__file__, *map(str, [lock, *who, *command(port)])],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {}), **mark(home, name)},
            pass_fds=[lock],
            check=False,  # whatever goes wrong is in the log, and frees the lock
        )


def _kept_port(file: Path) -> int:
    """The port that the service had before; another only when that is taken by now."""
    kept = [int(file.read_text())] if file.exists() else []
    for port in [*kept, *random.sample(_PORTS, 100)]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind((LOOPBACK, port))
                write_private(file, str(port))
                return port
    raise EmbeddedServerError(f"No free port for {file.stem} between 20000 and 32000.")


def _await_answer(home: Path, name: str, ready: Callable[[int], bool], deadline: float) -> Service:
    patience = deadline - time.monotonic()
    while time.monotonic() < deadline:
        if not _is_locked(_file(home, name, "lock")):
            raise EmbeddedServerError(f"{name} died at start. {_log_tail(home, name)}")
        service = running_service(home, name)
        if service and ready(service.port):
            return service
        time.sleep(_PAUSE)
    raise _no_answer(home, name, patience)


def _await_end(lock: Path, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while _is_locked(lock):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True


def _no_answer(home: Path, name: str, patience: float) -> EmbeddedServerError:
    return EmbeddedServerError(
        f"{name} is running but did not answer for {patience:.0f} s. Wait a while, or stop it "
        f"with `patterns down` and try again. {_log_tail(home, name)}"
    )


def _log_tail(home: Path, name: str, lines: int = 20) -> str:
    log = log_of(home, name)
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    tail = "\n".join(text.strip().splitlines()[-lines:]) or "(it wrote nothing)"
    return f"The end of {log}:\n{tail}"
