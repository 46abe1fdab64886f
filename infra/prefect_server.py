"""Prefect's server, the real one: in the background, on loopback, its data in PATTERNS_HOME.

Its database is `prefect` in the embedded PostgreSQL, also where PATTERNS_DATABASE_URL names another
server for our own data: Prefect needs rights there (`create extension`) that we need not have.
PREFECT_SERVER_DATABASE_CONNECTION_URL in the environment overrides that. Prefect itself is never
imported here: it is a program that we start, and its settings are environment variables.
"""

import http.client
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path

from infra import embedded_postgres
from infra.background import LOOPBACK, ensure_service, port_of, running_service, stop_service
from infra.storage import private_directory

_NAME = "prefect"
DATABASE = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
_PATIENCE = 120.0  # seconds: the first start migrates an empty database

# Wanted unless the environment says otherwise. The batch sizes triple the rate at which task runs
# are recorded, to about 100/s; beyond its rate the server drops records without a word.
_PREFERENCES = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",  # its page of a run cannot answer a review
}

_anywhere = urllib.request.build_opener()
# A proxy for the internet does not lead to this machine.
_loopback = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ensure_running(home: Path) -> str:
    """The URL of our server's API, the server started when it is down. Blocks.

    Raises EmbeddedServerError with the end of its log when it does not start.
    """
    database = os.environ.get(DATABASE) or embedded_postgres.prefect_url(home)
    preferences = {name: os.environ.get(name, value) for name, value in _PREFERENCES.items()}
    settings = {
        **preferences,
        "PREFECT_HOME": str(private_directory(home.absolute() / "prefect")),
        "PREFECT_SERVER_API_HOST": LOOPBACK,
        DATABASE: database,
    }
    service = ensure_service(
        home, _NAME, _command, answers, environment=settings, patience=_PATIENCE
    )
    return api_url(service.port)


def running_url(home: Path) -> str | None:
    """The URL of our server's API, when it answers."""
    service = running_service(home, _NAME)
    return api_url(service.port) if service and answers(service.port) else None


def kept_url(home: Path) -> str | None:
    """The URL that our server has or had, as far as it ever ran."""
    port = port_of(home, _NAME)
    return api_url(port) if port else None


def stop(home: Path) -> bool:
    """Stop our server; false when it was not running."""
    return stop_service(home, _NAME)


def environment(home: Path, url: str) -> Mapping[str, str]:
    """What a process needs to use our server at ``url``; its stored results go to ``home``, too."""
    return {"PREFECT_API_URL": url, "PREFECT_HOME": str(home.absolute() / "prefect")}


def api_url(port: int) -> str:
    """The API's address."""
    return f"http://{LOOPBACK}:{port}/api"


def answers(port: int) -> bool:
    """Whether our server answers on the port."""
    return reachable(api_url(port))


def reachable(url: str) -> bool:
    """Whether a Prefect server answers at its API's address."""
    return responds(f"{url.rstrip('/')}/health")


def responds(url: str) -> bool:
    """Whether a healthy HTTP server is behind the URL, if only to ask who we are."""
    opener = _loopback if url.startswith(f"http://{LOOPBACK}:") else _anywhere
    try:
        with opener.open(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code < HTTPStatus.INTERNAL_SERVER_ERROR
    except (OSError, http.client.HTTPException):
        return False


def _command(port: int) -> Sequence[str | Path]:
    origins = f"http://{LOOPBACK}:{port},http://localhost:{port}"
    return [
        # The shell may carry a client's variables; the server would take them for its own.
        *("/usr/bin/env", "-u", "PREFECT_API_URL", "-u", "PREFECT_PROFILE"),
        # Variables, not options: the UI learns the API's address from them alone.
        f"PREFECT_SERVER_API_PORT={port}",
        f"PREFECT_SERVER_CORS_ALLOWED_ORIGINS={origins}",  # no other web page may use the API
        *(sys.executable, "-m", "prefect", "server", "start"),
    ]
