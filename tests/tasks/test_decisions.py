"""The chain of decisions, on a database whose owner tampers with it."""

import asyncio
from uuid import uuid4

import psycopg
import pytest

from infra.errors import DatabaseError, InputError
from tasks.decisions import Decision, digest, open_review, read_review, record, reviews, verify

TEXTS = ("Dear Ann", "Dear Bob", "Dear Eve")


async def opened(text: str) -> int:
    return (await open_review(uuid4(), "review-1", "Reply", text)).id


@pytest.fixture
async def decided(database: str) -> list[int]:
    numbers = [await opened(text) for text in TEXTS]
    for number, text in zip(numbers, TEXTS, strict=True):
        await record(decision(number, text))
    return numbers


def decision(number: int, text: str, verdict: str = "approve") -> Decision:
    return Decision(
        review=number, verdict=verdict, reviewer="Ann", reason="", shown_sha256=digest(text)
    )


def tamper(database: str, statement: str) -> None:
    with psycopg.connect(database) as connection:
        for table in (b"decisions", b"reviews"):
            connection.execute(b"alter table patterns." + table + b" disable trigger only_added")
        connection.execute(statement)  # type: ignore[call-overload]


async def test_an_untouched_chain_is_whole(decided: list[int]) -> None:
    found = await verify()
    assert (found.decisions, found.faults) == (3, ())


async def test_no_decision_is_a_whole_chain(database: str) -> None:
    assert (await verify()).faults == ()


async def test_of_two_decisions_on_one_review_the_first_stands(database: str) -> None:
    number = await opened("Dear Ann")
    await record(decision(number, "Dear Ann"))
    second = await record(decision(number, "Dear Ann", "reject"))
    assert second.verdict == "approve"
    assert (await verify()).decisions == 1


async def test_a_chain_is_whole_while_decisions_are_added_to_it(database: str) -> None:
    numbers = [await opened(f"Dear {place}") for place in range(100)]

    async def add() -> None:
        for place, number in enumerate(numbers):
            await record(decision(number, f"Dear {place}"))

    adding = asyncio.create_task(add())
    while not adding.done():
        assert (await verify()).faults == ()
    await adding
    assert (await verify()).decisions == len(numbers)


async def test_without_the_end_of_the_chain_nothing_is_decided(
    decided: list[int], database: str
) -> None:
    number = await opened("Dear Zoe")
    tamper(database, "delete from patterns.decision_chain")
    with pytest.raises(DatabaseError, match="Nothing is decided"):
        await record(decision(number, "Dear Zoe"))


@pytest.mark.parametrize(
    "statement",
    [
        "update patterns.decisions set reviewer = 'Eve'",
        "delete from patterns.decisions",
        "truncate patterns.decisions",
        "update patterns.reviews set text = 'Dear Eve'",
    ],
)
async def test_the_database_refuses_to_change_a_decision_or_a_draft(
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
        ("update patterns.decisions set reviewer = 'Eve' where id = 2", "decision 2 was changed"),
        (
            "update patterns.decisions set at = at - interval '1 s' where id = 1",
            "decision 1 was changed",
        ),
        ("delete from patterns.decisions where id = 2", "decision 2 is missing"),
        ("delete from patterns.decisions where id = 3", "should end with decision 3"),
        ("delete from patterns.decisions", "should end with decision 3"),
        ("delete from patterns.decision_chain", "the end of the chain is gone"),
        (
            "update patterns.decisions set id = case id when 1 then 12 else 11 end where id < 3; "
            "update patterns.decisions set id = id - 10 where id > 10",
            "decision 1 does not follow",
        ),
        (
            "update patterns.reviews set text = 'Dear Eve, take it' where text = 'Dear Bob'",
            "decision 2: its draft is no longer the text that was shown",
        ),
    ],
)
async def test_what_is_changed_removed_or_re_ordered_is_found(
    decided: list[int], database: str, statement: str, fault: str
) -> None:
    tamper(database, statement)
    assert any(fault in each for each in (await verify()).faults)


async def test_what_waits_is_listed_and_what_is_decided_only_when_asked_for(
    decided: list[int],
) -> None:
    waiting = await opened("Dear Zoe")
    assert [each.id for each in await reviews()] == [waiting]
    assert [each.verdict for each in await reviews(decided=True)] == ["approve"] * 3 + [None]
    assert (await read_review(waiting)).text == "Dear Zoe"


async def test_a_review_that_is_none_is_refused(database: str) -> None:
    with pytest.raises(InputError, match="There is no review 7"):
        await read_review(7)


async def test_the_first_text_of_a_step_is_the_one_that_is_reviewed(database: str) -> None:
    run = uuid4()
    first = await open_review(run, "review-1", "Reply", "Dear Ann")
    again = await open_review(run, "review-1", "Reply", "Another text of a run that began anew")
    assert (again.id, again.text) == (first.id, "Dear Ann")


async def test_a_draft_that_was_changed_while_it_waits_is_not_shown(database: str) -> None:
    run = uuid4()
    await open_review(run, "review-1", "Reply", "Dear Ann")
    tamper(database, "update patterns.reviews set text = 'Dear Eve'")
    with pytest.raises(DatabaseError, match="altered"):
        await open_review(run, "review-1", "Reply", "Dear Ann")
