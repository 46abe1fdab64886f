"""Approved changes: rehearsed, applied once in one transaction, and undone byte for byte."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from infra.errors import DatabaseError, DatabaseUnavailable, InputError, ProposalRefused
from infra.guarded_tables import acting_as, lock_record, rehearsal, set_cells
from infra.postgres import Connection, Jsonb, fetch, transaction
from infra.scratch import is_scratch
from infra.settings import get_settings
from infra.sql import queries
from tasks.change_checks import faults_of, needs_review
from tasks.change_proposals import ChangeSet, Proposal
from tasks.change_rules import Rules, current_rules
from tasks.review_chain import digest
from tasks.reviews import read_review


class Cell(BaseModel):
    """One cell before and after a change, as PostgreSQL writes it; None is null."""

    model_config = ConfigDict(frozen=True)

    table: str
    key: str
    column: str
    before: str | None
    after: str | None


class Effect(BaseModel):
    """A whole record before and after a rehearsed change, triggers' work included."""

    model_config = ConfigDict(frozen=True)

    table: str
    key: str
    before: dict[str, Any]
    after: dict[str, Any]


class Change(BaseModel):
    """What was changed, or undone. ``review``: that approved it; None: low risk, by policy.
    ``undo_of``: the change that it took back; ``undone_by``: who took this one back."""

    model_config = ConfigDict(frozen=True)

    id: int
    request: str
    requester: str
    sha256: str
    rules: str
    review: int | None
    cells: tuple[Cell, ...]
    undo_of: int | None
    undone_by: str | None = None
    undone_at: datetime | None = None
    at: datetime


async def rehearse(change: ChangeSet, rules: Rules) -> list[Effect]:
    """What the changes would do, in a transaction that is rolled back.

    Raises ProposalRefused for what breaks a rule of ours or of the database's, or is stale.
    """
    if faults := faults_of(change.proposals, rules):
        raise ProposalRefused(faults)
    effects = list[Effect]()
    with _refusing():
        async with rehearsal() as connection:
            await _write(connection, change.proposals, rules, effects)
    return effects


async def apply_changes(
    root_run: UUID,
    request: str,
    requester: str,
    text: str,
    review: int | None,
    step: str = "",
) -> Change:
    """Apply the changes that a text holds: in one transaction, once for a run and its ``step``.

    ``text``: the very bytes that were approved in ``review``; without one they have to be of low
    risk. A run that was killed comes here again and finds what it did.

    Raises ProposalRefused when they are not approved, break a rule that holds now, or when a record
    has changed since; then nothing was written.
    """
    change = ChangeSet.model_validate_json(text)
    rules = await current_rules()
    with _refusing():
        async with transaction() as connection:
            await connection.execute(queries()["alone_with_run"], {"root_run": root_run})
            place = {"root_run": root_run, "step": step}
            if done := await _one(connection, "change_of_run", place):
                return Change.model_validate(done)
            approval = await _approval(connection, change, text, rules, review)
            cells = await _write(connection, change.proposals, rules, [])
            row = {
                **place,
                "request": request,
                "requester": requester,
                **{"text": text, "sha256": digest(text), "rules": rules.version},
                **{"review": review, "approval": approval, "undo_of": None},
                "cells": Jsonb([cell.model_dump() for cell in cells]),
            }
            return Change.model_validate(await _one(connection, "keep_change", row))


async def undo(number: int, by: str) -> Change:
    """Give the cells of a change the values that they had, byte for byte, as a change of its own.

    Raises InputError when there is no such change, ProposalRefused when it was undone, is an undo
    itself, or when a cell is no longer as it left it.
    """
    rules = await current_rules()
    with _refusing():
        async with transaction() as connection:
            await connection.execute(queries()["lock_change"], {"id": number})
            found = await _one(connection, "read_changes", {"id": number, "limit": 1})
            if found is None:
                raise InputError(f"There is no change {number}. `patterns changes list` has them.")
            done = Change.model_validate(found)
            if done.undone_by or done.undo_of:
                raise ProposalRefused([_why_not_undone(done)])
            back = taken_back(done.cells, f"undo of change {number}")
            cells = await _write(connection, back, rules, [])
            if other := [each for each in cells if each.after not in _before(done, each)]:
                raise ProposalRefused([_not_restored(each) for each in other])
            text = ChangeSet(rules=done.rules, proposals=tuple(back)).text
            row = {
                **{
                    "root_run": None,
                    "step": "",
                    "request": f"undo of change {number}",
                    "requester": by,
                },
                **{"text": text, "sha256": digest(text), "rules": done.rules},
                **{"review": None, "approval": None, "undo_of": number},
                "cells": Jsonb([cell.model_dump() for cell in cells]),
            }
            return Change.model_validate(await _one(connection, "keep_change", row))


def taken_back(cells: Sequence[Cell], reason: str) -> list[Proposal]:
    """Proposals that give cells the values that they had."""
    return [
        Proposal(
            table=each.table,
            key=each.key,
            column=each.column,
            old=each.after,
            new=each.before,
            reason=reason,
        )
        for each in cells
    ]


async def write_scratch(proposals: Sequence[Proposal], rules: Rules) -> list[Cell]:
    """Write proposals as `apply_changes` does, but without an approval and a record of it: in a
    scratch schema, whose records are nobody's.

    Raises ProposalRefused for what breaks a rule, is stale, or lies in any other schema.
    """
    faults = faults_of(proposals, rules)
    if not all(is_scratch(each.table.partition(".")[0]) for each in proposals):
        faults.append("Only records of a scratch schema are written without an approval")
    if faults:
        raise ProposalRefused(faults)
    with _refusing():
        async with transaction() as connection:
            return await _write(connection, proposals, rules, [])


async def changes(limit: int = 20) -> list[Change]:
    """What was changed and undone, the newest first."""
    rows = await fetch("read_changes", {"id": None, "limit": limit})
    return [Change.model_validate(row) for row in rows]


async def read_change(number: int) -> Change:
    """One change. Raises InputError when there is none of this number."""
    rows = await fetch("read_changes", {"id": number, "limit": 1})
    if not rows:
        raise InputError(f"There is no change {number}. `patterns changes list` has them.")
    return Change.model_validate(rows[0])


@contextmanager
def _refusing() -> Iterator[None]:
    """What PostgreSQL refuses to write is refused; what may succeed later is not."""
    try:
        yield
    except DatabaseUnavailable:
        raise
    except DatabaseError as error:
        raise ProposalRefused([str(error)]) from error


async def _approval(
    connection: Connection, change: ChangeSet, text: str, rules: Rules, review: int | None
) -> int | None:
    """The event that approved the text. Raises ProposalRefused when it may not be applied."""
    if change.rules != rules.version:
        raise ProposalRefused(["The rules have changed since it was proposed: request it again"])
    if faults := faults_of(change.proposals, rules):
        raise ProposalRefused(faults)
    if review is None:
        if needs_review(change.proposals, rules):
            raise ProposalRefused(["A person has to approve it, and nobody has"])
        return None
    approved = await read_review(review, connection)
    if not (approved.is_approved and approved.text == text and approved.outcome):
        raise ProposalRefused([f"Review {review} has not approved exactly this"])
    return approved.outcome.id


async def _write(
    connection: Connection, proposals: Sequence[Proposal], rules: Rules, effects: list[Effect]
) -> list[Cell]:
    """Write the proposals as the applier, records in order, each locked and held against what the
    proposal says of it. Nothing is deferred past here. ``effects`` gets the records."""
    ordered = sorted(proposals, key=lambda each: (each.table, each.key, each.column))
    cells = list[Cell]()
    async with acting_as(connection, get_settings().applier_role):
        for (table, key), group in groupby(ordered, key=lambda each: (each.table, each.key)):
            wanted = {each.column: each for each in group}
            if table not in rules.tables:
                raise ProposalRefused([f"The table {table} may not be changed"])
            place = rules.tables[table].place(table)
            before = await lock_record(connection, place, key, [*wanted])
            _require_fresh(before, wanted, table, key)
            new = {column: each.new for column, each in wanted.items()}
            await set_cells(connection, place, key, new)
            after = await lock_record(connection, place, key, [*wanted])
            if before is None or after is None:
                raise ProposalRefused([f"Record {key} of {table} would be out of reach afterwards"])
            cells += [
                Cell(table=table, key=key, column=name, before=before[name], after=after[name])
                for name in wanted
            ]
            records = {"before": before["__record"], "after": after["__record"]}
            effects.append(Effect.model_validate({"table": table, "key": key, **records}))
        await connection.execute("set constraints all immediate")
    return cells


def _require_fresh(
    now: Mapping[str, Any] | None, wanted: Mapping[str, Proposal], table: str, key: str
) -> None:
    if now is None:
        raise ProposalRefused([f"Record {key} of {table} is gone, or may not be changed"])
    stale = [each.cell for name, each in wanted.items() if now[name] != each.old]
    if stale:
        raise ProposalRefused([f"{cell} has changed since; make a new request" for cell in stale])


def _before(done: Change, cell: Cell) -> list[str | None]:
    place = (cell.table, cell.key, cell.column)
    return [e.before for e in done.cells if (e.table, e.key, e.column) == place]


def _not_restored(cell: Cell) -> str:
    return f"{cell.table}.{cell.column} of record {cell.key} would not be as it was: a trigger?"


def _why_not_undone(done: Change) -> str:
    if done.undo_of:
        return f"Change {done.id} is an undo itself: request the change again"
    return f"Change {done.id} was undone by {done.undone_by} already"


async def _one(connection: Connection, name: str, params: Mapping[str, Any]) -> Any:
    return await (await connection.execute(queries()[name], params)).fetchone()
