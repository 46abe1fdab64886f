"""The other patterns as tools: what they give, and which there are."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from prefect import flow

from flows.rag import ingest_documents
from flows.tools import offered_tools
from infra.settings import get_settings
from tasks.ingestion import IngestRequest
from tasks.kept_corpora import add_records
from tasks.runs import charged
from tasks.specialist_serving import promoted
from tasks.tool_calls import Call, Outcome, call_tool
from tests.endpoint import Body, ScriptedEndpoint, plausible, schema_of, user_text
from tests.tasks.test_kept_corpora import corpus
from tests.tasks.tiny_specialists import ready_specialist

ALWAYS = {"classify", "draft_reply", "compose", "write_down", "change_records"}


@flow(name="call-a-tool")
async def call_a_tool(name: str, arguments: dict[str, Any]) -> Outcome:
    """One call of a tool, in a run."""
    async with charged():
        return await call_tool((await offered_tools())[name], Call(tool=name, arguments=arguments))


async def called(name: str, **arguments: Any) -> Any:
    outcome = await call_a_tool(name, arguments)
    assert outcome.failed == ""
    return outcome.value


@pytest.fixture
async def kept(database: str, endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """A corpus of tickets and a collection of documents."""
    texts = ["The login fails after a reset", "My invoice came twice"]
    rows = [
        {"id": f"T-{n}", "text": f"{texts[n % 2]}, case {n}.", "happened_at": pd.Timestamp(when)}
        for n, when in enumerate(pd.date_range("2026-03-01", periods=24, tz="UTC"))
    ]
    await add_records("support", corpus(*rows))
    (tmp_path / "refunds.md").write_text("# Refunds\n\nA pass is refunded within 30 days.\n")
    await ingest_documents(IngestRequest(source=str(tmp_path), collection="help"))
    endpoint.answer = lambda body, n: plausible(body)


async def test_without_anything_kept_there_are_the_tools_that_need_nothing(database: str) -> None:
    assert {*await offered_tools()} == ALWAYS


@pytest.mark.usefixtures("kept")
async def test_with_something_to_read_there_are_those_that_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading = {"ask_documents", "search_documents", "summarize_tickets", "read_tickets"}
    assert {*await offered_tools()} == ALWAYS | reading | {"count_tickets"}
    monkeypatch.setenv("PATTERNS_HTTP_HOSTS", '["example.com"]')
    monkeypatch.setenv("PATTERNS_READER_URL", "postgresql://r@127.0.0.1/x")
    get_settings.cache_clear()
    further = {"http_get", "http_post", "query_records", "ask_records"}
    assert further <= {*await offered_tools()}


@pytest.mark.usefixtures("kept")
async def test_a_corpus_is_summarized_into_its_largest_themes() -> None:
    [theme] = await called("summarize_tickets", corpus="support", most=1)
    assert theme["count"] == len(theme["ticket_ids"]) == 24
    assert {*theme["ticket_ids"]} == {f"T-{n}" for n in range(24)}
    recent = await called("summarize_tickets", corpus="support", days=3)
    assert {each for theme in recent for each in theme["ticket_ids"]} == {
        "T-20", "T-21", "T-22", "T-23"
    }  # fmt: skip


@pytest.mark.usefixtures("kept")
async def test_a_question_is_answered_from_documents_with_its_quotes(
    endpoint: ScriptedEndpoint,
) -> None:
    def answer(body: Body, n: int) -> str:
        if (schema_of(body) or {})["title"] == "Support":
            return json.dumps({"answers": "yes"})
        quote = "A pass is refunded within 30 days."
        claim = {"passage": "1", "quote": quote, "claim": "Within 30 days."}
        return json.dumps({"claims": [claim]})

    endpoint.answer = answer
    found = await called(
        "ask_documents", question="Until when is a pass refunded?", collection="help"
    )
    assert (found["supported"], found["documents"]) == (True, ["refunds.md"])
    assert found["quotes"] == ["A pass is refunded within 30 days."]
    passages = await called("search_documents", query="refund of a pass", collection="help")
    assert passages[0]["document"] == "refunds.md"


@pytest.mark.usefixtures("kept")
async def test_a_ticket_is_sorted_and_a_reply_to_it_drafted_but_not_sent(
    endpoint: ScriptedEndpoint,
) -> None:
    def answer(body: Body, n: int) -> str:
        match (schema_of(body) or {})["title"]:
            case "TicketLabel":
                return json.dumps({"category": "billing", "urgency": "low", "summary": "A refund."})
            case "Support":
                return json.dumps({"answers": "yes"})
        assert "A pass is refunded within 30 days." in user_text(body)
        return json.dumps({"passage": "1", "reply": "Hello, you get it back within 30 days."})

    endpoint.answer = answer
    assert (await called("classify", text="Refund my pass"))["category"] == "billing"
    drafted = await called("draft_reply", text="Refund my pass, please", collection="help")
    assert drafted["reply"] == "Hello, you get it back within 30 days."
    assert drafted["documents"][0].startswith("refunds.md")


async def test_a_text_is_composed_or_just_put_together(
    database: str, endpoint: ScriptedEndpoint
) -> None:
    endpoint.answer = lambda body, n: " Two lines. "
    made = await called("compose", instruction="Sum up", material="Much text")
    assert made == "Two lines."
    assert "Much text" in user_text(endpoint.calls[0])
    assert await called("write_down", text="As it is") == "As it is"
    assert len(endpoint.calls) == 1


async def test_a_reply_that_comes_to_nothing_is_the_calls_failure(
    database: str, endpoint: ScriptedEndpoint
) -> None:
    endpoint.answer = lambda body, n: json.dumps({"passage": "none", "reply": "Call +1 555 0100."})
    outcome = await call_a_tool("draft_reply", {"text": "Help"})
    assert "No good reply could be drafted" in outcome.failed


async def test_a_text_is_labelled_once_a_specialist_serves(
    no_specialists: None, endpoint: ScriptedEndpoint, encoder: Path
) -> None:
    made = await ready_specialist(encoder)
    assert "label_text" not in await offered_tools()
    await promoted(made, "Ann", None)
    schema = (await offered_tools())["label_text"].arguments.model_json_schema()
    assert schema["properties"]["specialist"]["const"] == "tickets"
    found = await called("label_text", text="my parcel courier is late", specialist="tickets")
    assert (found["label"], found["decided_by"]) == ("delivery", "specialist")
