"""Background servers, with real processes."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.background import Service, ensure_service, exclusive, running_service, stop_service
from infra.errors import EmbeddedServerError, StorageError

NAME = "web"


def serve(port: int) -> list[str]:
    return [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2):
            return True
    except OSError:
        return False


def start(home: Path) -> Service:
    return ensure_service(home, NAME, serve, ready)


def eventually(condition: Callable[[], object], patience: float = 20) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "a hóme"
    yield folder
    stop_service(folder, NAME, patience=1)


def test_whoever_comes_second_finds_the_first_ones_server(home: Path) -> None:
    assert start(home) == start(home)


def test_twenty_who_come_at_once_start_one_server(home: Path) -> None:
    with ThreadPoolExecutor(20) as pool:
        services = set(pool.map(lambda _: start(home), range(20)))
    assert len(services) == 1


def test_the_server_leads_a_process_group_of_its_own(home: Path) -> None:
    service = start(home)
    assert os.getpgid(service.pid) == os.getsid(service.pid) == service.pid != os.getpgid(0)


def test_a_stopped_server_is_gone_and_comes_back_on_the_same_port(home: Path) -> None:
    service = start(home)
    assert stop_service(home, NAME)
    assert not ready(service.port)
    assert running_service(home, NAME) is None
    assert not stop_service(home, NAME)
    assert start(home).port == service.port


def test_a_port_that_was_taken_meanwhile_is_given_up(home: Path) -> None:
    port = start(home).port
    stop_service(home, NAME)
    with socket.create_server(("127.0.0.1", port)):
        assert start(home).port != port


def test_a_killed_server_is_started_again(home: Path) -> None:
    service = start(home)
    os.kill(service.pid, signal.SIGKILL)
    eventually(lambda: running_service(home, NAME) is None)
    assert start(home).pid != service.pid


def test_a_server_that_dies_at_start_is_reported_with_the_end_of_its_log(home: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=r"web died at start[\s\S]*no such weights"):
        ensure_service(
            home, NAME, lambda _: [sys.executable, "-c", "exit('no such weights')"], ready
        )
    assert start(home)


def test_a_command_that_does_not_exist_is_reported(home: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="No such file"):
        ensure_service(home, NAME, lambda _: ["/no/such/program"], ready)


def test_a_server_that_does_not_answer_is_reported_and_can_be_stopped(home: Path) -> None:
    sleep = [sys.executable, "-c", "import time; print('loading', flush=True); time.sleep(600)"]

    def never(_: int) -> bool:
        eventually((home / "services" / "web.log").read_text)
        return False

    for _ in range(2):  # its starter, and one who finds it
        with pytest.raises(EmbeddedServerError, match=r"did not answer for 1 s[\s\S]*loading"):
            ensure_service(home, NAME, lambda _: sleep, never, patience=1)
    assert stop_service(home, NAME)


def test_a_server_that_ignores_the_signal_is_killed_with_its_children(home: Path) -> None:
    stubborn = textwrap.dedent("""
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(sys.argv[1:])
        time.sleep(600)
    """)
    service = ensure_service(
        home, NAME, lambda port: [sys.executable, "-c", stubborn, *serve(port)], ready
    )
    assert stop_service(home, NAME, patience=0.2)
    eventually(lambda: not ready(service.port))


KILLED_IN = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from infra.background import ensure_service
from test_background import serve

def die(port):
    os.kill(os.getpid(), signal.SIGKILL)

steps = {{"command": serve, "ready": bool}} | {{{step!r}: die}}
ensure_service(Path(sys.argv[1]), "web", **steps)
"""


def test_a_server_whose_starter_is_killed_goes_on(home: Path) -> None:
    run_killed(home, "ready")
    left = running_service(home, NAME)
    assert left is not None
    assert start(home) == left


def test_a_starter_killed_before_the_launch_blocks_nobody(home: Path) -> None:
    run_killed(home, "command")
    assert running_service(home, NAME) is None
    assert start(home)


def run_killed(home: Path, step: str) -> None:
    code, here = KILLED_IN.format(step=step), Path(__file__).parent
    starter = subprocess.run([sys.executable, "-c", code, home, here], check=False)
    assert starter.returncode == -signal.SIGKILL


def test_a_pid_in_the_lock_file_that_nobody_holds_is_not_believed(home: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (home / "services").mkdir(parents=True)
    (home / "services" / "web.lock").write_text(str(stranger.pid))
    (home / "services" / "web.port").write_text("20001")
    try:
        assert running_service(home, NAME) is None
        assert not stop_service(home, NAME)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_lock_is_held_on_by_a_child_of_a_killed_holder(tmp_path: Path) -> None:
    path = tmp_path / "file.lock"
    with exclusive(path) as descriptor:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[descriptor]
        )
    waiting = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from infra.background import exclusive\n"
            "with exclusive(Path(sys.argv[1])): pass",
            path,
        ]
    )
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1)
    child.communicate(b"\n")
    assert waiting.wait(20) == 0


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        start(tmp_path / "file" / "home")


def test_the_files_of_a_home_are_the_owners_alone(home: Path) -> None:
    start(home)
    assert (home / "services").stat().st_mode & 0o077 == 0
