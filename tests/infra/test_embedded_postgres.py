"""The embedded PostgreSQL, in a home of its own: it is stopped, killed and tampered with here."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from tempfile import gettempdir
from urllib.parse import urlsplit

import psycopg
import pytest

from infra import assets
from infra.background import running_service
from infra.embedded_postgres import ensure_running, prefect_url, status, stop
from infra.errors import StorageError
from infra.postgres import close_pool, transaction
from infra.settings import get_settings
from infra.unprivileged import account_for, reachable_folder

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has accounts to choose from")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that root's PostgreSQL can reach, with an awkward name."""
    top = Path(tempfile.mkdtemp(prefix="patterns-test-"))
    top.chmod(0o711)
    folder = top / f"hóme of {'x' * 150}"
    folder.mkdir()
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(top)


@pytest.fixture(scope="module")
def started(place: Path) -> Iterator[tuple[Path, set[str]]]:
    """A home, and what twenty callers got who came after one that was killed as it made it."""
    code = (
        "import sys; from pathlib import Path; from infra.embedded_postgres import ensure_running\n"
        "ensure_running(Path(sys.argv[1]))"
    )
    starter = subprocess.Popen([sys.executable, "-c", code, place])
    while not any(place.glob("postgres/data*/*")):
        assert starter.poll() is None
        time.sleep(0.005)
    starter.kill()
    starter.wait()
    with ThreadPoolExecutor(20) as pool:
        urls = set(pool.map(lambda _: ensure_running(place), range(20)))
    yield place, urls
    stop(place)


@pytest.fixture
def home(started: tuple[Path, set[str]]) -> Path:
    ensure_running(started[0])
    return started[0]


def postmaster(home: Path) -> int:
    service = running_service(home, "postgres")
    assert service is not None
    return service.pid


def wait_until_down(home: Path) -> None:
    """The backends of a killed postmaster take a moment to notice."""
    while running_service(home, "postgres"):
        time.sleep(0.01)


def ask(url: str, statement: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return row and row[0]


def test_twenty_who_come_after_a_killed_start_get_one_server(
    started: tuple[Path, set[str]],
) -> None:
    assert len(started[1]) == 1


def test_it_has_pgvector_and_a_database_for_prefect(home: Path) -> None:
    url = ensure_running(home)
    assert ask(url, "select current_database()") == "patterns"
    assert ask(url, "select default_version from pg_available_extensions where name = 'vector'")
    for_prefect = urlsplit(prefect_url(home))
    assert for_prefect.scheme == "postgresql+asyncpg"
    plain = for_prefect._replace(scheme="postgresql", query="sslmode=disable").geturl()
    assert ask(plain, "select current_database()") == "prefect"


def test_it_asks_for_the_password_which_only_the_owner_reads(home: Path) -> None:
    url = ensure_running(home)
    password = urlsplit(url).password
    assert password
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.replace(password, "guess"))
    kept = home / "postgres" / "password"
    assert kept.read_text() == password
    assert kept.stat().st_mode & 0o077 == 0
    assert (home / "postgres" / "data").stat().st_mode & 0o077 == 0


def test_it_listens_on_loopback_alone_and_keeps_what_is_written(home: Path) -> None:
    url = ensure_running(home)
    assert ask(url, "show listen_addresses") == "127.0.0.1"
    assert ask(url, "show unix_socket_directories") == ""
    assert ask(url, "show fsync") == "on"
    assert ask(url, "show max_connections") == "200"


def test_its_log_does_not_hold_what_statements_say(home: Path) -> None:
    said = secrets.token_hex(8)
    with pytest.raises(psycopg.Error):
        ask(ensure_running(home), f'select 1/0 as "{said}"')
    service = running_service(home, "postgres")
    assert service is not None
    log = service.log.read_text()
    assert "division by zero" in log
    assert said not in log


def test_it_survives_a_client_that_is_killed(home: Path) -> None:
    before = postmaster(home)
    code = (
        "import os, sys; from pathlib import Path; import psycopg\n"
        "from infra.embedded_postgres import ensure_running\n"
        "connection = psycopg.connect(ensure_running(Path(sys.argv[1])))\n"
        "connection.execute('create table half_done()')\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, home], check=False).returncode == -9
    assert ask(ensure_running(home), "select to_regclass('half_done')") is None
    assert postmaster(home) == before


def test_after_a_stop_it_is_down_and_what_was_committed_comes_back_on_the_same_port(
    home: Path,
) -> None:
    url, name = ensure_running(home), f"kept_{secrets.token_hex(4)}"
    with psycopg.connect(url) as connection:
        connection.execute(f"create table {name}()".encode())
    assert stop(home)
    assert not stop(home)
    assert not status(home).running
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    assert ensure_running(home) == url
    assert ask(url, f"select to_regclass('{name}')") == name


def test_a_killed_postmaster_is_replaced_and_nothing_committed_is_lost(home: Path) -> None:
    url, name = ensure_running(home), f"kept_{secrets.token_hex(4)}"
    connection = psycopg.connect(url)
    connection.execute(f"create table {name}()".encode())
    connection.commit()
    os.kill(postmaster(home), signal.SIGKILL)
    assert ask(ensure_running(home), f"select to_regclass('{name}')") == name
    connection.close()


def test_a_pid_file_whose_pid_belongs_to_another_process_by_now_is_no_obstacle(home: Path) -> None:
    data = status(home).data
    lines = (data / "postmaster.pid").read_text().splitlines()
    stop(home)
    owner = data.stat()
    who = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    stranger = subprocess.Popen(["/bin/sleep", "600"], **who)  # type: ignore[call-overload]
    try:
        (data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
        assert ask(ensure_running(home), "select 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_server_that_somebody_started_by_hand_is_used_and_no_other_is_started(home: Path) -> None:
    service, url = running_service(home, "postgres"), ensure_running(home)
    assert service is not None
    arguments = Path(f"/proc/{service.pid}/cmdline")
    if not arguments.exists():
        pytest.skip("the server's command line is read from /proc")
    command = arguments.read_text().rstrip("\0").split("\0")
    owner = status(home).data.stat()
    stop(home)
    who = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd="/", **who) as byhand:  # type: ignore[call-overload]
        pid_file = status(home).data / "postmaster.pid"
        while not pid_file.exists() or str(byhand.pid) not in pid_file.read_text():
            assert byhand.poll() is None
            time.sleep(0.01)
        assert ensure_running(home) == url
        assert ask(url, "select 1") == 1
        assert running_service(home, "postgres") is None
        byhand.send_signal(signal.SIGINT)


def test_status_tells_what_there_is_and_touches_nothing(home: Path, tmp_path: Path) -> None:
    found = status(home)
    assert found.installed
    assert found.running
    assert found.port == urlsplit(ensure_running(home)).port
    assert (found.data / "PG_VERSION").exists()
    assert not status(tmp_path / "home").running
    assert not (tmp_path / "home").exists()


@pytest.fixture
async def used_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """The home, as the one of this process."""
    monkeypatch.setenv("PATTERNS_HOME", str(home))
    get_settings.cache_clear()
    yield home
    await close_pool()


async def test_a_pool_goes_on_after_its_server_was_killed(used_home: Path) -> None:
    home = used_home
    async with transaction() as connection:
        await connection.execute("create table if not exists patterns.kept()")
    os.kill(postmaster(home), signal.SIGKILL)
    await asyncio.to_thread(wait_until_down, home)
    async with transaction() as connection:
        assert await (await connection.execute("select from patterns.kept")).fetchall() == []


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=str(tmp_path / "file")):
        ensure_running(tmp_path / "file" / "home")


@needs_root
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=711", "x", tmp_path]).returncode:
        pytest.skip("no right to mount")
    try:
        # PostgreSQL's account has to get through, however deep pytest's folder is.
        for parent in takewhile(lambda p: p != Path(gettempdir()), tmp_path.parents):
            parent.chmod(0o711)
        with pytest.raises(StorageError, match=str(tmp_path)):
            ensure_running(tmp_path)
    finally:
        stop(tmp_path)
        subprocess.run(["umount", "-l", tmp_path], check=True)


@needs_root
def test_where_its_account_cannot_go_root_keeps_the_cluster_outside(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    account = account_for(tmp_path / "data")
    folder = reachable_folder(tmp_path / "postgres", account)
    try:
        assert tmp_path not in folder.parents
        assert (tmp_path / "postgres").resolve() == folder
        assert reachable_folder(tmp_path / "postgres", account) == folder
        assert tmp_path.stat().st_mode & 0o777 == 0o700
    finally:
        folder.rmdir()


@needs_root
def test_where_its_account_can_go_root_keeps_the_cluster_in_the_home(home: Path) -> None:
    assert (home / "postgres").resolve() == home / "postgres"
    assert status(home).data.stat().st_uid != 0


def test_the_programs_are_an_asset_and_no_import(home: Path) -> None:
    assert assets.find_asset("embedded-postgres")
    assert "embedded_postgres" not in sys.modules
