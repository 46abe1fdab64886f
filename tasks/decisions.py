"""Decisions of people on drafts: rows only ever added, each one's hash over the one before.

The database refuses to change a row. Who gets round that, as its owner can, is found: a changed,
removed or re-ordered row, or a draft that is no longer the one that was shown, breaks the chain.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from infra.errors import DatabaseError, InputError
from infra.postgres import Connection, fetch, transaction
from infra.sql import queries


class Decision(BaseModel):
    """What a person decided on a review. ``shown_sha256``: hash (hex) of the text that was seen."""

    model_config = ConfigDict(frozen=True)

    review: int
    verdict: str
    reviewer: str
    reason: str
    shown_sha256: str


class Verified(BaseModel):
    """The state of the chain. ``faults``: what is wrong with which decision; none: it is whole."""

    model_config = ConfigDict(frozen=True)

    decisions: int
    faults: tuple[str, ...]


class Kept(BaseModel):
    """A review as it is kept: the text that waits for a person, and what was decided on it, if it
    was. ``sha256``: of the text when it was stored."""

    model_config = ConfigDict(frozen=True)

    id: int
    root_run: str
    title: str
    text: str
    sha256: str
    opened_at: datetime
    verdict: str | None
    reviewer: str | None
    reason: str | None
    decided_at: datetime | None


async def open_review(root_run: UUID, step: str, title: str, text: str) -> Kept:
    """Store a text for review. The first one under a run's step is the one that is reviewed,
    whatever text the run comes with when it starts anew.

    Raises DatabaseError when the stored text is not the one that was stored.
    """
    place = {"root_run": root_run, "step": step}
    await fetch("open_review", {**place, "title": title, "text": text, "sha256": digest(text)})
    [row] = await fetch("read_review", place)
    kept = await read_review(row["id"])
    require_unaltered(kept, kept.sha256)
    return kept


def require_unaltered(kept: Kept, sha256: str) -> None:
    """Raise DatabaseError when the text is not the one with this hash (hex)."""
    if digest(kept.text) != sha256:
        raise DatabaseError(
            f"The draft of review {kept.id} was altered in the database: its hash is another. "
            "Nothing is released. See `patterns review verify`, and start a new run."
        )


async def record(decision: Decision) -> Decision:
    """Add a decision to the chain; of several on one review the first stands and is given back."""
    async with transaction() as connection:
        end = await _one(connection, "lock_chain", {})
        made = await _one(connection, "read_decision", {"review": decision.review})
        if made:
            return Decision.model_validate(made)
        if end is None:
            raise DatabaseError(
                "The end of the chain of decisions is gone: somebody emptied "
                "patterns.decision_chain. Nothing is decided. See `patterns review verify`."
            )
        row = {
            **decision.model_dump(),
            "id": end["decisions"] + 1,
            "at": datetime.now(UTC),
            "before_sha256": end["sha256"],
        }
        row["sha256"] = link(row)
        await connection.execute(queries()["append_decision"], row)
        await connection.execute(queries()["move_chain"], row)
    return decision


async def verify() -> Verified:
    """Go along the whole chain, and name every decision that does not fit."""
    async with transaction() as connection:  # locked: a decision made meanwhile is no fault
        end = await _one(connection, "lock_chain", {})
        rows = await (await connection.execute(queries()["read_decisions"])).fetchall()
    faults: list[str] = []
    before = ""
    for place, row in enumerate(rows, 1):
        if row["id"] != place and not faults:
            faults.append(f"decision {place} is missing: {row['id']} comes after {place - 1}")
        if row["before_sha256"] != before:
            faults.append(f"decision {row['id']} does not follow the one before it")
        if link(row) != row["sha256"]:
            faults.append(f"decision {row['id']} was changed after it was made")
        if row["text"] is None or digest(row["text"]) != row["shown_sha256"]:
            faults.append(f"decision {row['id']}: its draft is no longer the text that was shown")
        before = row["sha256"]
    if end is None:
        faults.append("the end of the chain is gone: patterns.decision_chain is empty")
    elif (end["decisions"], end["sha256"]) != (len(rows), before):
        faults.append(f"the chain should end with decision {end['decisions']} and does not")
    return Verified(decisions=len(rows), faults=tuple(faults))


async def reviews(*, decided: bool = False) -> list[Kept]:
    """The reviews that wait, the oldest first; ``decided``: the others too."""
    rows = await fetch("list_reviews", {"id": None, "all": decided})
    return [_kept(row) for row in rows]


async def read_review(number: int) -> Kept:
    """One review. Raises InputError when there is none of this number."""
    rows = await fetch("list_reviews", {"id": number, "all": True})
    if not rows:
        raise InputError(f"There is no review {number}. `patterns review list --all` names them.")
    return _kept(rows[0])


def link(row: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a decision and of what came before it.

    As JSON in ASCII, so that no reader of another language or version takes it for other bytes.
    """
    at = row["at"].astimezone(UTC).isoformat(timespec="microseconds")
    names = ("id", "review", "verdict", "reviewer", "reason", "shown_sha256", "before_sha256")
    return digest(json.dumps([*(row[name] for name in names), at]))


def _kept(row: Mapping[str, Any]) -> Kept:
    return Kept.model_validate({**row, "root_run": str(row["root_run"])})


def digest(text: str) -> str:
    """SHA-256 (hex) of the text's UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


async def _one(
    connection: Connection, name: str, params: Mapping[str, Any]
) -> dict[str, Any] | None:
    return await (await connection.execute(queries()[name], params)).fetchone()
