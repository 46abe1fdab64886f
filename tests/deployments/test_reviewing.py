"""`patterns review`, on a database with reviews that wait and one that is decided."""

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from infra.postgres import close_pool
from tasks.decisions import decide
from tasks.review_chain import digest
from tests.deployments.conftest import Command, refused
from tests.tasks.kept_reviews import opened, rejection, tamper

pytestmark = pytest.mark.usefixtures("database")

T = TypeVar("T")
ANN, BOB = "Dear Ann, yes.", "Dear Bob, no."


def apart(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine in a loop of its own."""

    async def closed() -> T:
        try:
            return await work
        finally:
            await close_pool()

    return asyncio.run(closed())


@pytest.fixture
def kept(database: str) -> None:
    async def keep() -> None:
        for text in (ANN, BOB):
            review = await opened(text)
            if text == BOB:
                await decide(review.id, rejection(review, "Eve"))

    apart(keep())


def test_what_waits_is_listed(kept: None, patterns: Command) -> None:
    done = patterns("review", "list")
    assert done.status == 0
    assert done.out.rstrip().endswith("Reply  waits, 0 of 1")
    assert "Eve" not in done.out


def test_what_is_decided_is_listed_with_who_and_why_and_no_text(
    kept: None, patterns: Command
) -> None:
    assert "reject by Eve: too short" in patterns("review", "list", "--all").out
    found = json.loads(patterns("review", "list", "--all", "--json").out)["reviews"]
    assert [(each["verdict"], each["reason_code"]) for each in found] == [
        (None, None),
        ("reject", "tone"),
    ]
    assert "text" not in found[0]


def test_nothing_that_waits_is_said(patterns: Command) -> None:
    assert patterns("review", "list").out == "Nothing waits for a person.\n"


def test_a_draft_is_shown_as_it_was_stored_with_what_it_answers_and_its_hash(
    kept: None, patterns: Command
) -> None:
    shown = patterns("review", "show", "1").out
    assert f"It answers:\nCharged twice\n\n{ANN}\n\nSHA-256 {digest(ANN)}\n" in shown


def test_a_review_that_is_none_is_refused(patterns: Command) -> None:
    refused(patterns("review", "show", "7"), "There is no review 7.")


def test_a_draft_is_approved_by_who_names_the_text_that_he_saw(
    kept: None, patterns: Command
) -> None:
    approve = ("review", "approve", "1", "--by", "Zoe")
    refused(patterns(*approve), f"--sha256 {digest(ANN)[:16]}")
    refused(patterns(*approve, "--sha256", digest(BOB)), "The text of review 1 is another")
    refused(patterns(*approve, "--sha256", digest(ANN)[:7]), "The text of review 1 is another")
    done = patterns(*approve, "--sha256", digest(ANN)[:8], "--json")
    assert json.loads(done.out)["approved_by"] == ["Zoe"]
    assert "The decision is kept" in done.err
    refused(patterns(*approve, "--sha256", digest(ANN)), "it is decided already: approve by Zoe")


def test_an_edited_text_is_read_from_a_file(kept: None, patterns: Command, tmp_path: Path) -> None:
    edit = ("review", "edit", "1", "--by", "Zoe", "--file")
    refused(patterns(*edit, tmp_path / "none.txt"), "cannot be read")
    file = tmp_path / "edited.txt"
    file.write_text("Dear Ann, no.")
    done = patterns(*edit, file, "--json")
    assert json.loads(done.out)["sha256"] == digest("Dear Ann, no.")


def test_a_rejection_has_a_reason_and_its_code(kept: None, patterns: Command) -> None:
    reject = ("review", "reject", "1", "--by", "Zoe", "--reason")
    refused(patterns(*reject, " "), "A rejection needs a reason in words.")
    refused(patterns(*reject, "Too long", "--reason-code", "size"), "There is no reason 'size'")
    done = patterns(*reject, "Too long", "--reason-code", "tone", "--json")
    found = json.loads(done.out)
    assert (found["verdict"], found["reason_code"], found["reason"]) == (
        "reject",
        "tone",
        "Too long",
    )


def test_a_code_is_shown_once_and_proves_one_decision(kept: None, patterns: Command) -> None:
    made = json.loads(patterns("review", "invite", "Zoe", "--by", "Ann", "--json").out)
    approve = ("review", "approve", "1", "--by", "Zoe", "--sha256", digest(ANN))
    refused(patterns(*approve, "--code", "WRONG"), "A valid one-time code is needed")
    assert patterns(*approve, "--code", made["code"]).status == 0


def test_a_chain_that_is_whole_verifies(kept: None, patterns: Command) -> None:
    done = patterns("review", "verify", "--json")
    assert (done.status, json.loads(done.out)) == (0, {"events": 3, "faults": []})


def test_a_chain_that_was_tampered_with_fails_and_says_where(
    kept: None, patterns: Command, database: str
) -> None:
    tamper(database, "update patterns.reviews set text = 'Dear Bob, yes.' where id = 2")
    done = patterns("review", "verify")
    assert done.status == 1
    assert done.out == "event 2: its draft is no longer the text that was shown\n"
