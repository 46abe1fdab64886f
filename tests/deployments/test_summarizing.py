"""`patterns summarize` as a script has it: one JSON object, or one message and a status."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest

from infra.settings import get_settings
from tests.deployments.conftest import Command, refused
from tests.endpoint import Fault, ScriptedEndpoint

pytestmark = pytest.mark.usefixtures("prefect_server", "database")

EXAMPLES = Path(__file__).parents[2] / "examples"
FIGURES = {
    *("tickets", "covered", "unassigned", "invalid_citations", "findings", "nodes", "model_calls"),
    *("cache_hits", "prompt_tokens", "completion_tokens", "cost_usd", "seconds", "report"),
    "findings_file",
}
CHANGES = ("new", "grown", "shrunk", "vanished", "unchanged")
DIGEST = {
    *CHANGES,
    "tickets",
    "came",
    "left",
    "since",
    "model_calls",
    "cost_usd",
    "report",
    "digest",
}
FINDING = {"title", "detail", "severity", "count", "ticket_ids", "quotes", "group"}
NOWHERE = "127.0.0.1:9"


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    """A file that is as it should be."""
    table = pd.read_csv(EXAMPLES / "tickets.csv", dtype=str, keep_default_na=False).head(12)
    table.to_csv(tmp_path / "tickets.csv", index=False)
    return tmp_path / "tickets.csv"


def as_csv(table: pd.DataFrame, folder: Path) -> Path:
    table.to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def as_jsonl(table: pd.DataFrame, folder: Path) -> Path:
    table.to_json(folder / "t.jsonl", orient="records", lines=True)
    return folder / "t.jsonl"


def as_parquet(table: pd.DataFrame, folder: Path) -> Path:
    table.to_parquet(folder / "t.parquet")
    return folder / "t.parquet"


def as_transcripts(table: pd.DataFrame, folder: Path) -> Path:
    (folder / "calls").mkdir()
    for row in table.itertuples():
        (folder / "calls" / f"{row.id}.txt").write_text(f"Agent: Hello.\nCaller: {row.body}\n")
    return folder / "calls"


@pytest.mark.parametrize("written", [as_csv, as_jsonl, as_parquet, as_transcripts])
def test_every_kind_of_source_gives_the_figures_and_the_evidence_and_is_free_the_next_time(
    patterns: Command, tickets: Path, tmp_path: Path, written: Callable[..., Path]
) -> None:
    source = written(pd.read_csv(tickets, dtype=str, keep_default_na=False), tmp_path)
    done = patterns("summarize", source, "--json")
    assert done.status == 0, done.err
    figures = json.loads(done.out)
    assert figures.keys() == FIGURES
    assert figures["tickets"] == 12
    assert figures["covered"] + figures["unassigned"] == 12
    assert figures["model_calls"] > 0
    table = pd.read_parquet(figures["findings_file"])
    assert set(table.columns) >= FINDING
    assert len({ticket for found in table["ticket_ids"] for ticket in found}) == figures["covered"]
    again = json.loads(patterns("summarize", source, "--json").out)
    assert (again["model_calls"], again["covered"]) == (0, figures["covered"])


def test_a_person_gets_the_reports_path_and_the_rest_beside_it(
    patterns: Command, tickets: Path
) -> None:
    done = patterns("summarize", tickets)
    assert Path(done.out.strip()).is_file()
    assert "12 tickets: 12 covered" in done.err


def test_a_digest_is_one_object_and_for_a_person_a_sentence_and_the_page(
    patterns: Command, tickets: Path
) -> None:
    first = json.loads(patterns("digest", tickets, "--json").out)
    assert first.keys() >= DIGEST
    assert len(first["new"]) == sum(len(first[kind]) for kind in CHANGES)
    done = patterns("digest", tickets)
    said, page = done.out.splitlines()
    assert said.startswith("Nothing has changed: 12 tickets in")
    assert Path(page).is_file()
    assert "0 model calls" in done.err


def test_a_dry_run_calls_no_model(
    patterns: Command, tickets: Path, endpoint: ScriptedEndpoint
) -> None:
    plan = json.loads(patterns("summarize", tickets, "--dry-run", "--json").out)
    assert plan["tickets"] == 12
    assert plan["model_calls"] > 0
    assert endpoint.calls == []


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, [], "{path} does not exist"),
        (b"", [], "{path} is empty"),
        (b"id,colour\n1,red\n", [], "{path}: no column looks like text"),
        (b"id,body\n1,a\n1,b\n", [], "{path}: rows 1 and 2 have the same id '1'"),
        (b"id,body\n1,a\n", ["--text", "bdoy"], "{path} has no column 'bdoy'"),
        (
            b'id,body\n1,"a\n2,b\n',
            [],
            "{path}: the quoting of the record that starts on line 2 is broken",
        ),
        (b"id,body\n1,a\n", ["--strategy", "guess"], "strategy"),
        (b"id,body\n1,a\n", ["--max-cost", "-1"], "max_cost"),
        (b"id,body\n1,a\n", ["--max-cost", "1"], "PATTERNS_PRICES"),
    ],
)
def test_bad_input_is_one_message_that_names_it_and_no_model_is_asked(
    patterns: Command,
    endpoint: ScriptedEndpoint,
    tmp_path: Path,
    content: bytes | None,
    options: list[str],
    message: str,
) -> None:
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_bytes(content)
    refused(patterns("summarize", path, "--json", *options), message.format(path=path))
    assert endpoint.calls == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(401), "PATTERNS_CHAT_API_KEY"),
        (Fault(404, message="no such model", code="model_not_found"), "PATTERNS_CHAT_MODEL"),
        (Fault(429), "PATTERNS_CHAT"),
        (Fault(dropped=True), "PATTERNS_CHAT_BASE_URL"),
    ],
)
def test_an_endpoint_that_serves_nothing_is_named_and_what_was_done_is_kept(
    patterns: Command, endpoint: ScriptedEndpoint, tickets: Path, fault: Fault, message: str
) -> None:
    whole, endpoint.answer = endpoint.answer, lambda body, n: fault
    refused(patterns("summarize", tickets, "--strategy", "read", "--json"), message)
    endpoint.answer = whole
    assert patterns("summarize", tickets, "--strategy", "read", "--json").status == 0


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("PATTERNS_CHAT_BASE_URL", f"http://{NOWHERE}/v1", "PATTERNS_CHAT_BASE_URL"),
        ("PATTERNS_DATABASE_URL", f"postgresql://me@{NOWHERE}/none", "PATTERNS_DATABASE_URL"),
        ("PATTERNS_CHAT_MODEL", "gpt", "PATTERNS_CHAT_MODEL"),
        ("PATTERNS_CHAT_MODEL", "nobody:gpt", "PATTERNS_CHAT_MODEL"),
    ],
)
def test_a_setting_that_leads_nowhere_is_named(
    patterns: Command,
    tickets: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    value: str,
    message: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv(setting, value)
        get_settings.cache_clear()
        refused(patterns("summarize", tickets, "--json"), message)
    get_settings.cache_clear()


def test_a_report_that_cannot_be_written_names_its_folder_and_the_words_are_kept(
    patterns: Command, endpoint: ScriptedEndpoint, tickets: Path
) -> None:
    refused(patterns("summarize", tickets, "--json", "--out", "/dev/full"), "/dev/full")
    assert endpoint.answered
    endpoint.answered.clear()
    figures: dict[str, Any] = json.loads(patterns("summarize", tickets, "--json").out)
    assert (figures["model_calls"], endpoint.answered) == (0, [])


def test_a_run_that_is_killed_goes_on_and_no_reply_that_was_kept_is_asked_for_again(
    patterns: Command,
    endpoint: ScriptedEndpoint,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATTERNS_CHAT_SLOTS", "2")
    get_settings.cache_clear()
    endpoint.latency = 0.2
    command = [Path(sys.executable).with_name("patterns"), "summarize", EXAMPLES / "tickets.csv"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as run:
        while len(endpoint.answered) < 6:
            assert run.poll() is None, run.stderr and run.stderr.read()
            time.sleep(0.05)
        run.kill()
    monkeypatch.delenv("PATTERNS_CHAT_SLOTS")  # the killed run's slots are its own for a while
    get_settings.cache_clear()
    with psycopg.connect(database) as connection:
        kept = {
            json.dumps(messages)
            for (messages,) in connection.execute(
                "select request -> 'messages' from patterns.calls where reply is not null"
            )
        }
    assert len(kept) >= 4
    endpoint.forget()
    figures = json.loads(patterns("summarize", EXAMPLES / "tickets.csv", "--json").out)
    asked = {json.dumps([[m["role"], m["content"]] for m in b["messages"]]) for b in endpoint.calls}
    assert asked
    assert asked.isdisjoint(kept)
    assert figures["covered"] + figures["unassigned"] == 104
