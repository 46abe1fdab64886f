"""`patterns up`, `down` and `env`: the platform of one machine."""

import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.terminal import AsJson, show, tell

if TYPE_CHECKING:
    from infra.background import Service

SERVE = "serve"  # the service that runs deployments
_POLL = "PREFECT_RUNNER_POLL_FREQUENCY"  # seconds
_PATIENCE = 180.0  # seconds to import and register every flow


def up(
    follow: Annotated[
        bool, typer.Option("--follow", help="Show the log of the deployments; Ctrl-C ends them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start the platform: PostgreSQL, Prefect's server with its UI, every deployment served.

    Deployed runs use the settings that this command sees. What runs already is left as it is.
    """
    from deployments.server import client_environment, ensure_server
    from infra.background import ensure_service, running_service
    from infra.postgres import database_url
    from infra.schema import migrate
    from infra.settings import get_settings
    from infra.storage import private_directory

    home = get_settings().home.absolute()
    tell("Starting PostgreSQL …")
    migrate(database_url())
    tell("Starting Prefect's server …")
    server = ensure_server(home)
    environment = client_environment(server, home) | {
        "PATTERNS_HOME": str(home),
        _POLL: os.environ.get(_POLL, "1"),  # by default a triggered run waits up to 10 s
        # The runner wants /tmp/runner_storage for itself, and so does every other user's.
        "TMPDIR": str(private_directory(home / "tmp")),
    }
    if running_service(home, SERVE):
        tell("The deployments are served already, with the settings and files of when that began.")
    else:
        tell("Serving the deployments …")
    service = ensure_service(
        home, SERVE, _command, _serves, environment=environment, patience=_PATIENCE
    )
    result = {"ui": server.ui, "api": server.url, "home": str(home), "log": str(service.log)}
    words = (
        f"Prefect's UI: {server.ui}\n`patterns worker` adds a worker for large summaries; "
        "`patterns down` stops everything."
    )
    show(result, words, as_json=as_json)
    if follow:
        _follow(service, home)


def down(as_json: AsJson = False) -> None:
    """Stop what we started: deployments, local model, Prefect's server, PostgreSQL.

    A server that you named yourself is not touched, nor a `patterns worker`: end it where it was
    started.
    """
    from infra import embedded_postgres, local_model, prefect_server
    from infra.background import stop_service
    from infra.settings import get_settings

    home = get_settings().home
    stopped = {
        "deployments": stop_service(home, SERVE),
        "local model": local_model.stop(home),
        "Prefect's server": prefect_server.stop(home),
        "PostgreSQL": embedded_postgres.stop(home),
    }
    names = [name for name, was_running in stopped.items() if was_running]
    show({"stopped": names}, f"Stopped: {', '.join(names) or 'nothing ran'}.", as_json=as_json)


def env(as_json: AsJson = False) -> None:
    """Print what plain Python and notebooks need to run flows: eval "$(patterns env)".

    Starts Prefect's server when it is down.
    """
    from deployments.server import client_environment, ensure_server
    from infra.settings import get_settings

    home = get_settings().home.absolute()
    variables = client_environment(ensure_server(home), home)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    show(variables, "\n".join(lines), as_json=as_json)


def _follow(service: "Service", home: Path) -> None:
    from infra.background import running_service, stop_service

    try:
        with service.log.open(encoding="utf-8", errors="replace") as log:
            while running_service(home, SERVE):
                sys.stderr.write(log.read())
                time.sleep(0.5)
    finally:
        stop_service(home, SERVE)


def _command(port: int) -> Sequence[str | Path]:
    return [sys.executable, "-m", "deployments.serve", str(port)]


def _serves(port: int) -> bool:
    from infra.prefect_server import responds

    return responds(f"http://127.0.0.1:{port}/")
