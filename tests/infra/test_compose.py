"""The team's set-up, as far as it can be checked without an engine that runs containers."""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from deployments import cli
from infra.prefect_server import _PREFERENCES
from infra.settings import Settings

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
FILES = ("compose.yaml", "compose.servers.yaml")


class Loader(yaml.SafeLoader):
    """Knows the one tag of Compose that stands in these files."""


Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))


def compose(name: str) -> dict[str, Any]:
    return dict(yaml.load((INFRA / name).read_text(encoding="utf-8"), Loader))


SERVICES = compose("compose.yaml")["services"]
OURS = {name: each for name, each in SERVICES.items() if each["image"] == "llm-pattern-flows"}


def variables() -> Iterator[tuple[str, str, str]]:
    for service, declared in SERVICES.items():
        for name, value in declared.get("environment", {}).items():
            yield service, name, str(value)


def test_every_variable_of_ours_is_a_setting() -> None:
    known = {f"PATTERNS_{name.upper()}" for name in Settings.model_fields}
    named = {name.removesuffix("_FILE") for _, name, _ in variables()}
    assert {name for name in named if name.startswith("PATTERNS_")} <= known


def test_the_teams_prefect_server_is_set_as_our_own_is() -> None:
    assert _PREFERENCES.items() <= SERVICES["server"]["environment"].items()


def test_secrets_come_from_files_that_the_service_is_given() -> None:
    declared = compose("compose.yaml")["secrets"]
    assert all("file" in each for each in declared.values())
    for service, name, value in variables():
        if name.endswith("_FILE"):
            secret = Path(value).name
            assert value == f"/run/secrets/{secret}"
            assert secret in SERVICES[service]["secrets"], (service, name)
            assert secret in declared
        else:
            assert not re.search(r"(PASSWORD|TOKEN|KEY|AUTH_STRING)$", name), (service, name)
            assert "@" not in value or ":" not in value.partition("://")[2].partition("@")[0]


def test_the_server_asks_who_is_there_and_nothing_is_published_beyond_this_machine() -> None:
    assert "PREFECT_SERVER_API_AUTH_STRING_FILE" in SERVICES["server"]["environment"]
    published = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_service_says_whether_it_is_well_and_waits_for_what_it_needs() -> None:
    assert all("test" in each["healthcheck"] for each in SERVICES.values())
    for name, each in OURS.items():
        needed = each["depends_on"]
        assert needed, name
        assert {how["condition"] for how in needed.values()} == {"service_healthy"}


def test_every_command_is_there() -> None:
    known = get_command(cli.app).commands  # type: ignore[attr-defined]
    for name, each in OURS.items():
        match each["command"]:
            case ["patterns", command, *_]:
                assert command in known, name
            case ["python", "-m", module, *_]:
                assert (ROOT / Path(*module.split("."))).with_suffix(".py").is_file()
            case [program, *_]:
                assert program == "prefect", name


def test_services_that_several_servers_need_are_added_by_a_second_file() -> None:
    added = compose("compose.servers.yaml")["services"]
    assert added["server"]["command"][-1] == "--no-services"
    assert added["services"]["command"] == ["prefect", "server", "services", "start"]
    hosts = {
        added[name]["environment"]["PREFECT_REDIS_MESSAGING_HOST"]
        for name in added
        if "redis" not in name
    }
    assert hosts == {"redis"}


def test_the_image_has_every_package_and_no_root() -> None:
    dockerfile = (INFRA / "Dockerfile").read_text(encoding="utf-8")
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.M)
        for source in line.split()[:-1]
    }
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {name.split(".")[0] for name in config["tool"]["setuptools"]["packages"]}
    assert packages | {"pyproject.toml", "README.md", "LICENSE"} <= copied
    assert all((ROOT / source).exists() for source in copied)
    let_through = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }
    assert {source.split("/")[0] for source in copied} <= let_through
    assert re.findall(r"^USER (\w+)$", dockerfile, re.M) == ["patterns"]
    extra = re.search(r"install .*'\.\[(\w+)\]'", dockerfile)
    assert extra
    assert extra[1] in config["project"]["optional-dependencies"]


def with_secrets(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", INFRA / "entrypoint.sh", *command],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_secret_of_a_file_is_in_the_environment_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "token").write_text('it\'s $HOME `so` "secret"\n')
    done = with_secrets(
        *("sh", "-c", 'printf "%s|%s|%s" "$A_TOKEN" "${A_TOKEN_FILE-unset}" "$1"', "sh", "a b"),
        A_TOKEN_FILE=str(tmp_path / "token"),
    )
    assert done.stdout == 'it\'s $HOME `so` "secret"|unset|a b'


def test_the_certificates_of_openssl_are_no_secret() -> None:
    done = with_secrets("sh", "-c", 'echo "$SSL_CERT_FILE"', SSL_CERT_FILE="/etc/ssl/cert.pem")
    assert done.stdout == "/etc/ssl/cert.pem\n"


def test_a_secret_that_cannot_be_read_stops_the_service_with_its_name() -> None:
    done = with_secrets("echo", "started", A_TOKEN_FILE="/nowhere/token")
    assert (done.returncode, done.stdout) == (1, "")
    assert "A_TOKEN_FILE names /nowhere/token" in done.stderr


@pytest.mark.parametrize("name", FILES)
def test_no_service_is_left_down_after_a_crash(name: str) -> None:
    kept = {"unless-stopped"}
    for service, each in compose(name)["services"].items():
        base = SERVICES.get(service) or SERVICES["server"]
        assert each.get("restart", base.get("restart")) in kept
