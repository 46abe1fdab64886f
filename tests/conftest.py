"""What every test leans on: a data directory of the session's own, and databases that cost little.

`make test` starts the embedded PostgreSQL in a temporary ``PATTERNS_HOME``; a developer may name
another server with ``PATTERNS_TEST_DATABASE_URL`` (its user must be allowed to create databases).
Downloaded assets are kept between sessions, in ``PATTERNS_ASSETS`` or the user's cache directory.
"""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from hypothesis import settings
from platformdirs import user_cache_path
from psycopg import sql

from infra import embedded_postgres
from infra.background import stop_service
from infra.postgres import close_pool
from infra.schema import migrate
from infra.settings import get_settings
from tests.endpoint import ScriptedEndpoint

settings.register_profile("tests", deadline=None)  # a busy machine is no failure
settings.load_profile("tests")

_home = pytest.StashKey[Path]()
_server = pytest.StashKey[str | None]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", type=Path, help="Folder for what browser tests see.")


def pytest_configure(config: pytest.Config) -> None:
    """No test sees the developer's settings or data, and what is started is the session's own."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended by a time limit: clean up
    home = config.stash[_home] = Path(tempfile.mkdtemp(prefix="patterns-test-"))
    home.chmod(0o711)  # as root, PostgreSQL's account has to get through
    kept = {
        "PATTERNS_ASSETS": str(user_cache_path("patterns-test") / "assets"),
        **{key: os.environ[key] for key in ("PATTERNS_ASSETS",) if key in os.environ},
    }
    config.stash[_server] = os.environ.get("PATTERNS_TEST_DATABASE_URL")
    for name in [name for name in os.environ if name.startswith(("PATTERNS_", "PREFECT_"))]:
        del os.environ[name]
    # PyTorch's threads wait for each other, and tests train small models beside busy servers.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ |= {**kept, "PATTERNS_HOME": str(home), "PREFECT_HOME": str(home / "prefect")}


def pytest_unconfigure(config: pytest.Config) -> None:
    home = config.stash[_home]
    for lock in (home / "services").glob("*.lock"):
        if lock.stem != "postgres":
            stop_service(home, lock.stem)
    embedded_postgres.stop(home)
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def session_home(request: pytest.FixtureRequest) -> Path:
    """The session's PATTERNS_HOME."""
    return request.config.stash[_home]


@pytest.fixture(scope="session")
def prefect_server(session_home: Path) -> Iterator[None]:
    """Our own Prefect server, on PostgreSQL: flows of this process run on it.

    Not Prefect's test harness: its SQLite answers "database is locked" to the writes of a run's
    many tasks at once, and the client then waits for up to a minute.
    """
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    from deployments.server import use_server
    from infra.prefect_server import stop

    with pytest.MonkeyPatch.context() as patch:
        for name in ("PREFECT_API_URL", "PREFECT_HOME"):
            patch.setenv(name, "")  # to be as it was, in the end
            patch.delenv(name)
        use_server(session_home)
        yield
        # They would wait for a server that is gone when the process ends.
        APILogWorker.drain_all()
        EventsWorker.drain_all()
    stop(session_home)


@pytest.fixture(autouse=True)
def _settings_read_anew() -> Iterator[None]:
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> str:
    """A PostgreSQL in which the tests may create databases."""
    if given := request.config.stash[_server]:
        return given
    url = embedded_postgres.ensure_running(request.config.stash[_home])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("alter system set fsync = off")  # the session's data may be lost
        connection.execute("select pg_reload_conf()")
    return url


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """A migrated database, made once, of which every `database` is a copy."""
    name = f"patterns_template_{uuid4().hex}"
    _execute(server_url, "create database {}", name)
    migrate(_renamed(server_url, name))
    yield name
    _execute(server_url, "drop database {} with (force)", name)


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    """URL of a database without a schema. Nothing is set to it."""
    name = f"patterns_test_{uuid4().hex}"
    _execute(server_url, "create database {}", name)
    yield _renamed(server_url, name)
    _execute(server_url, "drop database {} with (force)", name)


@pytest.fixture
async def database(server_url: str, template: str) -> AsyncIterator[str]:
    """URL of a migrated database of the test's own, which ``PATTERNS_DATABASE_URL`` names."""
    name = f"patterns_test_{uuid4().hex}"
    _execute(server_url, "create database {} template {} strategy file_copy", name, template)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATTERNS_DATABASE_URL", _renamed(server_url, name))
        get_settings.cache_clear()
        yield _renamed(server_url, name)
        door = sys.modules.get("infra.llm")  # heavy: not imported for tests that need no model
        await (door.close_door() if door else close_pool())
    get_settings.cache_clear()
    _execute(server_url, "drop database {} with (force)", name)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedEndpoint]:
    """A scripted model that every role speaks to; a test may replace its ``answer``."""
    with ScriptedEndpoint() as scripted:
        monkeypatch.setenv("PATTERNS_CHAT_MODEL", "openai:scripted")
        monkeypatch.setenv("PATTERNS_CHAT_BASE_URL", scripted.base_url)
        get_settings.cache_clear()
        yield scripted
    get_settings.cache_clear()


def _execute(url: str, statement: sql.LiteralString, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _renamed(url: str, database: str) -> str:
    return urlsplit(url)._replace(path=f"/{database}").geturl()


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder to train, where there is PyTorch."""
    pytest.importorskip("torch", reason="training needs the extra `train`")
    from tests.tasks.tiny_specialists import tiny_encoder

    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wider encoder, which teaches."""
    pytest.importorskip("torch", reason="training needs the extra `train`")
    from tests.tasks.tiny_specialists import tiny_encoder

    return tiny_encoder(tmp_path_factory.mktemp("teacher"), width=48)


@pytest.fixture
def no_specialists(database: str, session_home: Path) -> None:
    """Numbers of specialists begin anew with each test's database, and so do their folders."""
    from tasks import specialist_serving

    shutil.rmtree(session_home / "specialists", ignore_errors=True)
    specialist_serving._loaded.cache_clear()
