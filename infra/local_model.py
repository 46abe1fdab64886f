"""The embedded chat model: one server for the machine, shared by all its processes.

llama.cpp's OpenAI-compatible server (from the wheel xllamacpp) serves one GGUF file on loopback,
behind a token in a private file. It is started by whoever needs it first, outlives him, gives its
memory back after ten idle minutes and loads again with the next call.

It works on one call at a time: on few cores two at once take as long as one after the other, and
one long context is worth more than two short ones. Prompts that begin alike are read once: the
states of recent prompts are kept, so fixed instructions belong before what changes.

Run as a module, it is that server: ``python -m infra.local_model MODEL CHOICE PORT``.
"""

import hashlib
import json
import secrets
import signal
import sys
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from infra.assets import ASSETS, ensure_asset
from infra.background import (
    LOOPBACK,
    Service,
    ensure_service,
    exclusive,
    running_service,
    stop_service,
)
from infra.errors import EmbeddedServerError, SettingsError
from infra.processors import usable_cores
from infra.settings import LOCAL_CHAT_MODEL, get_settings
from infra.storage import write_private

SLOTS = 2  # calls that callers keep in flight: one at work, one waiting at the door
CONTEXT_TOKENS = 8192
_SERVICE = "local-model"
_MODULE = "infra.local_model"
_ASSET = LOCAL_CHAT_MODEL.removeprefix("local:")
_IDLE_SECONDS = 600
_PROMPT_CACHE_MIB = 256  # about 9,000 tokens of prompts of the embedded model
_PATIENCE = 180.0  # seconds to load a model from a slow disk
_MOST_THREADS = 8  # beyond, memory is what a reply waits for
# Threads that spin while they wait for each other starve when others want the cores too: with two
# threads on two busy cores, a reply took four times as long.
_POLITE = {"OMP_WAIT_POLICY": "passive"}
_WARNINGS = 2  # the server's log level: nothing about single calls


@dataclass(frozen=True)
class Endpoint:
    """Where the server answers. ``model`` names the file that it serves."""

    base_url: str
    token: str = field(repr=False)
    model: str


def ensure_running(home: Path) -> Endpoint:
    """The server, fetched, started or restarted where it has to be; blocks until it answers.

    A server of another model file makes room for the one that the settings name.

    Raises SettingsError when PATTERNS_LOCAL_MODEL is no GGUF file, AssetError when the embedded
    model cannot be fetched, EmbeddedServerError when the server does not start.
    """
    path = _model_file().absolute()
    name = _name(path)
    if (endpoint := running(home)) and endpoint.model == name:
        return endpoint
    choice = _choice_file(home).absolute()
    with exclusive(choice.with_suffix(".choice")):
        if _choice(home)["model"] != name:
            stop(home)
            fresh = {"model": name, "token": secrets.token_urlsafe(32)}
            write_private(choice, json.dumps(fresh))
        try:
            service = ensure_service(
                home,
                _SERVICE,
                lambda port: [sys.executable, "-m", _MODULE, path, choice, str(port)],
                _answers,
                environment=_POLITE,
                patience=_PATIENCE,
            )
        except EmbeddedServerError as error:
            raise EmbeddedServerError(f"{path} is not served: {error}") from error
        return _endpoint(home, service)


def running(home: Path) -> Endpoint | None:
    """The server, when it runs and answers."""
    service = running_service(home, _SERVICE)
    return _endpoint(home, service) if service and _answers(service.port) else None


def stop(home: Path) -> bool:
    """Stop the server; false when it did not run."""
    return stop_service(home, _SERVICE)


def serve(model: str, choice_file: str, port: str) -> None:
    """Serve a GGUF file, with the name and the token of the choice, until the process is ended."""
    import xllamacpp

    choice = json.loads(Path(choice_file).read_text(encoding="utf-8"))
    threads = min(usable_cores(), _MOST_THREADS)
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {choice["model"]}
    params.hostnames = [LOOPBACK]
    params.port = int(port)
    params.api_keys = [choice["token"]]
    params.cors_origins = ""
    params.ui = False
    params.endpoint_slots = False  # would show the prompts of others
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    params.kv_unified = True
    params.cache_prompt = True
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = threads
        cpu.poll = 0
    params.n_threads_http = 16  # callers that wait must not keep others from asking for its health
    params.sleep_idle_seconds = _IDLE_SECONDS
    params.verbosity = _WARNINGS
    server = xllamacpp.Server(params)  # serves from threads of its own while it lives
    print(f"{choice['model']} at {server.listening_address}", flush=True)
    signal.pause()


def _model_file() -> Path:
    given = get_settings().local_model
    if given is None:
        return ensure_asset(_ASSET) / ASSETS[_ASSET].joined
    advice = "Name a GGUF file, or unset PATTERNS_LOCAL_MODEL for the embedded model."
    try:
        with given.expanduser().open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise SettingsError(
            f"PATTERNS_LOCAL_MODEL={given} cannot be read: {error.strerror}. {advice}"
        ) from error
    if magic != b"GGUF":
        raise SettingsError(f"PATTERNS_LOCAL_MODEL={given} is no GGUF file. {advice}")
    return given.expanduser()


def _name(path: Path) -> str:
    """Another name for another file, also when it has taken the place of the one before."""
    state = path.stat()
    version = hashlib.sha256(f"{path} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()
    return f"{path.stem}@{version[:8]}"


def _endpoint(home: Path, service: Service) -> Endpoint:
    choice = _choice(home)
    return Endpoint(f"http://{LOOPBACK}:{service.port}/v1", choice["token"], choice["model"])


def _choice(home: Path) -> dict[str, str]:
    """What is served: the model's name and the token. Written before the server is started."""
    try:
        chosen: dict[str, str] = json.loads(_choice_file(home).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"model": "", "token": ""}
    return chosen


def _choice_file(home: Path) -> Path:
    return home / "services" / f"{_SERVICE}.json"


def _answers(port: int) -> bool:
    connection = HTTPConnection(LOOPBACK, port, timeout=5)  # no proxy stands in between
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    serve(*sys.argv[1:])
