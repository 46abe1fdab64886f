"""`patterns worker`: a worker of the pool that shards of large runs run on."""

import os
import signal
import sys
from typing import Annotated
from urllib.parse import urlsplit

import typer

from deployments.terminal import run_async, tell
from infra.errors import SettingsError

_QUERY, _HEARTBEAT = "PREFECT_WORKER_QUERY_SECONDS", "PREFECT_WORKER_HEARTBEAT_SECONDS"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def worker(
    limit: Annotated[int, typer.Option(min=1, help="Most shards that it runs at once.")] = 1,
    name: Annotated[
        str | None, typer.Option(help="What it is called in the UI. Unset: Prefect names it.")
    ] = None,
) -> None:
    """Start a worker that helps with runs of other processes or machines, until Ctrl-C.

    Its runs use the settings that this command sees: Prefect's server, database and models have to
    be those of the runs that it helps.
    """
    from deployments.server import client_environment, use_server
    from infra.postgres import database_url
    from infra.schema import migrate
    from infra.settings import get_settings
    from infra.storage import private_directory

    home = get_settings().home.absolute()
    server = use_server(home)
    _require_same_database(server.url or "")
    migrate(database_url())
    from deployments.serve import register_pooled
    from tasks.shards import POOL

    run_async(register_pooled())
    environment = client_environment(server, home) | {
        "PATTERNS_HOME": str(home),
        _QUERY: os.environ.get(_QUERY, "2"),  # by default a shard waits up to 10 s
        _HEARTBEAT: os.environ.get(_HEARTBEAT, "10"),  # so that a dead one is soon known to be
        "TMPDIR": str(private_directory(home / "tmp")),
    }
    tell(f"A worker of the pool {POOL} on {server.ui}, {limit} at once. Ctrl-C ends it.")
    called = ["--name", name] if name else []
    command = [
        *(sys.executable, "-m", "prefect", "--no-prompt", "worker", "start", "--pool", POOL),
        *("--type", "process", "--limit", str(limit), "--install-policy", "never"),
        *("--no-create-pool-if-not-found", *called),
    ]
    # A script's shell has what it starts with & ignore SIGINT, as which Prefect passes SIGTERM on.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execve(command[0], command, {**os.environ, **environment})  # signals are Prefect's to hear


def _require_same_database(server: str) -> None:
    """Raise SettingsError where the runs of another machine would be looked for in a database that
    is on this one alone."""
    from infra.settings import get_settings

    if get_settings().database_url is None and urlsplit(server).hostname not in _LOOPBACK:
        raise SettingsError(
            f"Prefect's server {server} is on another machine, and PATTERNS_DATABASE_URL is unset: "
            "name the PostgreSQL in which the runs of that server keep their work."
        )
