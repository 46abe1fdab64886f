"""The way to an endpoint that speaks OpenAI's chat completions."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from infra.openai_compatible import EndpointRefusal, OpenAICompatible
from tests.endpoint import Fault, ScriptedEndpoint


@pytest.fixture
async def chat(endpoint: ScriptedEndpoint) -> AsyncIterator[OpenAICompatible]:
    model = OpenAICompatible(
        model="scripted", base_url=endpoint.base_url, api_key=SecretStr("sk-1"), temperature=0
    )
    yield model
    await model.aclose()


async def test_what_is_asked_is_sent_as_openais_client_sends_it(
    chat: OpenAICompatible, endpoint: ScriptedEndpoint
) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "string"}}}
    await chat.ainvoke([("system", "Sort."), ("user", "Hi")], max_tokens=7, response_format=wanted)
    [sent] = endpoint.calls
    assert sent["messages"] == [
        {"role": "system", "content": "Sort."},
        {"role": "user", "content": "Hi"},
    ]
    assert (sent["model"], sent["temperature"], sent["response_format"]) == ("scripted", 0, wanted)
    assert 7 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))
    assert endpoint.headers[-1]["Authorization"] == "Bearer sk-1"


async def test_tokens_and_the_reason_for_the_end_come_back(
    chat: OpenAICompatible, endpoint: ScriptedEndpoint
) -> None:
    endpoint.answer = lambda body, n: "Fine."
    reply = await chat.ainvoke("How are you?")
    assert reply.text == "Fine."
    assert reply.usage_metadata
    assert reply.usage_metadata["output_tokens"] > 0
    assert reply.response_metadata["finish_reason"] == "stop"


async def test_a_refusal_has_the_endpoints_status_code_and_words(
    chat: OpenAICompatible, endpoint: ScriptedEndpoint
) -> None:
    fault = Fault(status=429, code="quota", message="Slowly.", headers={"Retry-After": "3"})
    endpoint.answer = lambda body, n: fault
    with pytest.raises(EndpointRefusal, match=r"Slowly\.") as refused:
        await chat.ainvoke("Hi")
    assert (refused.value.status_code, refused.value.code) == (429, "quota")
    assert refused.value.headers["Retry-After"] == "3"


@pytest.mark.parametrize(
    "body",
    [
        "<html>",
        "[]",
        "{}",
        '{"choices": []}',
        '{"choices": null}',
        '{"choices": [{"message": "hi"}]}',
    ],
)
async def test_an_answer_that_is_no_completion_is_an_error(
    chat: OpenAICompatible,
    endpoint: ScriptedEndpoint,
    body: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any) -> Any:
        return body if body == "<html>" else json.loads(body)

    monkeypatch.setattr("tests.endpoint._completion", broken)
    with pytest.raises(ValueError, match=r"choice|completion|Expecting|type"):
        await chat.ainvoke("Hi")
