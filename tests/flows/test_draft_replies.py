"""Replies to tickets: drafted, reviewed one by one or in batches, released."""

import json
from pathlib import Path

import pandas as pd
import psycopg
import pytest

from flows.human_review import draft_replies
from infra.errors import DecisionRefused, InputError, WorkIncomplete
from tasks import review_output
from tasks.decisions import decide
from tasks.ingestion import IngestRequest
from tasks.reply_drafting import RepliesRequest
from tasks.review_examples import examples, write_examples
from tasks.review_wakeup import wake
from tasks.reviews import Review, read_review, reviews
from tests.endpoint import Body, ScriptedEndpoint, schema_of, user_text
from tests.flows.waiting_runs import WaitingRun, start
from tests.tasks.kept_reviews import approval, edit, rejection

TICKETS = {
    "T-1": "Where is my order 4711? Jo",
    "T-2": "The app crashes.",
    "T-3": "How long may I give it back?",
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, endpoint: ScriptedEndpoint, database: str) -> None:
    monkeypatch.setattr(review_output, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(review_output, "HEARTBEAT", 0.2)
    endpoint.answer = answer


def answer(body: Body, n: int) -> str:
    """A reply that names its ticket's subject, and is politer once it is asked to be."""
    text = user_text(body)
    if (schema_of(body) or {}).get("title") == "Support":
        return json.dumps({"answers": "yes" if "give it back" in text else "no"})
    [subject] = [each for each in ("order 4711", "crashes", "give it back") if each in text]
    polite = "Dear customer" if "be polite" in text else "Hello"
    return json.dumps({"passage": "none", "reply": f"{polite}, about: {subject}."})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "tickets.csv"
    rows = [{"id": each, "text": text} for each, text in TICKETS.items()]
    pd.DataFrame(rows).to_csv(file, index=False)
    return file


def request(path: Path, **rest: object) -> RepliesRequest:
    return RepliesRequest.model_validate({"source": str(path)} | rest)


async def waiting(run: WaitingRun, key: str, count: int) -> list[Review]:
    await run.paused(key)
    found = await reviews()
    assert len(found) == count
    return found


async def test_each_reply_is_decided_by_itself_in_any_order_and_released_byte_for_byte(
    source: Path, tmp_path: Path, database: str, endpoint: ScriptedEndpoint
) -> None:
    out = tmp_path / "released.jsonl"
    run = start(draft_replies, request(source, out=str(out)))
    first, second, third = await waiting(run, "replies-1-1-1", 3)
    assert len(endpoint.calls) == 3
    await decide(third.id, rejection(third, reason="be polite"))
    await decide(second.id, edit(second, "Hello, the crash is known.", "Bob"))
    await decide(first.id, approval(first))
    [again] = await waiting(run, "replies-3-2-1", 1)
    assert again.text == "Dear customer, about: give it back."
    await decide(again.id, approval(again))
    done = await run.task
    assert (done.tickets, done.released, done.edited, done.rejected) == (3, 2, 1, 0)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["ticket"]: row["reply"] for row in rows} == {
        "T-1": "Hello, about: order 4711.",
        "T-2": "Hello, the crash is known.",
        "T-3": "Dear customer, about: give it back.",
    }
    with psycopg.connect(database) as connection:
        kept = connection.execute(
            "select ticket, reply from patterns.released_replies order by ticket"
        ).fetchall()
    assert dict(kept) == {row["ticket"]: row["reply"] for row in rows}
    assert len(endpoint.calls) == 4


async def test_a_rejection_of_a_later_reply_wakes_the_run_which_drafts_it_again_at_once(
    source: Path,
) -> None:
    run = start(draft_replies, request(source, limit=2))
    first, second = await waiting(run, "replies-1-1-1", 2)
    await decide(second.id, rejection(second, reason="be polite"))
    assert await wake(await read_review(second.id), whatever=True)
    first_again, polite = await waiting(run, "replies-1-1-2", 2)
    assert (first_again.fault, first_again.answers) == (None, 1)
    assert polite.text.startswith("Dear customer")
    for review in (polite, first):
        await decide(review.id, approval(review))
    assert (await run.task).released == 2


async def test_a_batch_is_one_review_with_a_table_and_is_edited_or_rejected_as_a_whole(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "released.csv"
    run = start(draft_replies, request(source, batch=2, out=str(out)))
    both, single = await waiting(run, "replies-1-1-1", 2)
    assert both.title == "Replies to 2 tickets"
    await decide(single.id, rejection(single, reason="be polite"))
    shown = await run.answer(
        "replies-1-1-1",
        {
            "decision": "reject",
            "reviewer": "Ann",
            "reason_code": "tone",
            "reason": "Please be polite",
        },
    )
    assert "| T-1 | Hello, about: order 4711. |" in shown.replace("\\", "")
    assert "Where is my order 4711? Jo" in shown
    again, _ = await waiting(run, "replies-1-2-1", 2)
    replies = json.loads(again.text)
    assert replies["T-2"] == "Dear customer, about: crashes."
    with pytest.raises(DecisionRefused, match=r"T-1: The reply has a number.* 99"):
        await decide(again.id, edit(again, json.dumps(replies | {"T-1": "In 99 days."})))
    await decide(again.id, edit(again, json.dumps(replies | {"T-1": "Dear Jo, soon."})))
    [last] = await waiting(run, "replies-2-2-1", 1)
    await decide(last.id, approval(last))
    done = await run.task
    assert (done.edited, done.released) == (2, 1)
    assert pd.read_csv(out)["reply"].tolist()[-1] == "Dear customer, about: give it back."


async def test_a_reply_that_makes_something_up_is_made_again_and_else_its_ticket_is_named(
    source: Path, endpoint: ScriptedEndpoint
) -> None:
    def invents(body: Body, n: int) -> str:
        text = user_text(body)
        if "order 4711" in text and "stands nowhere" not in text:
            return json.dumps({"passage": "none", "reply": "It comes in 3 days."})
        if "crashes" in text:
            return json.dumps({"passage": "none", "reply": "Hello [Name]."})
        return answer(body, n)

    endpoint.answer = invents
    run = start(draft_replies, request(source))
    first, third = await waiting(run, "replies-1-1-1", 2)
    assert first.text == "Hello, about: order 4711."
    for review in (third, first):
        await decide(review.id, approval(review))
    with pytest.raises(WorkIncomplete, match=r"1 of 3 tickets have no reply: T-2 \(The reply"):
        await run.task


async def test_a_reply_that_is_rejected_for_good_is_not_released(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "released.parquet"
    run = start(draft_replies, request(source, limit=1, out=str(out)))
    for step in (1, 2, 3):
        [review] = await waiting(run, f"replies-1-{step}-1", 1)
        await decide(review.id, rejection(review))
    done = await run.task
    assert (done.rejected, done.released) == (1, 0)
    assert pd.read_parquet(out).empty


async def test_replies_rest_on_the_knowledge_base_and_show_it(
    source: Path, tmp_path: Path, endpoint: ScriptedEndpoint
) -> None:
    from flows.rag import ingest_documents

    folder = tmp_path / "help"
    folder.mkdir()
    (folder / "returns.md").write_text("# Returns\n\nGive it back within 14 days.\n")
    await ingest_documents(IngestRequest(source=str(folder), collection="help"))
    run = start(draft_replies, request(source, collection="help"))
    found = await waiting(run, "replies-1-1-1", 3)
    third = found[2]
    assert "Give it back within 14 days." in third.draft.evidence[0].quote
    asked = {review.title: review.draft.inputs["passages"] for review in found}
    assert "14 days" in asked["Reply to T-3"]
    assert asked["Reply to T-2"] == "none"
    await decide(third.id, edit(third, "Hello, within 14 days."))
    for review in found[:2]:
        await decide(review.id, approval(review))
    assert (await run.task).edited == 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"source": "/nowhere/tickets.csv"}, "does not exist"),
        ({"out": "/nowhere/out.csv"}, "its folder does not exist"),
        ({"out": "out.txt"}, "has to end in one of .csv"),
        ({"columns": {"text": ["body"]}}, "body"),
        ({"collection": "nothing"}, "nothing"),
    ],
)
async def test_bad_input_is_refused_before_a_model_is_asked(
    source: Path, endpoint: ScriptedEndpoint, change: dict[str, object], fault: str
) -> None:
    with pytest.raises(InputError, match=fault):
        await draft_replies(request(source, **change))
    assert endpoint.calls == []


async def test_what_people_decided_becomes_labelled_examples(source: Path, tmp_path: Path) -> None:
    run = start(draft_replies, request(source))
    first, second, third = await waiting(run, "replies-1-1-1", 3)
    await decide(third.id, rejection(third, reason="be polite"))
    await decide(second.id, edit(second, "Hello, it is known.", "Bob"))
    await decide(first.id, approval(first))
    [again] = await waiting(run, "replies-3-2-1", 1)
    assert len(await examples()) == 3
    await decide(again.id, approval(again))
    await run.task
    found = await examples("reply")
    assert [(e.verdict, e.final) for e in found] == [
        ("approve", "Hello, about: order 4711."),
        ("edit", "Hello, it is known."),
        ("reject", None),
        ("approve", "Dear customer, about: give it back."),
    ]
    assert found[1].draft == "Hello, about: crashes."
    assert found[2].inputs["ticket"] == TICKETS["T-3"]
    assert (found[2].reason_code, found[2].reason) == ("tone", "be polite")
    for name in ("examples.jsonl", "examples.parquet"):
        write_examples(found, tmp_path / name)
    assert len(pd.read_parquet(tmp_path / "examples.parquet")) == 4
    lines = (tmp_path / "examples.jsonl").read_text().splitlines()
    assert json.loads(lines[1])["final"] == "Hello, it is known."
    with pytest.raises(InputError, match="has to end in one of"):
        write_examples(found, tmp_path / "examples.doc")
    assert await examples("prompt:classify_ticket") == []
