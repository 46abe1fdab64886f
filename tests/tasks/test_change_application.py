"""Changes that are approved, applied once, held against the records, and taken back."""

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from infra.errors import DatabaseError, InputError, ProposalRefused
from infra.guarded_tables import find
from infra.review_policy import ReviewPolicy
from infra.settings import get_settings
from tasks.change_application import changes, read_change, rehearse, undo
from tasks.change_checks import faults_of, needs_review
from tasks.change_proposals import ChangeSet, Proposal
from tasks.change_rules import ColumnRule, Rules, TableRule, register
from tasks.decisions import decide
from tasks.reviews import Draft, Review, Subject, open_review
from tests.tasks.guarded_records import (
    CRM,
    PAUSE,
    applied,
    change_set,
    everything,
    guarded,
    proposal,
    records,
)
from tests.tasks.kept_reviews import approval, rejection

RAISE = proposal("crm.customers.credit", "1", "0.00", "50.00")
MOVE = proposal("crm.tickets.customer", "T-1001", "1", "2")


@pytest.fixture
async def rules(database: str) -> Rules:
    return await guarded(database)


async def reviewed(change: ChangeSet, *, approve: bool = True) -> Review:
    """A decided review of a change set."""
    subject = Subject(title="Changes", kind="changes")
    draft = Draft(text=change.text)
    review = await open_review(uuid4(), "review-1", 1, subject, draft, ReviewPolicy())
    return await decide(review.id, approval(review) if approve else rejection(review))


async def test_a_change_of_low_risk_is_applied_without_a_review(
    rules: Rules, database: str
) -> None:
    done = await applied(rules, PAUSE)
    [cell] = done.cells
    assert (cell.before, cell.after, done.review) == ("false", "true", None)
    assert "(101,1,Planner,team,12,2026-09-01,t)" in str(records(database, "crm.subscriptions"))


async def test_changes_are_written_by_the_applier_and_records_read_by_the_proposer(
    rules: Rules, database: str
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("alter table crm.subscriptions add column written_by text")
        connection.execute(
            "create function crm.sign() returns trigger language plpgsql as "
            "$$ begin new.written_by := current_user; return new; end $$"
        )
        connection.execute(
            "create trigger signed before update on crm.subscriptions "
            "for each row execute function crm.sign()"
        )
    [effect] = await rehearse(change_set(rules, PAUSE), rules)
    assert effect.after["written_by"] == get_settings().applier_role
    await applied(rules, PAUSE)
    assert f",t,{get_settings().applier_role})" in str(records(database, "crm.subscriptions"))
    place = rules.tables["crm.subscriptions"].place("crm.subscriptions")
    assert await find(place, "id", "101", "paused", 5) == [{"key": "101", "old": "true"}]
    with pytest.raises(DatabaseError, match="permission denied"):
        await find(place, "id", "101", "written_by", 5)


async def test_a_change_of_high_risk_is_applied_when_exactly_it_was_approved(
    rules: Rules, database: str
) -> None:
    change = change_set(rules, RAISE, MOVE)
    review = await reviewed(change)
    done = await applied(rules, RAISE, MOVE, review=review.id)
    assert [(each.before, each.after) for each in done.cells] == [("0.00", "50.00"), ("1", "2")]
    assert (await read_change(done.id)).review == review.id


@pytest.mark.parametrize("how", ["nobody", "another text", "rejected", "waiting", "tampered"])
async def test_without_an_approval_of_exactly_it_nothing_is_written(
    rules: Rules, database: str, how: str
) -> None:
    change, review = change_set(rules, RAISE), None
    if how != "nobody":
        other = change_set(rules, proposal("crm.customers.credit", "1", "0.00", "5.00"))
        review = await reviewed(
            other if how in ("another text", "tampered") else change, approve=how != "rejected"
        )
    if how == "waiting":
        subject = Subject(title="Changes", kind="changes")
        draft = Draft(text=change.text)
        review = await open_review(uuid4(), "review-1", 1, subject, draft, ReviewPolicy())
    if how == "tampered":
        with psycopg.connect(database) as connection:
            connection.execute("alter table patterns.reviews disable trigger only_added")
            connection.execute("update patterns.reviews set text = %s", [change.text])
    before = everything(database)
    with pytest.raises((ProposalRefused, DatabaseError)) as refused:
        await applied(rules, RAISE, review=review.id if review else None)
    told = "A person has to approve" if how == "nobody" else "Review 1|has not approved exactly"
    assert any(each in str(refused.value) for each in told.split("|")) or how == "waiting"
    assert everything(database) == before
    assert await changes() == []


async def test_more_records_than_go_unseen_need_a_person(rules: Rules) -> None:
    other = proposal("crm.subscriptions.paused", "102", "false", "true")
    assert not needs_review([PAUSE], rules)
    assert needs_review([PAUSE, other], rules)
    with pytest.raises(ProposalRefused, match="A person has to approve it"):
        await applied(rules, PAUSE, other)


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (proposal("crm.payment_methods.iban", "1", None, "x"), "crm.payment_methods may not be"),
        (proposal("crm.customers.notes", "1", None, "x"), "crm.customers.notes may not be changed"),
        (proposal("crm.customers.id", "1", "1", "77"), "crm.customers.id may not be changed"),
        (proposal("patterns.changes.text", "1", "", "x"), "patterns.changes may not be changed"),
        (proposal("crm.subscriptions.plan", "101", "team", "gold"), "only be one of free, team"),
        (proposal("crm.subscriptions.seats", "101", "12", "many"), "has to be a number"),
        (proposal("crm.subscriptions.seats", "101", "12", "NaN"), "has to be a number"),
        (proposal("crm.subscriptions.seats", "101", "12", "0"), "may not be less than 1"),
        (proposal("crm.customers.credit", "1", "0.00", "501"), "may not be more than 500"),
        (proposal("crm.customers.credit", "1", "0.00", "100.01"), "by more than 100"),
        (proposal("crm.customers.email", "1", "office@greywillow.example.org", None), "be empty"),
        (proposal("crm.customers.email", "1", "x", "a@b.com\n; drop"), "does not have the form"),
        (proposal("crm.subscriptions.paused", "101", "false", "false"), "has this value already"),
        (proposal("crm.customers.credit", "9", "0.00", "5.00"), "9 of crm.customers is gone, or"),
        (proposal("crm.customers.credit", "99", "0.00", "5.00"), "99 of crm.customers is gone"),
        (proposal("crm.customers.credit", "1; --", "0.00", "5.00"), "invalid input syntax"),
        (proposal("crm.customers.credit", "1", "7.00", "5.00"), "record 1 has changed since"),
        (proposal("crm.tickets.customer", "T-1001", "1", "999"), "foreign key"),
        (proposal("crm.subscriptions.seats", "101", "12", "12.5"), "invalid input syntax"),
    ],
)
async def test_a_proposal_that_breaks_a_rule_is_refused_in_the_rehearsal_and_when_applied(
    rules: Rules, database: str, bad: Proposal, fault: str
) -> None:
    before = everything(database)
    change = change_set(rules, bad)
    with pytest.raises(ProposalRefused) as refused:
        await rehearse(change, rules)
    assert fault in str(refused.value)
    review = await reviewed(change)
    with pytest.raises(ProposalRefused) as refused:
        await applied(rules, bad, review=review.id)
    assert fault in str(refused.value)
    assert everything(database) == before


async def test_ten_thousand_records_are_too_many(rules: Rules) -> None:
    many = [
        proposal("crm.subscriptions.paused", str(key), "false", "true") for key in range(10_000)
    ]
    [fault] = faults_of(many, rules)
    assert fault == "10000 records of crm.subscriptions are to change, and 5 may"


async def test_one_cell_cannot_change_in_two_ways_and_nothing_is_no_change(rules: Rules) -> None:
    other = proposal("crm.subscriptions.paused", "101", "false", None)
    assert any("in 2 ways" in fault for fault in faults_of([PAUSE, other], rules))
    assert "nothing to change" in faults_of([], rules)[0]


async def test_one_bad_proposal_keeps_all_from_being_written(rules: Rules, database: str) -> None:
    before = everything(database)
    bad = proposal("crm.tickets.customer", "T-1001", "1", "999")
    review = await reviewed(change_set(rules, RAISE, bad))
    with pytest.raises(ProposalRefused, match="foreign key"):
        await applied(rules, RAISE, bad, review=review.id)
    assert everything(database) == before


async def test_a_rehearsal_shows_whole_records_with_what_triggers_do_and_writes_nothing(
    rules: Rules, database: str
) -> None:
    before = everything(database)
    [effect] = await rehearse(change_set(rules, RAISE), rules)
    assert (effect.before["credit"], effect.after["credit"]) == (0, 50)
    assert effect.before["updated_at"] != effect.after["updated_at"]
    assert everything(database) == before


async def test_what_changed_between_the_approval_and_the_writing_is_stale(
    rules: Rules, database: str
) -> None:
    review = await reviewed(change_set(rules, RAISE))
    with psycopg.connect(database) as connection:
        connection.execute("update crm.customers set credit = 3 where id = 1")
    with pytest.raises(ProposalRefused, match=r"customers\.credit of record 1 has changed since"):
        await applied(rules, RAISE, review=review.id)


async def test_rules_that_changed_meanwhile_want_a_new_request(
    rules: Rules, database: str, tmp_path: Any
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text((CRM / "rules.yaml").read_text().replace("low_risk_rows: 1", ""))
    assert (await register(file, "Zoe")) == rules
    file.write_text((CRM / "rules.yaml").read_text().replace("max: 500", "max: 400"))
    await register(file, "Zoe")
    with pytest.raises(ProposalRefused, match="The rules have changed"):
        await applied(rules, PAUSE)


async def test_a_run_changes_once_however_often_and_from_wherever_it_comes(
    rules: Rules, database: str
) -> None:
    run = uuid4()
    done = await asyncio.gather(*(applied(rules, PAUSE, run=run) for _ in range(6)))
    assert len({each.id for each in done}) == 1
    assert len(await changes()) == 1


async def test_records_that_the_rules_leave_out_are_out_of_reach_also_by_a_pattern(
    database: str, tmp_path: Any
) -> None:
    await guarded(database)
    file = tmp_path / "rules.yaml"
    file.write_text(
        "tables: {crm.customers: {find_by: [id], where: \"email like '%.org'\", "
        "change: {phone: {risk: low}}}}"
    )
    rules = await register(file, "Zoe")
    await applied(rules, proposal("crm.customers.phone", "1", "+44 1632 960101", None))
    with pytest.raises(ProposalRefused, match=r"Record 2 of crm\.customers is gone, or may not"):
        await applied(rules, proposal("crm.customers.phone", "2", "+44 1632 960102", None))


async def test_a_change_that_would_put_its_record_out_of_reach_is_refused(
    database: str, tmp_path: Any
) -> None:
    await guarded(database)
    file = tmp_path / "rules.yaml"
    file.write_text(
        "tables: {crm.customers: {find_by: [id], where: \"email like '%.org'\", "
        "change: {email: {risk: low}}}}"
    )
    rules = await register(file, "Zoe")
    away = proposal("crm.customers.email", "1", "office@greywillow.example.org", "a@b.com")
    with pytest.raises(ProposalRefused, match="would be out of reach afterwards"):
        await applied(rules, away)


async def test_an_undo_gives_back_what_was(rules: Rules, database: str) -> None:
    before = everything(database)
    done = await applied(rules, PAUSE)
    assert everything(database) != before
    back = await undo(done.id, "Ann")
    assert everything(database) == before
    assert (back.undo_of, (await read_change(done.id)).undone_by) == (done.id, "Ann")


async def test_an_undo_happens_once_is_not_undone_and_needs_a_change(rules: Rules) -> None:
    done = await applied(rules, PAUSE)
    twice = await asyncio.gather(*(undo(done.id, "Ann") for _ in range(4)), return_exceptions=True)
    [back] = [each for each in twice if not isinstance(each, Exception)]
    with pytest.raises(ProposalRefused, match="was undone by Ann already"):
        await undo(done.id, "Ann")
    with pytest.raises(ProposalRefused, match="is an undo itself"):
        await undo(back.id, "Ann")
    with pytest.raises(InputError, match="There is no change 77"):
        await undo(77, "Ann")


async def test_an_undo_after_a_later_change_is_refused(rules: Rules, database: str) -> None:
    done = await applied(rules, PAUSE)
    with psycopg.connect(database) as connection:
        connection.execute("update crm.subscriptions set paused = false where id = 101")
    before = everything(database)
    with pytest.raises(ProposalRefused, match=r"paused of record 101 has changed since"):
        await undo(done.id, "Ann")
    assert everything(database) == before


async def test_an_undo_that_a_trigger_would_bend_is_refused_and_changes_nothing(
    rules: Rules, database: str
) -> None:
    done = await applied(rules, PAUSE)
    with psycopg.connect(database) as connection:
        connection.execute(
            "create function crm.keep_paused() returns trigger language plpgsql as "
            "$$ begin new.paused := old.paused or new.paused; return new; end $$"
        )
        connection.execute(
            "create trigger kept before update on crm.subscriptions "
            "for each row execute function crm.keep_paused()"
        )
    before = everything(database)
    with pytest.raises(ProposalRefused, match="would not be as it was: a trigger"):
        await undo(done.id, "Ann")
    assert everything(database) == before
    assert (await read_change(done.id)).undone_by is None


VALUES = {
    "numeric(12,4)": ("7.5000", "7.1"),
    "double precision": ("0.1", "1e-300"),
    "timestamptz": ("2026-03-29 01:30:00.123456+05:45", "2026-01-01"),
    "jsonb": ('{"b": [1, null], "a": "\\u00e4"}', "{}"),
    "json": ('{ "b":1,  "a":2 }', "{}"),
    "text": ("  Zwei  Blanks\n\tund ein Ünicode 𝄞  ", "x"),
    "char(6)": ("ab", "abc"),
    "bytea": ("\\x00ff10", "\\x"),
    "integer[]": ("{1,NULL,3}", "{}"),
    "interval": ("1 mon 2 days 03:04:05.6", "0"),
    "date": (None, "2026-01-01"),
    "uuid": ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", None),
}


@pytest.mark.parametrize("kind", VALUES)
async def test_an_undo_is_byte_for_byte_for_every_type(
    database: str, tmp_path: Any, kind: str
) -> None:
    await guarded(database)
    before, after = VALUES[kind]
    with psycopg.connect(database) as connection:
        connection.execute(f"create table crm.odd (id text primary key, v {kind})")  # type: ignore[arg-type]
        connection.execute("insert into crm.odd values ('k', %s)", [before])
        connection.execute("set timezone to 'Asia/Tokyo'")
        [(old,)] = connection.execute("select v::text from crm.odd").fetchall()
        [(bits,)] = connection.execute(
            "select coalesce(encode(record_send(o), 'hex'), '') from crm.odd as o"
        ).fetchall()
    file = tmp_path / "rules.yaml"
    file.write_text("tables: {crm.odd: {find_by: [id], change: {v: {risk: low}}}}")
    rules = await register(file, "Zoe")
    with psycopg.connect(database) as connection:
        [(old,)] = connection.execute("select v::text from crm.odd").fetchall()
    done = await applied(rules, proposal("crm.odd.v", "k", old, after))
    await undo(done.id, "Ann")
    with psycopg.connect(database) as connection:
        [(again,)] = connection.execute(
            "select coalesce(encode(record_send(o), 'hex'), '') from crm.odd as o"
        ).fetchall()
    assert again == bits


async def test_changes_are_only_ever_added_to(rules: Rules, database: str) -> None:
    await applied(rules, PAUSE)
    for statement in ("update patterns.changes set text = ''", "delete from patterns.change_rules"):
        with (
            psycopg.connect(database) as connection,
            pytest.raises(psycopg.errors.RaiseException, match="only ever added"),
        ):
            connection.execute(statement)  # type: ignore[arg-type]


APPLY = """
import asyncio, os, signal
from uuid import UUID
from psycopg.pq import TransactionStatus
from infra import postgres
from tasks import change_application as ca

steps = iter(range(10**6))
execute = postgres.Connection.execute
async def counted(self, *a, **k):
    # Not what sets up another of the pool's connections, beside the transaction or after it.
    inside = self.info.transaction_status == TransactionStatus.INTRANS
    if inside and next(steps) == int(os.environ["DIE_AT"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return await execute(self, *a, **k)
postgres.Connection.execute = counted
async def main():
    run, text, review = (os.environ[name] for name in ("RUN", "TEXT", "REVIEW"))
    done = await ca.apply_changes(UUID(run), "Please", "Zoe", text, int(review))
    print("done", done.id)
asyncio.run(main())
"""


async def test_a_process_that_is_killed_at_any_statement_has_changed_all_or_nothing_and_once(
    rules: Rules, database: str
) -> None:
    change = change_set(rules, RAISE, MOVE)
    review = await reviewed(change)
    untouched, run, killed = everything(database), uuid4(), 0

    def attempt(die_at: int) -> subprocess.CompletedProcess[str]:
        told = {"RUN": str(run), "TEXT": change.text, "REVIEW": str(review.id)}
        return subprocess.run(
            [sys.executable, "-c", APPLY],
            env={**os.environ, **told, "DIE_AT": str(die_at)},
            capture_output=True,
            text=True,
            check=False,
        )

    for die_at in range(100):
        done = attempt(die_at)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert everything(database) == untouched
        assert await changes() == []
        killed += 1
    assert killed > 5
    assert everything(database) != untouched
    again = attempt(-1)
    assert again.stdout.split()[:2] == done.stdout.split()[:2]
    assert len(await changes()) == 1


NAMES = st.sampled_from(["a.t", "a.u", "b.t", "patterns.changes"])
COLUMNS = st.sampled_from(["id", "v", "w", "secret"])
VALUE = st.none() | st.text(max_size=5) | st.sampled_from(["1", "2", "99", "'; drop table a.t; --"])
RULES = Rules(
    tables={
        "a.t": TableRule(
            find_by=("id",),
            key="id",
            max_rows=2,
            change={"v": ColumnRule(min=0, max=10), "w": ColumnRule(one_of=("1", "x"))},
        ),
        "a.u": TableRule(
            find_by=("id",), key="id", change={"v": ColumnRule(pattern="[a-z]+", required=True)}
        ),
    }
)


@how(max_examples=300)
@given(
    st.lists(
        st.builds(
            Proposal,
            table=NAMES,
            key=st.text(max_size=2),
            column=COLUMNS,
            old=VALUE,
            new=VALUE,
            reason=st.just(""),
        ),
        max_size=4,
    )
)
def test_what_passes_touches_allowed_cells_of_few_records_with_allowed_values(
    proposals: list[Proposal],
) -> None:
    faults = faults_of(proposals, RULES)
    allowed = {("a.t", "v"), ("a.t", "w"), ("a.u", "v")}
    if not faults:
        assert {(each.table, each.column) for each in proposals} <= allowed
        assert len({each.key for each in proposals if each.table == "a.t"}) <= 2
        assert all(
            each.new is None or 0 <= float(each.new) <= 10
            for each in proposals
            if (each.table, each.column) == ("a.t", "v")
        )
    if not {(each.table, each.column) for each in proposals} <= allowed:
        assert faults


def test_the_approved_bytes_are_the_same_for_the_same_changes() -> None:
    change = ChangeSet(rules="v", proposals=(RAISE, MOVE))
    assert ChangeSet.model_validate_json(change.text).text == change.text
    assert change.text != ChangeSet(rules="v", proposals=(RAISE,)).text
