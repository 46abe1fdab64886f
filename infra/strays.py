"""Processes that a background service has started, found also when it was killed before them.

A service's environment carries a mark of its name and home, which what it starts inherits. Sessions
and process groups would not do: the flow runs of Prefect's runner open their own.
"""

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from infra.errors import EmbeddedServerError

_MARK = "PATTERNS_SERVICE_MARK"
_PROCESSES = Path("/proc")


def mark(home: Path, name: str) -> dict[str, str]:
    """The variable that a service is started with."""
    return {_MARK: f"{name}-{hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]}"}


def end_strays(home: Path, name: str, patience: float) -> None:
    """End what the service has left behind: ask it, and kill it after ``patience`` seconds.

    Raises EmbeddedServerError when something survives even that.
    """
    for by, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
        deadline, asked = time.monotonic() + seconds, set[int]()
        while left := strays(home, name):
            for pid in left - asked:
                with suppress(ProcessLookupError):
                    os.kill(pid, by)
            asked |= left
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        else:
            return
    raise EmbeddedServerError(f"What {name} has started does not end: processes {left}; kill them.")


def strays(home: Path, name: str) -> set[int]:
    """The service's processes, and all that they have started."""
    wanted = "=".join(*mark(home, name).items()).encode()
    return {pid for pid, variables in _environments() if wanted in variables}


def _environments() -> Iterator[tuple[int, list[bytes]]]:
    """Every process whose environment we may read, with its variables."""
    if _PROCESSES.is_dir():
        for folder in _PROCESSES.glob("[0-9]*"):
            with suppress(OSError):  # it has ended, or is another user's
                yield int(folder.name), (folder / "environ").read_bytes().split(b"\0")
        return
    told = subprocess.run(["ps", "-axEww", "-o", "pid=,command="], capture_output=True, check=True)
    for line in told.stdout.splitlines():
        pid, *words = line.split()
        yield int(pid), words
