"""What a service has started, with real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.background import ensure_service, running_service, stop_service
from infra.strays import strays

NAME = "parent"
# A server whose child opens a session of its own and does not hear when it is asked to end.
PARENT = """
import subprocess, sys
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
import time; time.sleep(600)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "a hóme"
    yield folder
    stop_service(folder, NAME, patience=1)


def start(home: Path) -> int:
    def ready(port: int) -> bool:
        return len(strays(home, NAME)) == 2

    return ensure_service(home, NAME, lambda _: [sys.executable, "-c", PARENT], ready).pid


def test_what_a_service_has_started_ends_with_it(home: Path) -> None:
    start(home)
    assert stop_service(home, NAME, patience=1)
    assert strays(home, NAME) == set()


def test_what_a_killed_service_has_left_behind_ends_with_the_next_stop(home: Path) -> None:
    os.kill(start(home), signal.SIGKILL)
    while running_service(home, NAME):
        pass
    assert len(strays(home, NAME)) == 1
    assert not stop_service(home, NAME, patience=1)
    assert strays(home, NAME) == set()


def test_processes_of_others_are_left_alone(home: Path, tmp_path: Path) -> None:
    start(home)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        stop_service(home, NAME, patience=1)
        stop_service(tmp_path, NAME, patience=1)
        assert other.poll() is None
