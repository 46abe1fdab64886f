"""`patterns review`, on a database with reviews that wait and one that is decided."""

import asyncio
import json
from uuid import uuid4

import psycopg
import pytest

from infra.postgres import close_pool
from tasks.decisions import Decision, digest, open_review, record
from tests.deployments.conftest import Command, refused

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def kept(database: str) -> None:
    async def keep() -> None:
        for text in ("Dear Ann, yes.", "Dear Bob, no."):
            draft = await open_review(uuid4(), "review-1", "Reply", text)
            if "Bob" in text:
                await record(
                    Decision(
                        review=draft.id,
                        verdict="reject",
                        reviewer="Eve",
                        reason="too short",
                        shown_sha256=digest(text),
                    )
                )
        await close_pool()

    asyncio.run(keep())


def test_what_waits_is_listed(kept: None, patterns: Command) -> None:
    done = patterns("review", "list")
    assert done.status == 0
    assert done.out.rstrip().endswith("Reply  waits")
    assert "Eve" not in done.out


def test_what_is_decided_is_listed_with_who_and_why_and_no_text(
    kept: None, patterns: Command
) -> None:
    assert "reject by Eve: too short" in patterns("review", "list", "--all").out
    found = json.loads(patterns("review", "list", "--all", "--json").out)["reviews"]
    assert [each["verdict"] for each in found] == [None, "reject"]
    assert "text" not in found[0]


def test_nothing_that_waits_is_said(patterns: Command) -> None:
    assert patterns("review", "list").out == "Nothing waits for a person.\n"


def test_a_draft_is_shown_as_it_was_stored(kept: None, patterns: Command) -> None:
    assert patterns("review", "show", "1").out.endswith("\n\nDear Ann, yes.\n")


def test_a_review_that_is_none_is_refused(patterns: Command) -> None:
    refused(patterns("review", "show", "7"), "There is no review 7.")


def test_a_chain_that_is_whole_verifies(kept: None, patterns: Command) -> None:
    done = patterns("review", "verify", "--json")
    assert (done.status, json.loads(done.out)) == (0, {"decisions": 1, "faults": []})


def test_a_chain_that_was_tampered_with_fails_and_says_where(
    kept: None, patterns: Command, database: str
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("alter table patterns.reviews disable trigger only_added")
        connection.execute("update patterns.reviews set text = 'Dear Bob, yes.' where id = 2")
    done = patterns("review", "verify")
    assert done.status == 1
    assert done.out == "decision 1: its draft is no longer the text that was shown\n"
