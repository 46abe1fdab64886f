import asyncio
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from infra.errors import InputError
from tasks.columns import Columns
from tasks.corpus import Corpus
from tasks.kept_corpora import (
    Addition,
    add_records,
    list_corpora,
    read_records,
    remove_corpus,
    remove_records,
)

pytestmark = pytest.mark.usefixtures("database")

MARCH = datetime(2026, 3, 1, 8, 30, 0, 123456, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


def corpus(*rows: dict[str, Any], group_by: str | None = None) -> Corpus:
    defaults = {"text": "It broke.", "happened_at": None, "group": None, "kind": "ticket"}
    records = pd.DataFrame([{**defaults, **row} for row in rows])
    records["happened_at"] = records["happened_at"].astype("datetime64[us, UTC]")
    records["group"] = records["group"].astype(object).where(records["group"].notna(), None)
    return Corpus("test", records, Columns(id="id", text=("text",), group_by=group_by))


async def kept(name: str = "tickets", since: datetime | None = None) -> list[dict[str, Any]]:
    records, _ = await read_records(name, since)
    return records.sort_values("id").to_dict("records")


async def test_what_was_added_is_read() -> None:
    rows = [
        {"id": "a", "text": "Größe \\N \t\r\n漢 🙂 'x'", "happened_at": MARCH, "group": "Graz"},
        {"id": "b", "text": "", "kind": "transcript"},
    ]
    added = await add_records("tickets", corpus(*rows, group_by="shop"))
    assert added == Addition(added=2, changed=0, unchanged=0)
    records, columns = await read_records("tickets")
    first, second = records.sort_values("id").to_dict("records")
    assert first == {**rows[0], "kind": "ticket"}
    assert second["text"] == ""
    assert second["group"] is None
    assert second["kind"] == "transcript"
    assert second["happened_at"] is pd.NaT
    assert str(records["happened_at"].dtype) == "datetime64[us, UTC]"
    assert columns == Columns(id="id", text=("text",), time="happened_at", group_by="shop")


async def test_adding_again_counts_added_changed_and_unchanged() -> None:
    await add_records("tickets", corpus({"id": "a"}, {"id": "b"}, {"id": "c", "text": ""}))
    later = corpus({"id": "b", "happened_at": MARCH}, {"id": "c", "text": ""}, {"id": "d"})
    assert await add_records("tickets", later) == Addition(added=1, changed=1, unchanged=1)
    assert [row["id"] for row in await kept()] == ["a", "b", "c", "d"]
    assert (await kept())[1]["happened_at"] == MARCH


@pytest.mark.parametrize(
    "change",
    [{"text": "Mended."}, {"happened_at": APRIL}, {"group": "Linz"}, {"kind": "transcript"}],
)
async def test_every_part_of_a_record_can_change(change: dict[str, Any]) -> None:
    before = {"id": "a", "text": "It broke.", "happened_at": MARCH, "group": "Graz"}
    await add_records("tickets", corpus(before, group_by="shop"))
    added = await add_records("tickets", corpus({**before, **change}, group_by="shop"))
    assert added == Addition(added=0, changed=1, unchanged=0)
    (row,) = await kept()
    assert row == {**before, "kind": "ticket", **change}


async def test_concurrent_additions_lose_nothing() -> None:
    parts = [corpus(*({"id": f"{n:02}"} for n in range(start, 40))) for start in range(0, 40, 5)]
    additions = await asyncio.gather(*(add_records("tickets", part) for part in parts))
    assert sum(addition.added for addition in additions) == 40
    assert len(await kept()) == 40


async def test_records_since_a_time_are_those_that_have_one_from_then_on() -> None:
    rows = [{"id": "a", "happened_at": MARCH}, {"id": "b", "happened_at": APRIL}, {"id": "c"}]
    await add_records("tickets", corpus(*rows))
    assert [row["id"] for row in await kept(since=APRIL)] == ["b"]


async def test_corpora_are_listed_with_their_extent() -> None:
    await add_records("tickets", corpus({"id": "a", "happened_at": MARCH}, {"id": "b"}))
    await add_records("calls", corpus({"id": "a"}, group_by="shop"))
    calls, tickets = await list_corpora()
    assert (calls.name, calls.records, calls.group_by, calls.first_at) == ("calls", 1, "shop", None)
    assert (tickets.name, tickets.records, tickets.last_at) == ("tickets", 2, MARCH)


async def test_removing_records_tells_which_were_there() -> None:
    await add_records("tickets", corpus({"id": "a"}, {"id": "b"}))
    await add_records("calls", corpus({"id": "a"}))
    assert await remove_records("tickets", ["a", "x"]) == ["a"]
    assert [row["id"] for row in await kept()] == ["b"]
    assert [row["id"] for row in await kept("calls")] == ["a"]


async def test_removing_a_corpus_removes_its_records() -> None:
    await add_records("tickets", corpus({"id": "a"}))
    await remove_corpus("tickets")
    assert await list_corpora() == []
    await add_records("tickets", corpus({"id": "b"}))
    assert [row["id"] for row in await kept()] == ["b"]


async def test_an_unknown_corpus_is_refused_with_the_nearest_name() -> None:
    await add_records("tickets", corpus({"id": "a"}))
    message = r"no corpus 'tickest'\. Did you mean 'tickets'\?"
    with pytest.raises(InputError, match=message):
        await read_records("tickest")
    with pytest.raises(InputError, match=message):
        await remove_records("tickest", ["a"])
    with pytest.raises(InputError, match=message):
        await remove_corpus("tickest")


@pytest.mark.parametrize("name", ["", "two words", "a/b", "x" * 101])
async def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot name a corpus"):
        await add_records(name, corpus({"id": "a"}))


async def test_another_grouping_is_refused_and_nothing_is_written() -> None:
    await add_records("tickets", corpus({"id": "a", "group": "Graz"}, group_by="shop"))
    with pytest.raises(InputError, match="grouped by the column 'shop'"):
        await add_records("tickets", corpus({"id": "a", "text": "new"}, {"id": "b"}))
    assert [(row["id"], row["text"]) for row in await kept()] == [("a", "It broke.")]


async def test_a_grouping_may_come_later() -> None:
    await add_records("tickets", corpus({"id": "a"}))
    added = await add_records("tickets", corpus({"id": "a", "group": "Graz"}, group_by="shop"))
    assert added.changed == 1
    assert (await kept())[0]["group"] == "Graz"
