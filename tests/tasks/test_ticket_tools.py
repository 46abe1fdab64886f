"""Tools that read kept tickets."""

from datetime import UTC, datetime
from typing import Any

import pytest

from infra.errors import InputError
from tasks.kept_corpora import add_records
from tasks.ticket_tools import count_tickets, read_tickets
from tests.tasks.test_kept_corpora import corpus

ROWS: list[dict[str, Any]] = [
    {
        "id": f"T-{n}",
        "text": text,
        "group": group,
        "happened_at": datetime(2026, 3, day, tzinfo=UTC),
    }
    for n, text, group, day in (
        (1, "Login fails", "Planner", 1),
        (2, "Invoice twice", "Planner", 2),
        (3, "Login slow", "Crew", 9),
        (4, "Map empty", "Crew", 10),
        (5, "Login FAILS again", "Crew", 10),
    )
]


@pytest.fixture(autouse=True)
async def _kept(database: str) -> None:
    await add_records("support", corpus(*ROWS, group_by="product"))
    await add_records("timeless", corpus({"id": "a"}, {"id": "b"}))


async def ids(**arguments: Any) -> list[str]:
    return [each.id for each in await read_tickets.run(corpus="support", **arguments)]


async def test_the_newest_tickets_come_first() -> None:
    assert await ids(most=3) == ["T-4", "T-5", "T-3"]


async def test_tickets_are_read_by_id_by_words_and_by_days() -> None:
    assert await ids(ids=["T-1", "T-4"]) == ["T-4", "T-1"]
    assert await ids(containing="login fails") == ["T-5", "T-1"]
    assert await ids(days=2) == ["T-4", "T-5", "T-3"]
    assert await ids(days=1) == ["T-4", "T-5"]


async def test_a_ticket_has_its_time_and_group() -> None:
    [first] = await read_tickets.run(corpus="corpus:support", ids=["T-1"])
    assert (first.at, first.group, first.text) == ("2026-03-01 00:00", "Planner", "Login fails")


async def counts(**arguments: Any) -> dict[str, int]:
    found = await count_tickets.run(corpus="support", **arguments)
    return {each.name: each.tickets for each in found}


async def test_tickets_are_counted() -> None:
    assert await counts() == {"total": 5}
    assert list((await counts(by="group")).items()) == [("Crew", 3), ("Planner", 2)]
    assert await counts(by="day", days=2) == {"2026-03-09": 1, "2026-03-10": 2}
    assert await counts(by="week") == {"2026-W09": 1, "2026-W10": 1, "2026-W11": 3}
    assert await counts(by="month", containing="login") == {"2026-03": 3}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"corpus": "suport"}, "Did you mean 'support'"),
        ({"corpus": "support", "ids": ["T-10"]}, r"no ticket T-10\. Did you mean 'T-1'"),
        ({"corpus": "timeless", "days": 7}, "have no times"),
    ],
)
async def test_what_is_not_there_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        await read_tickets.run(**arguments)


async def test_tickets_without_times_are_read_and_counted() -> None:
    assert [each.at for each in await read_tickets.run(corpus="timeless")] == ["", ""]
    assert await count_tickets.run(corpus="timeless", by="month") == []
