"""What happened to reviews: rows only ever added, each one's hash over the one before.

The database refuses to change a row. Who gets round that, as its owner can, is found: a changed,
removed or re-ordered row, or a draft that is no longer the one that was shown, breaks the chain.
The hashes cover texts and reasons by their own hashes, so that words can be forgotten and the chain
stays: an event says that they were, and vouches for what is left.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from infra.errors import DatabaseError
from infra.postgres import Connection, transaction
from infra.sql import queries

Kind = Literal[
    "opened",
    "approve",
    "edit",
    "reject",
    "refused",
    "escalated",
    "expired",
    "abandoned",
    "forgotten",
]

_FORMAT = 3
_VOUCHING = ("opened", "forgotten")  # for the draft, and for all that is shown beside it
_FIELDS = {
    1: ("id", "review", "kind", "actor", "reason", "shown_sha256", "before_sha256"),
    2: (
        *("id", "review", "kind", "actor", "reason_code", "reason", "shown_sha256"),
        *("text_sha256", "policy", "final", "before_sha256"),
    ),
    3: (
        *("id", "review", "kind", "actor", "reason_code", "reason_sha256", "shown_sha256"),
        *("text_sha256", "policy", "final", "before_sha256"),
    ),
}


class Event(BaseModel):
    """What happened to a review, and who did it.

    ``shown_sha256``: hash (hex) of the text that was seen. ``text``: what an edit made of it, with
    ``text_sha256``, which of an opening is the hash of all that the reviewer sees beside the text,
    and of a forgetting that of what is left of it.
    ``policy``: version of the policy that held. ``final``: the review ended with it.
    """

    model_config = ConfigDict(frozen=True)

    review: int
    kind: Kind
    actor: str
    reason_code: str = ""
    reason: str = ""
    shown_sha256: str
    text: str | None = None
    text_sha256: str = ""
    policy: str = ""
    final: bool = False
    at: datetime
    id: int = 0


class Verified(BaseModel):
    """The state of the chain. ``faults``: what is wrong with which event; none: it is whole."""

    model_config = ConfigDict(frozen=True)

    events: int
    faults: tuple[str, ...]


async def append(connection: Connection, event: Event) -> Event:
    """Add an event to the chain, in the connection's transaction, which holds `lock_chain` from
    here on. Raises DatabaseError when the chain's end is gone."""
    end = await lock_chain(connection)
    row = {
        **event.model_dump(),
        "id": end["events"] + 1,
        "format": _FORMAT,
        "reason_sha256": digest(event.reason),
        "before_sha256": end["sha256"],
    }
    row["sha256"] = link(row)
    await connection.execute(queries()["append_event"], row)
    await connection.execute(queries()["move_chain"], row)
    return event.model_copy(update={"id": row["id"]})


async def lock_chain(connection: Connection) -> dict[str, Any]:
    """The chain's end; until the transaction ends, nobody else adds to it."""
    end = await (await connection.execute(queries()["lock_chain"])).fetchone()
    if end is None:
        raise DatabaseError(
            "The end of the chain of reviews is gone: somebody emptied patterns.review_chain. "
            "Nothing is decided. See `patterns review verify`."
        )
    return end


async def verify() -> Verified:
    """Go along the whole chain, and name every event and every draft that does not fit."""
    async with transaction() as connection:  # locked: what is added meanwhile is no fault
        end = await (await connection.execute(queries()["lock_chain"])).fetchone()
        rows = await (await connection.execute(queries()["read_events"])).fetchall()
        shown = await (await connection.execute(queries()["read_shown"])).fetchall()
    texts = {row["id"]: row for row in shown}
    vouching = {row["review"]: row["id"] for row in rows if row["kind"] in _VOUCHING}
    forgotten = {row["review"]: row["id"] for row in rows if row["kind"] == "forgotten"}
    faults: list[str] = []
    before = ""
    for place, row in enumerate(rows, 1):
        if row["id"] != place and not faults:
            faults.append(f"event {place} is missing: {row['id']} comes after {place - 1}")
        if row["before_sha256"] != before:
            faults.append(f"event {row['id']} does not follow the one before it")
        found = faults_of_event(row, forgotten.get(row["review"], 0))
        if vouching.get(row["review"], row["id"]) == row["id"]:
            found += _faults_of_draft(row, texts.get(row["review"]))
        faults += [f"event {row['id']}: {fault}" for fault in found]
        before = row["sha256"]
    if end is None:
        faults.append("the end of the chain is gone: patterns.review_chain is empty")
    elif (end["events"], end["sha256"]) != (len(rows), before):
        faults.append(f"the chain should end with event {end['events']} and does not")
    opened = {row["review"] for row in rows}
    faults += [f"review {number} was never opened" for number in sorted(texts.keys() - opened)]
    return Verified(events=len(rows), faults=tuple(faults))


def link(row: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of an event and of what came before it.

    As JSON in ASCII, so that no reader of another language or version takes it for other bytes.
    """
    at = row["at"].astimezone(UTC).isoformat(timespec="microseconds")
    return digest(json.dumps([*(row[name] for name in _FIELDS[row["format"]]), at]))


def digest(text: str) -> str:
    """SHA-256 (hex) of the text's UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def beside_sha256(row: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of all that a reviewer sees beside the text, and of what binds him."""
    names = ("kind", "title", "author", "round", "material", "shown", "inputs", "evidence")
    told = {name: row[name] for name in (*names, "policy", "reviewers")}
    return digest(json.dumps(told, sort_keys=True))


def faults_of_event(row: Mapping[str, Any], forgotten: int) -> list[str]:
    """What is wrong with an event by itself. ``forgotten``: the event by which words of its review
    were last forgotten, 0 for none: those before it may have been emptied."""

    def are_kept(words: str, sha256: str) -> bool:
        return digest(words) == sha256 or (words == "" and row["id"] < forgotten)

    faults = []
    told = row["format"] < 3 or are_kept(row["reason"], row["reason_sha256"])
    if link(row) != row["sha256"] or not told:
        faults.append("it was changed after it was made")
    if row["kind"] == "edit" and not are_kept(row["text"] or "", row["text_sha256"]):
        faults.append("the edited text is another now")
    return faults


def vouching_event(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Of a review's events, in order, the one that vouches for its draft as it is now."""
    return next((each for each in reversed(events) if each["kind"] in _VOUCHING), None)


def _faults_of_draft(row: Mapping[str, Any], review: Mapping[str, Any] | None) -> list[str]:
    """What is wrong with the draft that an event vouches for."""
    if row["kind"] not in _VOUCHING and row["format"] != 1:
        return []
    if review is None or digest(review["text"]) != row["shown_sha256"]:
        return ["its draft is no longer the text that was shown"]
    if row["kind"] in _VOUCHING and beside_sha256(review) != row["text_sha256"]:
        return ["what was shown beside its draft is another now"]
    return []
