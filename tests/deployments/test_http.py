"""The prompt service over HTTP, as its clients have it."""

import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from socket import socket
from typing import Any

import httpx
import pytest
from langchain_openai import ChatOpenAI
from openai import APIStatusError, OpenAI
from pydantic import SecretStr

from deployments.http import create_app
from deployments.http_refusals import MOST_BYTES
from infra import llm
from infra.settings import get_settings
from tasks.specialist_serving import promoted
from tests.deployments.conftest import LABEL
from tests.endpoint import Fault, Said, ScriptedEndpoint, user_text
from tests.tasks.test_ingestion import TEXTS, ingest
from tests.tasks.tiny_specialists import ready_specialist

pytestmark = pytest.mark.usefixtures("database")

TOKEN = "open sesame"
NAME = "classify_ticket"
TICKET = {"inputs": {"ticket": "Export hangs"}}
PICTURE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}
CHAT: dict[str, Any] = {"model": NAME, "messages": [{"role": "user", "content": "Export hangs"}]}


@pytest.fixture(autouse=True)
def _scripted(endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm, "_pause", lambda tries, error: 0.0)
    endpoint.answer = lambda body, n: json.dumps(LABEL)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client that knows the token."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(TOKEN), raise_app_exceptions=False),
        base_url="http://service",
        headers={"Authorization": f"Bearer {TOKEN}"},
    ) as http:
        yield http


async def test_a_prompt_answers_as_it_does_at_the_terminal(client: httpx.AsyncClient) -> None:
    first = (await client.post(f"/v1/prompts/{NAME}", json=TICKET)).json()
    assert json.loads(first["reply"]) == LABEL
    assert (first["prompt"], first["served_by"], first["cost_usd"]) == (NAME, "model", None)
    again = (await client.post(f"/v1/prompts/{NAME}", json=TICKET)).json()
    assert (again["reply"], again["served_by"]) == (first["reply"], "exact")


async def test_a_body_that_is_not_called_json_is_refused_with_what_to_send(
    client: httpx.AsyncClient,
) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}  # as curl -d sends it
    body = json.dumps(TICKET)
    refused = await client.post(f"/v1/prompts/{NAME}", content=body, headers=headers)
    assert refused.status_code == 422
    assert "Content-Type: application/json" in refused.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/models", f"/v1/prompts/{NAME}", "/v1/chat/completions"])
@pytest.mark.parametrize("authorization", ["", "Bearer wrong", f"Basic {TOKEN}", "Bearer ünicode"])
async def test_nobody_without_the_token_is_let_in(
    client: httpx.AsyncClient, endpoint: ScriptedEndpoint, path: str, authorization: str
) -> None:
    headers = {"Authorization": authorization.encode()}
    method = "GET" if path == "/v1/models" else "POST"
    refused = await client.request(method, path, json=CHAT | TICKET, headers=headers)
    assert refused.status_code == 401
    assert "token" in refused.json()["error"]["message"]
    assert endpoint.calls == []


async def test_whether_it_runs_and_what_it_takes_is_told_to_anybody(
    client: httpx.AsyncClient,
) -> None:
    del client.headers["Authorization"]
    assert (await client.get("/health")).json() == {"status": "ok"}
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert {"/v1/prompts/{name}", "/v1/chat/completions", "/v1/models"} <= paths.keys()


async def test_the_page_of_documentation_fetches_nothing_from_elsewhere(
    client: httpx.AsyncClient,
) -> None:
    page = (await client.get("/docs")).text
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(sources) >= 3
    for source in sources:
        assert source.startswith("/")
        assert not source.startswith("//")
        assert (await client.get(source)).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v1/prompts/guess", TICKET, 404, "no prompt 'guess'"),
        (f"/v1/prompts/{NAME}", {"inputs": {}}, 422, "ticket is missing"),
        (f"/v1/prompts/{NAME}", {"inputs": {"ticket": "x", "tone": "y"}}, 422, "tone is not used"),
        (f"/v1/prompts/{NAME}", {"inputs": {"ticket": 7}}, 422, "inputs.ticket"),
        (f"/v1/prompts/{NAME}", {"input": {}}, 422, "input"),
        (f"/v1/prompts/{NAME}", [], 422, ""),
        ("/v1/chat/completions", CHAT | {"model": "gpt-5"}, 404, "no prompt 'gpt-5'"),
        ("/v1/chat/completions", CHAT | {"messages": []}, 422, "messages"),
        ("/v1/chat/completions", CHAT | {"stream": True}, 422, "not streamed"),
        ("/v1/chat/completions", CHAT | {"n": 2}, 422, "n: "),
        (
            "/v1/chat/completions",
            CHAT | {"messages": [{"role": "system", "content": "x"}]},
            422,
            "no user message",
        ),
        ("/v1/chat/completions", CHAT | {"model": "compare_themes"}, 422, "first, second"),
        ("/v1/chat/completions", CHAT | {"messages": [PICTURE]}, 422, "type"),
        ("/v1/chat", CHAT, 404, "Not Found"),
        ("/v1/models", {}, 405, "Not Allowed"),
    ],
)
async def test_what_does_not_fit_is_refused_before_a_model_is_asked(
    client: httpx.AsyncClient,
    endpoint: ScriptedEndpoint,
    path: str,
    body: Any,
    status: int,
    message: str,
) -> None:
    refused = await client.post(path, json=body)
    assert (refused.status_code, endpoint.calls) == (status, [])
    assert message in refused.json()["error"]["message"]


@pytest.mark.parametrize("told", [True, False])
async def test_a_body_that_is_too_large_is_refused(client: httpx.AsyncClient, told: bool) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * (MOST_BYTES // 4)

    body = b"x" * 20 * MOST_BYTES if told else parts()
    refused = await client.post(f"/v1/prompts/{NAME}", content=body)
    assert refused.status_code == 413
    assert "bytes" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault(429), 429),
        (Fault(503), 503),
        (Fault(401), 502),
        (Said("", "content_filter"), 502),
        (Fault(400, code="context_length_exceeded"), 422),
    ],
)
async def test_what_the_model_could_not_do_has_a_status_of_its_own(
    client: httpx.AsyncClient, endpoint: ScriptedEndpoint, fault: Fault | Said, status: int
) -> None:
    endpoint.answer = lambda body, n: fault
    refused = await client.post(f"/v1/prompts/{NAME}", json=TICKET)
    assert refused.status_code == status
    assert refused.json()["error"]["message"]
    assert (refused.headers.get("Retry-After") is not None) == (status == 429)


async def test_several_inputs_are_a_json_object_in_the_message(
    client: httpx.AsyncClient, endpoint: ScriptedEndpoint
) -> None:
    endpoint.answer = lambda body, n: '{"verdict": "same"}'
    told = json.dumps({"first": "- Export hangs", "second": "- Login fails"})
    body = {"model": "compare_themes", "messages": [{"role": "user", "content": told}]}
    reply = (await client.post("/v1/chat/completions", json=body)).json()
    assert json.loads(reply["choices"][0]["message"]["content"]) == {"verdict": "same"}
    assert "Login fails" in user_text(endpoint.calls[0])


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`patterns serve` in a process of its own."""
    monkeypatch.setenv("PATTERNS_HTTP_TOKEN", TOKEN)
    get_settings.cache_clear()
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("patterns"), "serve", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        address = f"http://127.0.0.1:{port}"
        while True:
            try:
                httpx.get(f"{address}/health", trust_env=False)
                break
            except httpx.ConnectError:
                assert process.poll() is None, process.stderr and process.stderr.read()
                time.sleep(0.1)
        yield address
        process.terminate()


def test_the_official_client_and_langchain_are_clients(service: str) -> None:
    client = OpenAI(base_url=f"{service}/v1", api_key=TOKEN)
    assert NAME in [model.id for model in client.models.list()]
    said = client.chat.completions.create(**CHAT, temperature=0.5)
    assert json.loads(said.choices[0].message.content or "") == LABEL
    assert said.usage
    assert said.usage.total_tokens > 0
    chat = ChatOpenAI(base_url=f"{service}/v1", api_key=SecretStr(TOKEN), model=NAME)
    assert json.loads(str(chat.invoke("Login fails").text)) == LABEL
    stranger = OpenAI(base_url=f"{service}/v1", api_key="wrong", max_retries=0)
    with pytest.raises(APIStatusError, match="token"):
        stranger.chat.completions.create(**CHAT)


def test_a_client_that_hangs_up_has_paid_for_a_reply_that_is_kept(
    service: str, endpoint: ScriptedEndpoint
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    endpoint.latency = 1.0
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{service}/v1/prompts/{NAME}", json=TICKET, headers=headers, timeout=0.5)
    endpoint.latency = 0.0
    answer = httpx.post(f"{service}/v1/prompts/{NAME}", json=TICKET, headers=headers, timeout=30)
    assert answer.json()["served_by"] == "exact"
    assert len(endpoint.calls) == 1


async def test_a_question_to_documents_is_answered_with_citations(
    client: httpx.AsyncClient, endpoint: ScriptedEndpoint
) -> None:
    await ingest()
    said = {"passage": "1", "quote": TEXTS["wifi"], "claim": "Every Monday."}
    endpoint.answer = lambda body, n: json.dumps(
        {"answers": "yes"} if "<sentence>" in user_text(body) else {"claims": [said]}
    )
    asked = {"question": "When is the guest password changed?", "collection": "help"}
    told = (await client.post("/v1/ask", json=asked)).json()
    assert (told["supported"], told["answer"]) == (True, "Every Monday. [1]")
    assert told["citations"][0]["quote"] == TEXTS["wifi"]
    unknown = await client.post("/v1/ask", json={**asked, "collection": "nowhere"})
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (422, "InputError")
    long = await client.post("/v1/ask", json={**asked, "question": "x" * 100_000})
    assert long.status_code == 422
    assert "100,000 characters" in long.json()["error"]["message"]
    odd = await client.post("/v1/ask", json={**asked, "filters": {}})
    assert odd.status_code == 422


async def test_a_text_is_classified_by_the_specialist_or_a_model(
    client: httpx.AsyncClient, endpoint: ScriptedEndpoint, no_specialists: None, encoder: Path
) -> None:
    refused = await client.post("/v1/classify", json={"text": "my parcel is late"})
    assert refused.status_code == 422
    assert "There is no specialist yet" in refused.text
    await promoted(await ready_specialist(encoder), "Ann", None)
    sure = await client.post("/v1/classify", json={"text": "my parcel courier box is late"})
    found = sure.json()
    assert (found["label"], found["decided_by"], found["specialist"]) == (
        "delivery",
        "specialist",
        1,
    )
    assert endpoint.calls == []
    endpoint.answer = lambda body, n: json.dumps({"label": "login"})
    strange = {"text": "song moon weather"}
    other = (await client.post("/v1/classify", json=strange)).json()
    assert (other["label"], other["decided_by"], other["abstained"]) == ("login", "model", False)
    alone = (await client.post("/v1/classify", json={**strange, "fallback": False})).json()
    assert (alone["decided_by"], alone["abstained"]) == ("nobody", True)
