"""Which Prefect server: PREFECT_API_URL names it, else the user's active profile, else it is ours.

Never the throw-away server that Prefect starts for a run when it is told of none: that one costs 20
seconds a run, has no UI and loses most of what it should record.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from infra import prefect_server
from infra.errors import SettingsError
from infra.prefect_defaults import DEFAULTS, set_defaults
from infra.storage import private_directory


@dataclass(frozen=True)
class Server:
    """A Prefect server. ``url`` of its API is None when it is ours and down."""

    url: str | None
    named_by: str
    ours: bool

    @property
    def ui(self) -> str:
        """Where a person looks at it."""
        return (self.url or "").removesuffix("/api")


def find_server(home: Path) -> Server:
    """The server that a run would use now. Starts nothing."""
    named = _named_by_environment(home) or _named_by_profile()
    return named or Server(prefect_server.running_url(home), "PATTERNS_HOME", ours=True)


def ensure_server(home: Path) -> Server:
    """The server that a run uses: ours is started when it is meant and down.

    Raises SettingsError when another one is meant and cannot be reached.
    """
    server = find_server(home)
    if server.ours:
        return Server(prefect_server.ensure_running(home), server.named_by, ours=True)
    if not (server.url and prefect_server.reachable(server.url)):
        raise SettingsError(
            f"The Prefect server {server.url}, named by {server.named_by}, cannot be reached. "
            "Start it, or unset that name to use the server in PATTERNS_HOME."
        )
    return server


def client_environment(server: Server, home: Path) -> dict[str, str]:
    """What a process needs in its environment to run flows on this server and no other."""
    address = {"PREFECT_API_URL": server.url or ""}
    if server.ours:
        address |= prefect_server.environment(home, server.url or "")
    return {**address, **{name: os.environ.get(name, value) for name, value in DEFAULTS.items()}}


def use_no_server(home: Path) -> None:
    """Keep what Prefect writes when it is imported out of the user's own directory, where its
    settings are ours to choose. Call it before tasks are imported without a run."""
    if find_server(home).ours:
        place = prefect_server.environment(home, "")["PREFECT_HOME"]
        os.environ["PREFECT_HOME"] = str(private_directory(Path(place)))


def use_server(home: Path) -> Server:
    """Make this process run its flows on the server. Call it before flows are imported."""
    server = ensure_server(home)
    os.environ |= client_environment(server, home)
    if "prefect" in sys.modules:  # it had to tell the profile, and has read its settings already
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
    return server


def _named_by_environment(home: Path) -> Server | None:
    url = os.environ.get("PREFECT_API_URL")
    # What `patterns env` prints names ours, which may be down by now.
    if not url or url == prefect_server.kept_url(home):
        return None
    return Server(url, "PREFECT_API_URL", ours=False)


def _named_by_profile() -> Server | None:
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml"))
    if not (profiles.exists() or "PREFECT_PROFILE" in os.environ):
        return None
    set_defaults()
    from prefect.settings import load_current_profile

    profile = load_current_profile()
    url = profile.to_environment_variables().get("PREFECT_API_URL")
    return Server(url, f"the Prefect profile {profile.name}", ours=False) if url else None
