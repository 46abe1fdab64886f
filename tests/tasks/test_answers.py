import pytest
from pydantic import ValidationError

from infra.llm import Reply
from tasks.answers import Answer, PromptRequest, answer_markdown, answer_of
from tasks.prompts import load_prompt, prompt_names

REQUEST = PromptRequest(prompt="classify_ticket", inputs={"ticket": "Help"})


def answer(**changes: object) -> Answer:
    reply = Reply(
        text="It is <i>billing</i>.",
        value=None,
        model="openai:small",
        served_by="model",
        key="k",
        prompt_tokens=20,
        completion_tokens=5,
        cost_usd=None,
        latency_ms=12.4,
        paid_by=None,
    )
    return answer_of(REQUEST, reply).model_copy(update=changes)


def test_an_answer_names_the_version_of_its_prompt() -> None:
    assert answer().version == load_prompt("classify_ticket").version


def test_a_request_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="rewiev"):
        PromptRequest.model_validate({"prompt": "classify_ticket", "rewiev": True})


def test_the_form_offers_the_prompts_there_are() -> None:
    schema = PromptRequest.model_json_schema()["properties"]["prompt"]
    assert schema["enum"] == list(prompt_names())


def test_the_artifact_shows_the_reply_as_it_is_and_what_it_cost() -> None:
    shown = answer_markdown(answer())
    assert r"It is \<i\>billing\</i\>." in shown
    assert "| Cost | unknown |" in shown
    assert "| Cost | 0.000125 USD |" in answer_markdown(answer(cost_usd=0.000125))


def test_a_reviewers_name_cannot_break_the_artifact() -> None:
    shown = answer_markdown(answer(released_by="Ann |\n| <b>"))
    assert shown.splitlines()[-1] == r"| Released by | Ann \| \| \<b\> |"
