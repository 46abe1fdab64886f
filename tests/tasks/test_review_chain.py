"""The chain of what happened to reviews, on a database whose owner tampers with it."""

import asyncio

import psycopg
import pytest

from infra.errors import DatabaseError
from infra.postgres import transaction
from tasks.decisions import decide
from tasks.review_chain import append, verify
from tasks.reviews import read_review
from tests.tasks.kept_reviews import approval, edit, opened, tamper

TEXTS = ("Dear Ann", "Dear Bob", "Dear Eve")  # events 1 to 6: opened, approve, opened, edit, …


@pytest.fixture
async def decided(database: str) -> list[int]:
    numbers = []
    for text in TEXTS:
        review = await opened(text)
        bob = text == "Dear Bob"
        await decide(review.id, edit(review, "Dear Bob, yes") if bob else approval(review))
        numbers.append(review.id)
    return numbers


async def test_an_untouched_chain_is_whole(decided: list[int]) -> None:
    found = await verify()
    assert (found.events, found.faults) == (6, ())


async def test_no_event_is_a_whole_chain(database: str) -> None:
    assert (await verify()).faults == ()


async def test_a_chain_is_whole_while_events_are_added_to_it(database: str) -> None:
    made = [await opened(f"Dear {place}") for place in range(60)]

    async def add() -> None:
        for review in made:
            await decide(review.id, approval(review))

    adding = asyncio.create_task(add())
    while not adding.done():
        assert (await verify()).faults == ()
    await adding
    assert (await verify()).events == 2 * len(made)


async def test_without_the_end_of_the_chain_nothing_is_decided(database: str) -> None:
    review = await opened("Dear Zoe")
    tamper(database, "delete from patterns.review_chain")
    with pytest.raises(DatabaseError, match="Nothing is decided"):
        await decide(review.id, approval(review))


@pytest.mark.parametrize(
    "statement",
    [
        "update patterns.review_events set actor = 'Eve'",
        "delete from patterns.review_events",
        "truncate patterns.review_events cascade",
        "update patterns.reviews set text = 'Dear Eve'",
    ],
)
async def test_the_database_refuses_to_change_an_event_or_a_draft(
    decided: list[int], database: str, statement: str
) -> None:
    with (
        psycopg.connect(database) as connection,
        pytest.raises(psycopg.errors.RaiseException, match="only ever added"),
    ):
        connection.execute(statement)  # type: ignore[call-overload]
    assert (await verify()).faults == ()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("update patterns.review_events set actor = 'Eve' where id = 2", "event 2: it was changed"),
        (
            "update patterns.review_events set at = at - interval '1 s' where id = 1",
            "event 1: it was changed",
        ),
        (
            "update patterns.review_events set final = false where id = 6",
            "event 6: it was changed",
        ),
        (
            "update patterns.review_events set text = 'Dear Eve' where id = 4",
            "event 4: the edited text is another now",
        ),
        ("delete from patterns.review_events where id = 2", "event 2 is missing"),
        ("delete from patterns.review_events where id = 6", "should end with event 6"),
        ("delete from patterns.review_events", "should end with event 6"),
        ("delete from patterns.review_events where review = 3", "review 3 was never opened"),
        ("delete from patterns.review_chain", "the end of the chain is gone"),
        (
            "update patterns.review_events set id = case id when 1 then 12 else 11 end "
            "where id < 3; "
            "update patterns.review_events set id = id - 10 where id > 10",
            "event 1 does not follow",
        ),
        (
            "update patterns.reviews set text = 'Dear Eve, take it' where text = 'Dear Bob'",
            "event 3: its draft is no longer the text that was shown",
        ),
        (
            "update patterns.reviews set author = 'Eve' where id = 2",
            "event 3: what was shown beside its draft is another now",
        ),
    ],
)
async def test_what_is_changed_removed_or_re_ordered_is_found(
    decided: list[int], database: str, statement: str, fault: str
) -> None:
    tamper(database, statement)
    assert any(fault in each for each in (await verify()).faults)


async def test_a_draft_that_waits_is_checked_as_well(database: str) -> None:
    await opened("Dear Ann")
    tamper(database, "update patterns.reviews set text = 'Dear Eve', sha256 = ''")
    assert "its draft is no longer" in str((await verify()).faults)


async def test_events_of_the_first_format_still_verify(database: str) -> None:
    review = await opened("Dear Ann")
    await decide(review.id, approval(review))
    [_, event] = (await read_review(review.id)).events
    tamper(database, "delete from patterns.review_events; update patterns.review_chain set "
           "events = 0, sha256 = ''")  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.review_chain._FORMAT", 1)
        async with transaction() as connection:
            await append(connection, event)
    assert (await verify()).faults == ()
    tamper(database, "update patterns.review_events set reason = 'for money'")
    assert (await verify()).faults == ("event 1: it was changed after it was made",)
