"""A ticket that is forgotten is nowhere: not in the database, not in Prefect's, not in a file."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import psycopg
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Running
from psycopg import sql

from flows import forgetting
from flows.caching import answer_through_cache
from flows.forgetting import forget_ticket
from flows.human_review import draft_replies
from flows.prompt_service import answer_prompt
from flows.rag import answer_question, ingest_documents
from flows.recursive_summary import digest_corpus, summarize_corpus
from infra import embedded_postgres, signs_of_life
from infra.errors import InputError, WorkIncomplete
from infra.postgres import Jsonb, fetch
from infra.signs_of_life import alive
from tasks import forgetting_runs, review_output
from tasks.answers import NamedPrompt, PromptRequest
from tasks.cited_answers import QuestionRequest
from tasks.columns import Columns
from tasks.corpus import load_corpus
from tasks.decisions import decide
from tasks.digests import DigestRequest
from tasks.document_collections import pin
from tasks.facts import fact_id
from tasks.forgetting import ForgetRequest, Forgotten, noted
from tasks.forgetting_report import PLACES
from tasks.ingestion import IngestRequest
from tasks.kept_corpora import add_records
from tasks.reading import Batch
from tasks.reply_drafting import RepliesRequest
from tasks.review_chain import verify
from tasks.review_examples import examples
from tasks.reviews import read_review, reviews
from tasks.shared_reading import share
from tasks.specialists import EXAMPLES, file_sha256, folder_of
from tasks.summaries import SummaryRequest
from tests.endpoint import Body, ScriptedEndpoint, plausible, user_text
from tests.flows.waiting_runs import WaitingRun, start
from tests.tasks.kept_reviews import approval, edit, rejection

MARKER = "zebraquux"
ID = "T-0001"
TEXT = (
    f'My {MARKER} lamp <b>flickers</b> & hums "loudly" at night_time.\nI bought it in May in '
    f"your shop in Ghent; please send me a new {MARKER} bulb, or C:\\new\\money back."
)
SAMPLE = Path(__file__).parents[2] / "examples" / "tickets.csv"
OTHERS = 8


@pytest.fixture(autouse=True)
def _quick(
    monkeypatch: pytest.MonkeyPatch, endpoint: ScriptedEndpoint, no_specialists: None
) -> None:
    monkeypatch.setattr(review_output, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(review_output, "HEARTBEAT", 0.2)
    monkeypatch.setattr(forgetting_runs, "_PAUSE", 0.1)
    monkeypatch.setattr(forgetting_runs, "LEASE", 0.0)  # not to wait for runs of other tests
    endpoint.answer = echo


def echo(body: Body, n: int) -> str:
    """A reply that repeats the marker, where it was told."""
    text = user_text(body)
    if MARKER not in text:
        return plausible(body)
    *before, last = body["messages"]
    return plausible({**body, "messages": [*before, {**last, "content": f"{MARKER} {text}"}]})


async def kept_corpus(tmp_path: Path, rows: int = OTHERS) -> None:
    table = pd.read_csv(SAMPLE, dtype=str, keep_default_na=False).head(rows)
    told = {"id": ID, "created_at": "2020-01-01", "body": TEXT, "product": table["product"][0]}
    path = tmp_path / "tickets.csv"
    pd.concat([pd.DataFrame([told]), table]).fillna("").to_csv(path, index=False)
    await add_records("support", await load_corpus(str(path), Columns(group_by="product")))


def request(**rest: Any) -> ForgetRequest:
    return ForgetRequest.model_validate({"ticket": ID, "requester": "Zoe", **rest})


async def summary(strategy: str, **rest: Any) -> Any:
    asked = {"source": "corpus:support", "strategy": strategy, **rest}
    return await summarize_corpus(SummaryRequest.model_validate(asked))


async def waiting(run: WaitingRun, key: str) -> Any:
    await run.paused(key)
    return next(each for each in await reviews() if each.step == key.rpartition("-")[0])


async def decided_replies() -> None:
    """Two drafts: that to the ticket is rejected, drafted again and edited."""
    asked = {"source": "corpus:support", "limit": 2}
    run = start(draft_replies, RepliesRequest.model_validate(asked))
    first = await waiting(run, "replies-1-1-1")
    assert MARKER in first.draft.material
    [_, second] = await reviews()
    await decide(second.id, approval(second))
    await decide(first.id, rejection(first, reason=f"What is a {MARKER}?"))
    again = await waiting(run, "replies-1-2-1")
    await decide(again.id, edit(again, f"{again.text} It is on its way."))
    await run.task


async def a_specialist() -> None:
    """One that is registered with the text among its examples; nothing is trained."""
    row = {"name": "tickets", "root_run": uuid4(), "source": "f", "data_sha256": "", "code": ""}
    made = await fetch("keep_specialist", {**row, "card": Jsonb({}), "files": Jsonb({})})
    folder = folder_of(made[0]["id"], row["root_run"])
    folder.mkdir(parents=True)
    table = {"text": [TEXT, "The door is blue."], "label": "a", "origin": "row 1", "part": "train"}
    pd.DataFrame(table).to_parquet(folder / "examples.parquet")


async def everything(tmp_path: Path, home: Path) -> WaitingRun:
    """All that reads tickets, has read it; a run that waits with it is given."""
    await kept_corpus(tmp_path)
    await summary("read", out=tmp_path / "out", columns={"group_by": "product"})
    await summary("embed")
    await digest_corpus(DigestRequest.model_validate({"source": "corpus:support"}))
    into = {"source": "corpus:support", "collection": "tickets"}
    await ingest_documents(IngestRequest.model_validate(into))
    question = {"question": "What hums loudly at night?", "collection": "tickets"}
    await answer_question(QuestionRequest.model_validate(question))
    await pin("tickets", {TEXT: [ID]})
    await answer_prompt(PromptRequest(prompt="classify_ticket", inputs={"ticket": TEXT}))
    await answer_through_cache(NamedPrompt(prompt="answer_briefly", inputs={"question": TEXT}))
    await decided_replies()
    await a_specialist()
    passage = hashlib.sha256(TEXT.encode()).hexdigest()
    await share(uuid4(), [Batch(1, [[(passage, TEXT)]])])  # of a run that was killed
    await fetch("keep_correction", {"name": "tickets", "text": TEXT, "label": "a", "actor": "Ann"})
    change = {"root_run": uuid4(), "step": "", "request": TEXT, "requester": "Zoe", "text": "t"}
    cells = Jsonb([{"table": "t", "key": {}, "column": "note", "before": TEXT, "after": "gone"}])
    rest = {"sha256": "", "rules": "", "review": None, "approval": None, "undo_of": None}
    await fetch("keep_change", {**change, **rest, "cells": cells})
    asked = RepliesRequest.model_validate({"source": "corpus:support", "limit": 1, "batch": 2})
    run = start(draft_replies, asked)
    await run.paused("replies-1-1-1")
    return run


def places(database: str, home: Path, folder: Path) -> set[str]:
    """Where the marker stands: in which tables of both databases, and in which kinds of files."""
    found = set[str]()
    for url in (database, _prefect_url(home)):
        with psycopg.connect(url) as connection:
            found |= {*_tables(connection)}
    for root in (home / "reports", home / "specialists", home / "prefect" / "storage", folder):
        for file in root.rglob("*"):
            if file.is_file() and file != folder / "tickets.csv" and MARKER in _said(file):
                found.add(file.name if root != home / "prefect" / "storage" else "stored results")
    return found


def _prefect_url(home: Path) -> str:
    return embedded_postgres.prefect_url(home).replace("+asyncpg", "").split("?")[0]


def _tables(connection: psycopg.Connection) -> Iterator[str]:
    rows = connection.execute(
        "select schemaname, tablename from pg_tables "
        "where schemaname not in ('pg_catalog', 'information_schema')"
    )
    for schema, table in rows.fetchall():
        read = sql.SQL("select count(*) from {} as t where lower(t::text) ~ {}").format(
            sql.Identifier(schema, table), f"{MARKER}|{MARKER.encode().hex()}"
        )
        [count] = connection.execute(read).fetchone() or (0,)
        if count:
            yield table.rstrip("_0123456789")


def _said(file: Path) -> str:
    if file.suffix == ".parquet":
        return str(pd.read_parquet(file).to_json())
    text = file.read_text(errors="replace")
    try:
        return text + base64.b64decode(text).decode(errors="replace")  # a pickle of Prefect's
    except ValueError:
        return text


BEFORE = {
    *("corpus_records", "calls", "facts", "questions", "steps", "reviews", "review_events"),
    *("released_replies", "corrections", "changes", "passages", "lexemes", "pinned_questions"),
    *("artifact", "artifact_collection", "flow_run", "flow_run_input", "stored results"),
    *("digest_themes", "digest.html", "digest.md", "digest.json", "passages_to_read"),
    *("events", "report.html", "report.json", "report.md", "findings.parquet", "examples.parquet"),
}


async def test_a_forgotten_ticket_is_nowhere(
    tmp_path: Path, session_home: Path, database: str, endpoint: ScriptedEndpoint
) -> None:
    run = await everything(tmp_path, session_home)
    assert places(database, session_home, tmp_path) >= BEFORE
    fact = fact_id(hashlib.sha256(TEXT.encode()).hexdigest(), 1)
    with psycopg.connect(database) as connection:
        connection.execute("update patterns.themes set sample = array[%s]", [fact])
    done = await forget_ticket(request())
    assert places(database, session_home, tmp_path) == set()
    with psycopg.connect(database) as connection:
        drawn = connection.execute("select distinct sample, drawn_of from patterns.themes")
        assert drawn.fetchall() == [([], 0)], "nothing is worded from it"
    assert (done.tickets, done.sources) == ((ID,), ("corpus:support",))
    assert done.removed.keys() <= PLACES.keys(), "each has a name that people read"
    assert MARKER not in done.model_dump_json()
    assert await noted() == []

    ended = await run.task
    assert (ended.released, ended.rejected) == (0, 1)
    assert (await verify()).faults == ()
    forgotten, other, again, _ = [await read_review(n) for n in (1, 2, 3, 4)]
    assert [each.state for each in (forgotten, again)] == ["forgotten by Zoe"] * 2
    assert other.state.startswith("approve")
    assert other.text
    assert [each.review for each in await examples()] == [other.id]
    kept = await fetch("released_replies", {"root_run": other.root_run})
    assert {row["ticket"]: bool(row["reply"]) for row in kept}[ID] is False
    assert sum(bool(row["reply"]) for row in kept) == 1

    [specialist] = await fetch("all_specialists")
    file = folder_of(specialist["id"], specialist["root_run"]) / EXAMPLES
    assert specialist["files"][EXAMPLES] == file_sha256(file)
    assert list(pd.read_parquet(file)["text"]) == ["The door is blue."]

    endpoint.calls.clear()
    figures = await summary("read")
    assert figures.tickets == OTHERS
    assert MARKER not in json.dumps(endpoint.calls)
    assert places(database, session_home, tmp_path) == set()


class Killed(Exception):
    """What stands for the end of a process."""


STEPS = (
    *("begin", "wait_for_runs", "trace", "forget_in_runs", "forget_in_reviews"),
    *("forget_in_specialists", "forget_in_prefect", "forget_in_reports", "forget_in_documents"),
    *("forget_calls", "forget_in_events", "end"),
)


def killed(step: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    async def dying(*arguments: Any) -> Any:
        if not before:
            await step(*arguments)
        raise Killed

    return dying


async def test_who_is_killed_after_any_step_leaves_it_to_the_next(
    tmp_path: Path, session_home: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept_corpus(tmp_path, 3)
    await summary("read", out=tmp_path / "out")
    await ingest_documents(IngestRequest(source="corpus:support", collection="tickets"))
    await answer_prompt(PromptRequest(prompt="classify_ticket", inputs={"ticket": TEXT}))
    await decided_replies()
    for step in STEPS[:-1]:
        with monkeypatch.context() as patch:
            patch.setattr(forgetting_runs, "_WRITTEN", 0.0)
            patch.setattr(forgetting, step, killed(getattr(forgetting, step), before=False))
            with pytest.raises(Killed):
                await forget_ticket(request())
        assert [row["ticket"] for row in await noted()] == [ID]
    await kept_corpus(tmp_path, 3)  # it came back, from its file
    assert len(await noted()) == 1
    with monkeypatch.context() as patch:
        patch.setattr(forgetting, "forget_calls", killed(forgetting.forget_calls, before=True))
        with pytest.raises(Killed):
            await forget_ticket(request())
    await forget_ticket(request())
    assert places(database, session_home, tmp_path) == set()
    assert await noted() == []
    assert (await verify()).faults == ()


async def test_others_keep_what_is_theirs(tmp_path: Path, endpoint: ScriptedEndpoint) -> None:
    footer = "This message is for whom it is meant and for nobody else at all, please."
    tickets = {"T-1": f"My {MARKER} lamp hums. {footer}", "T-2": f"The door is stuck. {footer}"}
    path = tmp_path / "few.csv"
    pd.DataFrame([{"id": k, "text": v} for k, v in tickets.items()]).to_csv(path, index=False)
    await add_records("support", await load_corpus(str(path)))

    def reply(body: Body, n: int) -> str:
        what = "lamp" if "lamp" in user_text(body) else "door"
        said = f"We thank you for your patience, and look into the {what}."
        return json.dumps({"passage": "none", "reply": said})

    endpoint.answer = reply
    run = start(draft_replies, RepliesRequest(source="corpus:support"))
    await run.paused("replies-1-1-1")
    for review in await reviews():
        await decide(review.id, approval(review))
    await run.task
    await forget_ticket(request(ticket="T-1"))
    first, second = await read_review(1), await read_review(2)
    assert (first.draft.material, first.forgotten is not None) == ("[forgotten]", True)
    assert second.draft.material == tickets["T-2"]
    assert second.forgotten is None
    rows = await fetch("released_replies", {"root_run": second.root_run})
    assert {row["ticket"]: bool(row["reply"]) for row in rows} == {"T-1": False, "T-2": True}


async def test_a_run_that_was_under_way_is_waited_for_and_named(
    running: FlowRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept_corpus(tmp_path, 1)
    async with alive(running.id):
        with pytest.raises(WorkIncomplete, match=running.name):
            await forget_ticket(request(wait_minutes=0))
    assert len(await noted()) == 1
    monkeypatch.setattr(signs_of_life, "LEASE", 0.0)
    done = await forget_ticket(request(wait_minutes=0))
    assert isinstance(done, Forgotten)
    assert await noted() == []


@pytest.mark.parametrize("sign", ["an old one", "none"])
async def test_nobody_waits_for_a_run_whose_process_is_gone(
    sign: str, running: FlowRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept_corpus(tmp_path, 1)
    if sign == "an old one":
        async with alive(running.id):
            pass
    monkeypatch.setattr(forgetting_runs, "LEASE", signs_of_life.LEASE)
    with pytest.raises(WorkIncomplete, match=running.name):  # it may come yet
        await forget_ticket(request(wait_minutes=0))
    for module in (signs_of_life, forgetting_runs):
        monkeypatch.setattr(module, "LEASE", 0.0)
    await forget_ticket(request())
    assert await noted() == []


@pytest.fixture
async def running() -> AsyncIterator[FlowRun]:
    """A run that Prefect takes for running."""
    async with get_client() as client:
        run = await client.create_flow_run(draft_replies)
        await client.set_flow_run_state(run.id, Running(), force=True)
        yield run
        await client.delete_flow_run(run.id)


async def test_a_ticket_of_a_file_is_forgotten_and_the_file_left_as_it_is(
    tmp_path: Path, session_home: Path, database: str
) -> None:
    await kept_corpus(tmp_path, 3)
    await fetch("remove_corpus", {"corpus_id": 1})
    file = tmp_path / "tickets.csv"
    asked = {"source": str(file), "strategy": "embed", "out": tmp_path / "out"}
    await summarize_corpus(SummaryRequest.model_validate(asked))
    await forget_ticket(request(source=str(file)))
    assert places(database, session_home, tmp_path) == set()
    assert MARKER in file.read_text()


async def test_an_unknown_or_unclear_ticket_is_told_with_where_it_was_looked_for(
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match="Looked in no corpus: none is kept"):
        await forget_ticket(request())
    await kept_corpus(tmp_path, 1)
    with pytest.raises(
        InputError, match=r"no ticket 'T-9'. Looked in the kept corpora \(support\)"
    ):
        await forget_ticket(request(ticket="T-9"))
    path = tmp_path / "other.csv"
    pd.DataFrame([{"id": ID, "text": "Another ticket."}]).to_csv(path, index=False)
    await add_records("sales", await load_corpus(str(path)))
    with pytest.raises(InputError, match="corpus:sales and corpus:support have each a ticket"):
        await forget_ticket(request())
    assert await noted() == []
    done = await forget_ticket(request(source="corpus:sales"))
    assert done.sources == ("corpus:sales",)
    assert len(await fetch("records_of_ticket", {"ticket": ID, "corpus": None})) == 1
