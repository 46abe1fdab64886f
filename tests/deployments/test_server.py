"""Which Prefect server is meant."""

from pathlib import Path

import pytest

from deployments.server import find_server
from infra import prefect_server
from tests.deployments.conftest import Terminal

FIND = """
from pathlib import Path
from deployments.server import find_server
server = find_server(Path("data"))
print(server.url, server.named_by, server.ours, sep="|")
"""
PROFILE = """
active = "team"
[profiles.team]
PREFECT_API_URL = "http://prefect.example.org/api"
"""


@pytest.fixture(autouse=True)
def _nothing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)  # the session's own server
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))


def test_the_environment_names_the_server_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example.org/api")
    server = find_server(tmp_path)
    assert (server.url, server.ours) == ("http://prefect.example.org/api", False)


def test_the_users_profile_names_it_next(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text(PROFILE)
    done = terminal.python(FIND, PREFECT_HOME=str(tmp_path))
    assert done.stdout.strip() == "http://prefect.example.org/api|the Prefect profile team|False"


def test_else_it_is_ours_and_nothing_is_started_to_find_out(tmp_path: Path) -> None:
    server = find_server(tmp_path)
    assert (server.url, server.ours) == (None, True)
    assert prefect_server.running_url(tmp_path) is None


def test_our_own_address_in_the_environment_is_no_server_of_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "prefect.port").write_text("20999")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:20999/api")
    assert find_server(tmp_path).ours
