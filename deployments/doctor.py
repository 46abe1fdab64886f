"""`patterns doctor` and `patterns setup`: what is configured, running, missing; and to get it."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from deployments.terminal import AsJson, show, tell

if TYPE_CHECKING:
    from infra.settings import Settings

_MARKS = {"ok": "✓", "idle": "·", "broken": "✗"}
_ROOM = 2_000_000_000  # bytes free below which the next run may fill the disk


@dataclass(frozen=True)
class Check:
    """One thing that runs need. ``idle``: not running, and started when it is needed."""

    what: str
    state: Literal["ok", "idle", "broken"]
    found: str
    mend: str | None = None


def doctor(as_json: AsJson = False) -> None:
    """Show what is configured, running and missing, and how to mend it. Starts nothing.

    Exit status 1 when something is broken.
    """
    from infra.settings import get_settings

    checks = list(_checks(get_settings()))
    healthy = all(check.state != "broken" for check in checks)
    lines = [
        f"{_MARKS[check.state]} {check.what}: {check.found}"
        + (f"\n    → {check.mend}" if check.mend else "")
        for check in checks
    ]
    result = {"healthy": healthy, "checks": [asdict(check) for check in checks]}
    show(result, "\n".join(lines), as_json=as_json)
    raise typer.Exit(0 if healthy else 1)


def setup(as_json: AsJson = False) -> None:
    """Fetch what the settings need and is not here yet: PostgreSQL, model files. Once.

    With the extra `train`, also the encoders that specialists are trained with.
    """
    from infra.assets import ensure_asset
    from infra.embedded import needed_assets
    from infra.fine_tuning import DEFAULT_ENCODER, DEFAULT_TEACHER, lacking

    names = needed_assets() + ([] if lacking() else [DEFAULT_ENCODER, DEFAULT_TEACHER])
    folders = {name: str(ensure_asset(name)) for name in names}
    tell("Everything is here." if names else "The settings need nothing of ours.")
    show({"assets": folders}, "\n".join(folders.values()), as_json=as_json)


def _checks(settings: "Settings") -> Iterator[Check]:
    home = settings.home.absolute()
    yield _home(home)
    yield from _assets()
    yield _database(settings, home)
    yield from _roles(settings, home)
    yield _prefect(home)
    yield _deployments(home)
    yield from _models(settings, home)
    yield _training()
    yield _tools(settings)


def _tools(settings: "Settings") -> Check:
    """What agents and workflows may use besides what always is there."""
    from infra.errors import SettingsError
    from infra.read_only_database import is_configured
    from tasks.tools import registry

    try:
        further = [*registry()]
    except SettingsError as error:
        return Check("tools", "broken", str(error), "Mend or unset PATTERNS_TOOLS.")
    told = [f"further ones: {', '.join(further)}"] if further else []
    told.append("SQL" if is_configured() else "no SQL: PATTERNS_READER_URL is unset")
    hosts = ", ".join(settings.http_hosts)
    told.append(f"HTTP to {hosts}" if hosts else "no HTTP: PATTERNS_HTTP_HOSTS is unset")
    return Check("tools", "ok", "; ".join(told))


def _home(home: Path) -> Check:
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    found = f"{home}, {free / 1e9:.1f} GB free"
    if free < _ROOM:
        return Check("data directory", "broken", found, "Free some space or set PATTERNS_HOME.")
    return Check("data directory", "ok", found)


def _assets() -> Iterator[Check]:
    from infra.assets import find_asset
    from infra.embedded import needed_assets

    for name in needed_assets():
        folder = find_asset(name)
        if folder:
            yield Check(name, "ok", str(folder))
        else:
            yield Check(name, "broken", "not fetched yet", "patterns setup")


def _database(settings: "Settings", home: Path) -> Check:
    from infra.embedded_postgres import status

    if settings.database_url:
        url = settings.database_url.get_secret_value()
        return _probed("PostgreSQL", partial(_versions, url))
    state = status(home)
    if state.running:
        return Check("PostgreSQL", "ok", f"embedded {state.version}, port {state.port}")
    return Check("PostgreSQL", "idle", f"embedded {state.version}, started when it is needed")


def _versions(url: str) -> str:
    from infra.connection import checked_url
    from infra.health import database_versions

    return f"yours, {database_versions(checked_url(url, 'PATTERNS_DATABASE_URL'))}"


def _roles(settings: "Settings", home: Path) -> Iterator[Check]:
    """The roles of guarded writes, where PostgreSQL runs; what is wrong with it is said above."""
    from infra.embedded_postgres import status
    from infra.errors import PatternsError
    from infra.guarded_tables import role_statements
    from infra.health import missing_roles
    from infra.postgres import database_url

    if settings.database_url is None and not status(home).running:
        return
    roles = (settings.proposer_role, settings.applier_role)
    try:
        missing = missing_roles(database_url(), roles)
    except PatternsError:
        return
    if missing:
        mend = f"Guarded writes need them. Let a superuser run:\n{role_statements()}"
        yield Check("roles of guarded writes", "idle", f"missing: {', '.join(missing)}", mend)
    else:
        yield Check("roles of guarded writes", "ok", ", ".join(roles))


def _prefect(home: Path) -> Check:
    from deployments.server import find_server
    from infra.prefect_server import reachable

    server = find_server(home)
    where = f"{server.url}, named by {server.named_by}"
    if server.url is None:
        return Check("Prefect's server", "idle", "ours, started when it is needed")
    if not reachable(server.url):
        return Check(
            "Prefect's server", "broken", f"{where}, does not answer", "Start it or unset that."
        )
    return Check("Prefect's server", "ok", where)


def _deployments(home: Path) -> Check:
    from deployments.platform import SERVE
    from infra.background import running_service

    service = running_service(home, SERVE)
    if service:
        return Check("deployments", "ok", f"served by process {service.pid}, log {service.log}")
    return Check(
        "deployments", "idle", "not served: schedules and the UI's runs wait", "patterns up"
    )


def _models(settings: "Settings", home: Path) -> Iterator[Check]:
    from infra.providers import is_local, model_of

    for role in ("fast", "strong"):
        model = model_of(role)
        what = f"model of the role {role}"
        if is_local(model):
            yield _local_model(what, model, settings.local_model, home)
        elif settings.chat_base_url:
            key = settings.chat_api_key.get_secret_value() if settings.chat_api_key else None
            yield _probed(what, partial(_offered, model, settings.chat_base_url, key))
        else:
            yield Check(what, "ok", f"{model}, not asked")


def _local_model(what: str, model: str, file: Path | None, home: Path) -> Check:
    from infra import local_model

    if file and not file.expanduser().is_file():
        return Check(what, "broken", f"{file} is no file", "Mend or unset PATTERNS_LOCAL_MODEL.")
    running = local_model.running(home)
    if running:
        return Check(what, "ok", f"{model}, running at {running.base_url}")
    return Check(what, "idle", f"{model}, started when it is needed")


def _offered(model: str, base_url: str, key: str | None) -> str:
    from infra.health import endpoint_models

    names = endpoint_models(base_url, key)
    known = model.partition(":")[2] in names
    return f"{model} at {base_url}" + ("" if known or not names else ", which does not list it")


def _training() -> Check:
    from infra.assets import find_asset
    from infra.fine_tuning import DEFAULT_ENCODER, DEFAULT_TEACHER, GET_IT, lacking

    if missing := lacking():
        return Check("training of specialists", "idle", f"missing: {', '.join(missing)}", GET_IT)
    wanted = [each for each in (DEFAULT_ENCODER, DEFAULT_TEACHER) if not find_asset(each)]
    if wanted:
        found = f"PyTorch is there, not fetched yet: {', '.join(wanted)}"
        return Check("training of specialists", "idle", found, "patterns setup")
    return Check("training of specialists", "ok", "PyTorch and encoders are there")


def _probed(what: str, probe: Callable[[], str]) -> Check:
    from infra.errors import PatternsError

    try:
        return Check(what, "ok", probe())
    except PatternsError as error:
        return Check(what, "broken", str(error), "Mend the setting, or what it names.")
