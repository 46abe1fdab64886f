"""One question through every pattern, in one table, from the ledger."""

import base64
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows import comparison
from flows.comparison import compare_patterns
from flows.rag import ingest_documents
from infra.errors import InputError, WorkIncomplete
from infra.postgres import fetch
from tasks import pattern_comparison
from tasks.classifying import Classified, ClassifyRequest
from tasks.ingestion import IngestRequest
from tasks.pattern_questions import PatternsRequest
from tests.endpoint import Answer, Body, Fault, ScriptedEndpoint, schema_of, user_text
from tests.flows.scripted_models import agent

pytestmark = pytest.mark.usefixtures("database")

WIFI = "The password of the guest network is changed every Monday."
QUESTION = "When is the password of the guest network changed?"
OFF_TOPIC = "How high is the lighthouse?"


@pytest.fixture(autouse=True)
async def _documents(database: str, tmp_path: Path) -> None:
    (tmp_path / "wifi.md").write_text(f"# Network\n\n{WIFI}\n")
    await ingest_documents(IngestRequest(source=str(tmp_path / "wifi.md"), collection="help"))


def model(body: Body, n: int) -> Answer:
    """Answers from documents, and, as an agent and a planner, by asking them."""
    match (schema_of(body) or {}).get("title"):
        case "CitedClaims":
            told = "Monday" in user_text(body) and "lighthouse" not in user_text(body)
            claim = {"passage": "1", "quote": WIFI, "claim": "It is changed every Monday."}
            return json.dumps(
                {"claims": [claim if told else {**claim, "passage": "none", "quote": ""}]}
            )
        case "Support":
            return json.dumps({"answers": "yes" if "lighthouse" not in user_text(body) else "no"})
        case "Fits":
            told = user_text(body).partition("</workflow>")[0]
            return json.dumps({"fits": "yes" if "knowledge base" in told else "no"})
        case "Parameters":
            return json.dumps({"parameters": {"question": QUESTION}})
        case "Steps" | "Action" | "Critique":
            asking = {"question": QUESTION, "collection": "help"}
            turns = [[("ask_documents", asking)], "Every Monday."]
            return agent("schema", ["ask_documents"], turns)(body, n)
        case None:
            return "I think on Tuesdays."
        case title:
            raise AssertionError(f"nobody expects {title}")


@pytest.fixture
def _by_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_TOOL_CALLS", "schema")


def request(**more: Any) -> PatternsRequest:
    return PatternsRequest.model_validate(
        {"question": QUESTION, "expect": "monday", "collection": "help", **more}
    )


async def artifact() -> str:
    async with get_client() as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=["comparison-of-patterns"]))
        found = await client.read_artifacts(artifact_filter=wanted)
    return str(max(found, key=lambda each: str(each.created)).data)


@pytest.mark.usefixtures("_by_schema")
async def test_a_question_goes_through_every_pattern_with_and_without_the_cache(
    endpoint: ScriptedEndpoint,
) -> None:
    endpoint.answer = model
    done = await compare_patterns(request())
    rows = {(row.pattern, row.cache): row for row in done.rows}
    assert [*done.not_run] == ["specialist"]
    assert {name: (row.checked, row.right) for name, row in rows.items()} == {
        ("prompt", False): (1, 0),
        ("prompt", True): (1, 0),
        **{
            (name, cache): (1, 1)
            for name in ("rag", "agent", "controller")
            for cache in (False, True)
        },
    }
    assert (rows["rag", False].quotes, rows["rag", False].verbatim) == (1, 1)
    assert rows["agent", False].quotes == 0
    for name in ("prompt", "rag", "agent", "controller"):
        first, again = rows[name, False].cost, rows[name, True].cost  # type: ignore[index]
        assert first.model_calls > 0
        assert (again.model_calls, again.cache_hits) == (0, first.model_calls + first.cache_hits)
        assert (again.prompt_tokens, again.completion_tokens) == (0, 0)
    assert sum(row.cost.model_calls for row in done.rows) == len(endpoint.answered)
    shown = await artifact()
    assert "| rag | without | 1 of 1 | 1 of 1 | 2 | 0 |" in shown
    [picture] = re.findall(r"data:image/png;base64,([\w+/=]+)", shown)
    assert 1_000 < len(base64.b64decode(picture)) < 1_000_000
    assert await fetch("costs", {"by": "flow", "since": None, "runs": None, "labels": None})
    assert not [row for row in await fetch("lessons") if row["state"] == "on"]


@pytest.mark.usefixtures("_by_schema")
async def test_a_pattern_that_fails_is_a_row_that_says_why_and_the_run_is_not_whole(
    endpoint: ScriptedEndpoint,
) -> None:
    def failing(body: Body, n: int) -> Answer:
        return Fault(401) if (schema_of(body) or {}).get("title") == "Steps" else model(body, n)

    endpoint.answer = failing
    with pytest.raises(WorkIncomplete, match="1 answer is missing: agent on 1"):
        await compare_patterns(request(patterns=("rag", "agent")))
    shown = await artifact()
    assert "**agent** has no answer to 1:" in shown
    assert "| rag | without | 1 of 1 |" in shown


async def test_questions_of_a_file_are_checked_by_its_column_and_unanswerable_ones_by_a_refusal(
    endpoint: ScriptedEndpoint, tmp_path: Path
) -> None:
    endpoint.answer = model
    file = tmp_path / "questions.csv"
    file.write_text(f"query_id,text,answer\nq1,{QUESTION},mondays?\nq2,{OFF_TOPIC},\n")
    done = await compare_patterns(
        request(question="", expect=None, file=file, patterns=("prompt", "rag"))
    )
    right = {(each.pattern, each.question): each.right for each in done.tries}
    assert right == {
        ("prompt", "q1"): False,
        ("prompt", "q2"): False,
        ("rag", "q1"): True,
        ("rag", "q2"): True,
    }
    assert done.questions == 2


async def test_where_nothing_can_be_checked_the_cell_says_so(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = model
    done = await compare_patterns(request(expect=None, collection=None, patterns=("prompt", "rag")))
    assert done.rows[0].checked == 0
    assert "no collection was named" in done.not_run["rag"]
    assert "| prompt | without | nothing to check | nothing to check | 1 |" in await artifact()


async def test_no_pattern_may_take_longer_than_it_is_given(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.answer, endpoint.latency = model, 5.0
    with pytest.raises(WorkIncomplete, match=r"It took over 0\.01 minutes"):
        await compare_patterns(request(patterns=("prompt",), max_minutes=0.01))
    monkeypatch.setattr(endpoint, "latency", 0.0)


async def test_no_tool_that_writes_is_offered() -> None:
    names = await comparison.reading_tools()
    assert "ask_documents" in names
    assert "change_records" not in names


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("query_id,text,answer\nq1,Why?,(\n", r"row 1: answer is no regular expression"),
        ("query_id,text\nq1,\n", r"row 1: text empty"),
        ("query_id,text\nq1,a\nq1,b\n", r"two rows have one query_id"),
    ],
)
async def test_a_row_that_does_not_fit_is_named_before_anything_is_asked(
    endpoint: ScriptedEndpoint, tmp_path: Path, rows: str, message: str
) -> None:
    file = tmp_path / "questions.csv"
    file.write_text(rows)
    with pytest.raises(InputError, match=message):
        await compare_patterns(request(question="", expect=None, file=file))
    with pytest.raises(InputError, match="not both"):
        await compare_patterns(request(file=file))
    assert endpoint.calls == []


async def test_a_specialist_is_compared_where_the_expected_answers_are_its_labels(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.answer = model
    card = SimpleNamespace(labels=("billing", "access"))

    async def served_names() -> tuple[str, ...]:
        return ("tickets",)

    async def champion(name: str) -> SimpleNamespace:
        return SimpleNamespace(card=card)

    async def labelled(asked: ClassifyRequest) -> Classified:
        assert asked.name == "tickets"
        told = {"label": "billing", "confidence": 0.9, "decided_by": "specialist"}
        return Classified.model_validate(
            {**told, "abstained": False, "specialist": 1, "latency_ms": 3.0}
        )

    monkeypatch.setattr(pattern_comparison, "served_names", served_names)
    monkeypatch.setattr(pattern_comparison, "champion", champion)
    monkeypatch.setattr(comparison, "classify", labelled)
    asked = request(question="I was charged twice.", expect="billing", patterns=("specialist",))
    [first, again] = (await compare_patterns(asked)).rows
    assert (first.right, again.right, first.cost.model_calls) == (1, 1, 0)
    done = await compare_patterns(request(patterns=("specialist",)))
    assert done.rows == ()
    assert "no specialist that serves has the labels" in done.not_run["specialist"]
