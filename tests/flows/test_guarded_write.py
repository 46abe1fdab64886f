"""Requests that change records: what the model says is only ever a proposal."""

import json
from typing import Any

import psycopg
import pytest

from flows.guarded_write import change_records
from infra.errors import InputError, ProposalRefused, ReplyMalformed, ReviewRefused
from tasks import review_output
from tasks.change_application import changes
from tasks.change_requests import ChangeRequest
from tasks.decisions import decide
from tasks.reviews import Review, reviews
from tests.endpoint import Body, ScriptedEndpoint, schema_of, user_text
from tests.flows.waiting_runs import WaitingRun, start
from tests.tasks.guarded_records import everything, guarded
from tests.tasks.kept_reviews import approval, edit, rejection

CREDIT = {
    "field": "crm.customers.credit",
    "find_by": "crm.customers.name",
    "find": "Brackenfield Lifts",
    "new_value": "65",
    "reason": "Two visits fell out.",
}
PAUSE = {
    "field": "crm.subscriptions.paused",
    "find_by": "crm.subscriptions.id",
    "find": "101",
    "new_value": "true",
    "reason": "Winter break.",
}


@pytest.fixture(autouse=True)
async def _sample(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_output, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(review_output, "HEARTBEAT", 0.2)
    await guarded(database)


def says(endpoint: ScriptedEndpoint, *several: dict[str, Any]) -> None:
    endpoint.answer = lambda body, n: json.dumps({"changes": [*several]})


def request(text: str = "Please do it", requester: str = "Zoe") -> ChangeRequest:
    return ChangeRequest(request=text, requester=requester)


async def waiting(run: WaitingRun, step: int = 1) -> Review:
    await run.paused(f"review-{step}-1")
    [review] = await reviews()
    return review


async def test_a_change_of_low_risk_is_made_by_policy(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    says(endpoint, PAUSE)
    done = await change_records(request("Please pause subscription 101"))
    assert done.cells == ("crm.subscriptions.paused of record 101",)
    assert (done.review, await reviews("all")) == (None, [])
    assert "(101,1,Planner,team,12,2026-09-01,t)" in str(everything(database))


async def test_a_change_of_high_risk_waits_and_is_shown_before_and_after(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    says(endpoint, CREDIT, PAUSE)
    before = everything(database)
    run = start(change_records, request("Give <b>Brackenfield</b> 65"))
    await waiting(run)
    assert everything(database) == before
    shown = await run.answer("review-1-1", {"decision": "approve", "reviewer": "Ann"})
    done = await run.task
    plain = shown.replace("\\", "")
    assert "**crm.customers 2**, credit: 40.00 → **65.00** (Two visits fell out.)" in plain
    assert "The database changes besides:" in shown
    assert r"updated\_at" in shown
    assert r"Give \<b\>Brackenfield" in shown
    assert (done.records, done.review, done.approved_by) == (2, 1, ("Ann",))


async def test_whoever_asked_does_not_approve(endpoint: ScriptedEndpoint) -> None:
    says(endpoint, CREDIT)
    run = start(change_records, request())
    await run.answer("review-1-1", {"decision": "approve", "reviewer": "zoe"})
    again = await run.answer("review-1-2", {"decision": "approve", "reviewer": "Ann"})
    assert "asked for this draft" in again
    await run.task


async def test_a_rejected_proposal_is_made_anew_with_the_reason(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    def answer(body: Body, n: int) -> str:
        amount = "50" if "Only ten more" in user_text(body) else "65"
        return json.dumps({"changes": [CREDIT | {"new_value": amount}]})

    endpoint.answer = answer
    run = start(change_records, request())
    review = await waiting(run)
    await decide(review.id, rejection(review, reason="Only ten more."))
    second = await waiting(run, 2)
    await decide(second.id, approval(second))
    await run.task
    assert "50.00" in str(everything(database)["customers"])


async def test_changes_are_not_edited_and_what_is_rejected_for_good_is_not_made(
    endpoint: ScriptedEndpoint, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(endpoint, CREDIT)
    before = everything(database)
    run = start(change_records, request())
    review = await waiting(run)
    with pytest.raises(InputError, match="approved or rejected as a whole"):
        await decide(review.id, edit(review, review.text.replace("65", "99")))
    for step in (1, 2, 3):
        each = await waiting(run, step)
        await decide(each.id, rejection(each))
    with pytest.raises(ReviewRefused):
        await run.task
    assert (everything(database), await changes()) == (before, [])


async def test_a_record_that_changes_while_people_think_is_not_overwritten(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    says(endpoint, CREDIT)
    run = start(change_records, request())
    review = await waiting(run)
    with psycopg.connect(database) as connection:
        connection.execute("update crm.customers set credit = 7 where id = 2")
    before = everything(database)
    await decide(review.id, approval(review))
    with pytest.raises(ProposalRefused, match="record 2 has changed since"):
        await run.task
    assert everything(database) == before


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ([], "names nothing that may be changed"),
        ([CREDIT | {"find": "Nobody Ltd"}], "No record of crm.customers"),
        ([CREDIT | {"find": "Tarnwick demo account"}], "No record of crm.customers"),
        ([CREDIT | {"new_value": "a lot"}], "the value is no numeric"),
        ([CREDIT | {"new_value": "1000"}], "may not be more than 500"),
        ([CREDIT | {"find_by": "crm.tickets.id"}], "cannot be found by crm.tickets.id"),
        ([PAUSE | {"find": "101 or 1=1"}], "the value is no integer"),
        ([CREDIT, PAUSE | {"find": "999"}], "No record of crm.subscriptions"),
    ],
)
async def test_a_proposal_that_breaks_a_rule_ends_the_run_before_anybody_is_asked(
    endpoint: ScriptedEndpoint, database: str, said: list[dict[str, Any]], fault: str
) -> None:
    says(endpoint, *said)
    before = everything(database)
    with pytest.raises(ProposalRefused, match=fault):
        await change_records(request())
    assert (everything(database), await reviews("all")) == (before, [])


async def test_more_records_than_may_change_at_once_are_refused(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "insert into crm.tickets (id, customer, status, priority) "
            "select 'X-' || n, 5, 'open', 'low' from generate_series(1, 10000) as n"
        )
    found = {"field": "crm.tickets.status", "find_by": "crm.tickets.customer", "find": "5"}
    says(endpoint, {**found, "new_value": "solved", "reason": ""})
    with pytest.raises(ProposalRefused, match=r"More than 5 records of crm\.tickets"):
        await change_records(request())


async def test_the_model_is_asked_for_nothing_that_the_rules_do_not_allow(
    endpoint: ScriptedEndpoint,
) -> None:
    says(endpoint, PAUSE)
    sql = "'; update crm.payment_methods set iban = ''; --"
    await change_records(request(f"Pause 101 {sql}"))
    [asked] = endpoint.calls
    schema = json.dumps(schema_of(asked))
    assert "crm.customers.credit" in schema
    assert "payment_methods" not in schema
    assert "notes" not in schema
    assert sql in user_text(asked)
    assert sql not in json.dumps(asked["messages"][0])


@pytest.mark.parametrize(
    "said",
    [
        {"changes": [PAUSE | {"field": "crm.payment_methods.iban"}]},
        {"changes": [PAUSE | {"find_by": "crm.customers.notes"}]},
        {"sql": "update crm.customers set credit = 500"},
    ],
)
async def test_a_model_that_names_what_it_was_not_offered_is_not_obeyed(
    endpoint: ScriptedEndpoint, database: str, said: dict[str, Any]
) -> None:
    endpoint.answer = lambda body, n: json.dumps(said)
    before = everything(database)
    with pytest.raises(ReplyMalformed):
        await change_records(request())
    assert everything(database) == before


async def test_without_rules_nothing_is_asked_and_nothing_changed(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("alter table patterns.change_rules disable trigger only_added")
        connection.execute("delete from patterns.change_rules")
    with pytest.raises(InputError, match="no rules are registered"):
        await change_records(request())
    assert endpoint.calls == []
