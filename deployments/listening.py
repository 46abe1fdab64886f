"""`patterns serve`: the prompt service over HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.terminal import tell
from infra.errors import InputError


def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8420,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the prompts over HTTP until Ctrl-C, also as an OpenAI-compatible model."""
    import uvicorn

    from deployments.server import use_no_server
    from infra.postgres import database_url
    from infra.schema import migrate
    from infra.settings import get_settings

    home = get_settings().home.absolute()
    use_no_server(home)
    from prefect.logging.configuration import setup_logging

    from deployments.http import create_app

    _require_free(host, port)
    migrate(database_url())
    given, kept = get_settings().http_token, home / "http_token"
    token = given.get_secret_value() if given else _kept_token(kept)
    whose = "PATTERNS_HTTP_TOKEN" if given else kept
    tell(f"http://{host}:{port}/v1 answers to the bearer token in {whose}. Ctrl-C ends it.")
    setup_logging()  # the same as of runs: its variables are PREFECT_LOGGING_*
    uvicorn.run(create_app(token), host=host, port=port, log_config=None)


def _require_free(host: str, port: int) -> None:
    """Raise InputError now for an address that nobody can listen on, not after a start."""
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            raise InputError(
                f"Nobody can listen on {host}:{port}: {error.strerror}. Choose another with "
                "--port or --host."
            ) from error


def _kept_token(file: Path) -> str:
    """A token that is made once and kept."""
    import secrets

    from infra.storage import private_directory, write_private

    if not file.exists():
        private_directory(file.parent)
        write_private(file, secrets.token_urlsafe(32))
    return file.read_text(encoding="utf-8").strip()
