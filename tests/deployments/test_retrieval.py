import json
from pathlib import Path

import pytest

from tests.deployments.conftest import Command, refused
from tests.endpoint import ScriptedEndpoint
from tests.flows.test_rag import WIFI, obedient

pytestmark = pytest.mark.usefixtures("database", "prefect_server")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "docs"
    (inside / "it").mkdir(parents=True)
    (inside / "it" / "wifi.md").write_text(f"# Network\n\n{WIFI}\n")
    (inside / "door.txt").write_text("The door is locked at night.")
    return inside


@pytest.fixture
def ingested(patterns: Command, folder: Path) -> Path:
    assert patterns("ingest", folder, "--collection", "help").status == 0
    return folder


def test_an_ingest_says_what_it_did(patterns: Command, folder: Path) -> None:
    told = json.loads(patterns("ingest", folder, "--collection", "help", "--json").out)
    wanted = {"documents": 2, "passages": 2, "embedded": 2, "unchanged": 0, "removed": 0}
    assert told.items() >= wanted.items()
    assert told["seconds"] > 0
    (folder / "door.txt").unlink()
    again = patterns("ingest", folder, "--collection", "help")
    assert "0 embedded, 1 unchanged, 1 removed" in again.out


def test_a_search_prints_passages_with_their_scores(patterns: Command, ingested: Path) -> None:
    found = patterns("search", "guest password", "--collection", "help", "--k", "1", "--json")
    [result] = json.loads(found.out)["results"]
    assert (result["document"], result["passage"]) == ("it/wifi.md", 0)
    assert WIFI in result["text"]
    for mode in ("hybrid", "vector", "text"):
        out = patterns("search", "guest password", "--collection", "help", "--mode", mode).out
        assert "it/wifi.md #0" in out
    filtered = ("search", "door", "--collection", "help", "--filter", "folder=it", "--json")
    assert [r["document"] for r in json.loads(patterns(*filtered).out)["results"]] == ["it/wifi.md"]


def test_a_question_is_answered_with_its_citations(
    patterns: Command, ingested: Path, endpoint: ScriptedEndpoint
) -> None:
    endpoint.answer = obedient
    asked = ("ask", "When is the guest password changed?", "--collection", "help")
    told = json.loads(patterns(*asked, "--json").out)
    assert told["supported"] is True
    [citation] = told["citations"]
    assert citation["document"] == "it/wifi.md"
    assert citation["quote"] == WIFI
    assert f'[1] it/wifi.md: "{WIFI}"' in patterns(*asked).out


def test_an_evaluation_prints_the_metrics(
    patterns: Command, ingested: Path, tmp_path: Path
) -> None:
    queries, qrels = tmp_path / "queries.csv", tmp_path / "qrels.csv"
    queries.write_text("query_id,text\nq,When is the guest password changed?\n")
    qrels.write_text("query_id,doc_id,relevance\nq,it/wifi.md,1\n")
    judged = ("--collection", "help", "--queries", queries, "--qrels", qrels)
    told = json.loads(patterns("evaluate", "retrieval", *judged, "--json").out)
    metrics = {"ndcg_at_10": 1.0, "recall_at_10": 1.0, "mrr_at_10": 1.0, "queries": 1}
    assert told.items() >= metrics.items()
    assert 0 < told["p50_ms"] <= told["p95_ms"]
    pinned = patterns("collections", "pin", "help", "--queries", queries, "--qrels", qrels)
    assert pinned.out == "1 questions are pinned in help.\n"


def test_collections_are_listed_rolled_back_and_removed(patterns: Command, ingested: Path) -> None:
    (ingested / "more.txt").write_text("Bicycles stand in the yard.")
    patterns("ingest", ingested, "--collection", "help")
    listed = json.loads(patterns("collections", "list", "--json").out)["collections"]
    assert [(each["name"], each["documents"]) for each in listed] == [("help", 3)]
    found = json.loads(patterns("collections", "versions", "help", "--json").out)["versions"]
    assert [(each["version"], each["live"]) for each in found] == [(1, False), (2, True)]
    assert "at version 1 again, with 2 documents" in patterns("collections", "rollback", "help").out
    one = ("--question", "Where are bicycles?", "--document", "door.txt")
    assert patterns("collections", "pin", "help", *one).status == 0
    assert patterns("collections", "unpin", "help").out == "1 questions were unpinned.\n"
    assert patterns("collections", "remove", "help", "--yes").status == 0
    assert patterns("collections", "list").out == "There is no collection yet.\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("search", "x", "--collection", "nowhere"), "There is nothing to search in a collection"),
        (("ask", "x", "--collection", "nowhere"), "There is nothing to search in a collection"),
        (("search", " ", "--collection", "help"), "The question is empty"),
        (("search", "x", "--collection", "help", "--filter", "kind"), "is not FIELD=VALUE"),
        (("search", "x", "--collection", "help", "--filter", "kind=a"), "has no field 'kind'"),
        (
            ("ask", "x", "--collection", "help", "--history", "none.json"),
            "none.json cannot be read",
        ),
        (("ingest", "nowhere", "--collection", "help"), "nowhere does not exist"),
        (("ingest", ".", "--collection", "a/b"), "'a/b' is no name"),
        (("collections", "pin", "help", "--question", "Why?"), "Name one question with"),
        (("collections", "unpin", "help", "--question", "Why?"), "'Why?' is not pinned"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    patterns: Command, ingested: Path, command: tuple[str, ...], message: str
) -> None:
    refused(patterns(*command), message)
