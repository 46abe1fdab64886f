"""What digests found, kept for the next ones."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from infra.budget import current_run
from infra.errors import DatabaseError
from infra.postgres import transaction
from tasks.codebook import ROOT, Codebook, Entry, save_codebook
from tasks.kept_digests import Kept, keep, last_digest
from tests.tasks.reports import sample

LINEAGE = "corpus:test | embed | an embedder"
AT = datetime(2026, 11, 30, 3, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
async def _codebook(database: str) -> None:
    await save_codebook(LINEAGE, Codebook([Entry(ROOT, None, "area")], 0.2, 9, 0, 1))


async def digested(run: UUID, days: int | None = None, tickets: int = 7) -> Kept | None:
    """What a run is compared with, before it keeps its own digest."""
    token = current_run.set(replace(current_run.get(), root_run=run))
    try:
        last = await last_digest(LINEAGE, days)
        report = sample()
        report = report.model_copy(update={"tickets": report.tickets[:tickets]})
        await keep(LINEAGE, report, days, last.id if last else None, AT)
        return last
    finally:
        current_run.reset(token)


async def test_the_next_run_finds_what_was_kept() -> None:
    assert await digested(uuid4()) is None
    last = await digested(uuid4())
    assert last is not None
    assert (last.made_at, last.generation, last.entries) == (AT, 1, 1)
    assert last.tickets == set(sample().tickets)
    assert last.themes[1] == ("Codes arrive late", {"T-1", "T-2", "T-4"})
    assert last.themes.keys() == {1, 2, 3}, "what is rare is no theme"


async def test_a_run_that_starts_anew_finds_what_it_was_compared_with_whatever_came_between() -> (
    None
):
    first, second = uuid4(), uuid4()
    assert await digested(first, tickets=1) is None
    before = await digested(second, tickets=2)
    await digested(uuid4(), tickets=3)
    assert await digested(second, tickets=4) == before
    assert await digested(first) is None, "the first one is the first again"
    newest = await digested(uuid4())
    assert newest is not None
    assert len(newest.tickets) == 3, "starting anew makes no digest newer"


async def test_digests_of_other_days_are_a_row_of_their_own() -> None:
    await digested(uuid4())
    assert await digested(uuid4(), days=7) is None
    assert await digested(uuid4(), days=7) is not None


async def test_a_few_are_kept_and_a_run_whose_last_one_is_gone_says_so() -> None:
    await digested(uuid4())
    late = uuid4()
    await digested(late)
    for _ in range(7):
        await digested(uuid4())
    async with transaction() as connection:
        cursor = await connection.execute("select id from patterns.digests")
        assert len(await cursor.fetchall()) == 8
    with pytest.raises(DatabaseError, match=r"which is not kept any more.*Start a new digest"):
        await digested(late)


async def test_a_title_may_be_dropped() -> None:
    await digested(uuid4())
    async with transaction() as connection:
        await connection.execute("update patterns.digest_themes set title = null where theme = 1")
    last = await digested(uuid4())
    assert last is not None
    assert last.themes[1][0] is None
