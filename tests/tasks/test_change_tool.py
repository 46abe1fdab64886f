"""Changes of records as a tool: several in a run, each once."""

import json
from uuid import UUID, uuid4

import pytest

from infra.budget import RunContext, current_run
from infra.errors import ProposalRefused
from infra.review_policy import ReviewPolicy
from tasks.change_application import changes
from tasks.change_tool import change_records, draft
from tasks.decisions import decide
from tasks.review_chain import digest
from tasks.reviews import Draft, Subject, open_review
from tasks.tools import Approval
from tests.endpoint import ScriptedEndpoint
from tests.flows.test_guarded_write import PAUSE
from tests.tasks.guarded_records import guarded, records
from tests.tasks.kept_reviews import approval


@pytest.fixture(autouse=True)
async def run(database: str, endpoint: ScriptedEndpoint) -> UUID:
    """A run that is the current one; the model proposes what the request names."""
    await guarded(database)
    run = uuid4()
    current_run.set(RunContext(root_run=run))

    def answer(body: object, n: int) -> str:
        said = json.dumps(body)
        found = "102" if "Pause 102" in said.rsplit("<request>", 1)[1] else "101"
        return json.dumps({"changes": [{**PAUSE, "find": found}]})

    endpoint.answer = answer
    return run


async def approved(run: UUID, request: str) -> Approval:
    drafted = await draft(request)
    subject = Subject(title="Call", kind="call")
    review = await open_review(run, f"approve-{request}", 1, subject, drafted, ReviewPolicy())
    await decide(review.id, approval(review))
    return Approval(key=f"call-{digest(request)[:8]}", text=drafted.text, review=review.id)


async def test_what_is_drafted_is_what_the_cells_would_be(run: UUID) -> None:
    drafted: Draft = await draft("Pause 101")
    assert "false → **true**" in drafted.shown
    assert await changes() == []


async def test_a_run_makes_several_changes_and_each_of_them_once(run: UUID, database: str) -> None:
    first, second = await approved(run, "Pause 101"), await approved(run, "Pause 102")
    done = await change_records.run(request="Pause 101", approval=first)
    assert done.cells == ["crm.subscriptions.paused of record 101"]
    again = await change_records.run(request="Pause 101", approval=first)
    assert again == done
    other = await change_records.run(request="Pause 102", approval=second)
    assert other.change != done.change
    assert len(await changes()) == 2
    paused = [row for [row] in records(database, "crm.subscriptions") if row.endswith(",t)")]
    assert [row[:5] for row in paused][:2] == ["(101,", "(102,"]


async def test_other_bytes_than_the_approved_ones_change_nothing(run: UUID) -> None:
    first, second = await approved(run, "Pause 101"), await approved(run, "Pause 102")
    swapped = Approval(key="call-x", text=second.text, review=first.review)
    with pytest.raises(ProposalRefused, match="has not approved exactly this"):
        await change_records.run(request="Pause 102", approval=swapped)
    assert await changes() == []
