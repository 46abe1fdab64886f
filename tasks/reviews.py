"""Reviews: drafts that wait, or waited, for people, and where each of them stands.

A draft is stored before anybody sees it. Where it stands follows from what happened to it, which
`tasks.review_chain` keeps: nothing else is asked, so a run that starts anew finds it as it is.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from infra.errors import DatabaseError, InputError
from infra.postgres import Connection, Jsonb, fetch, transaction
from infra.review_policy import ReviewPolicy
from infra.settings import get_settings
from infra.sql import queries
from tasks.review_chain import (
    Event,
    append,
    beside_sha256,
    digest,
    faults_of_event,
    lock_chain,
    vouching_event,
)

Which = Literal["waiting", "recent", "all"]

_APPROVING = ("approve", "edit")
TEXT = "text"  # reason code of a forgetting that took words of the text, and not only beside it


class Evidence(BaseModel):
    """What a draft rests on: a source's name, and its words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    quote: str


class Draft(BaseModel):
    """A text that a person is to decide on.

    ``material``: what it answers; ``shown``: Markdown of it, where the text itself is not for
    people; ``inputs``: what it was made from, kept for training and for the checks of an edit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    material: str = ""
    shown: str = ""
    inputs: dict[str, str] = Field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()


class Subject(BaseModel):
    """What is reviewed. ``kind`` says by which checks an edit is judged, such as
    ``prompt:classify_ticket``; ``author``: who asked for it, and may not decide on it;
    ``policy``: the name of that by which it is reviewed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    kind: str
    policy: str = "default"
    author: str = ""


class Rejection(BaseModel):
    """Why a draft was not released: by whom, a reason's code and words, and the draft's text."""

    model_config = ConfigDict(frozen=True)

    reviewer: str
    reason_code: str
    reason: str
    text: str

    @property
    def words(self) -> str:
        """The reason in one line."""
        return ": ".join(filter(None, (self.reason_code, " ".join(self.reason.split()))))


class Review(BaseModel):
    """A draft as it is kept, and all that happened to it, in order.

    ``reviewers``: who might review when it was opened, with roles; none: anybody.
    ``answers``: how many answers of its form were taken; ``deployed``: whether the run that waits
    is a deployed one, None when none waits; ``lapsed``: whether its process, of a run that is not,
    has been silent for a minute longer than it may; ``form_sha256``: of the text its form shows.
    """

    model_config = ConfigDict(frozen=True)

    id: int
    root_run: UUID
    step: str
    round: int
    kind: str
    title: str
    author: str
    draft: Draft
    sha256: str
    policy: ReviewPolicy
    reviewers: dict[str, tuple[str, ...]]
    opened_at: datetime
    events: tuple[Event, ...]
    answers: int
    deployed: bool | None
    lapsed: bool
    form_sha256: str
    announced_at: datetime | None
    reminded_at: datetime | None

    @cached_property
    def text(self) -> str:
        """The text as it is now: the draft's, or what the last edit made of it."""
        edits = [event.text for event in self.events if event.kind == "edit"]
        return edits[-1] or "" if edits else self.draft.text

    @cached_property
    def approved_by(self) -> tuple[str, ...]:
        """Who has approved the text as it is now; whoever wrote it last is the first of them."""
        found = list[str]()
        for event in self.events:
            if event.kind == "edit":
                found.clear()
            if event.kind in _APPROVING:
                found.append(event.actor)
        return tuple(found)

    @property
    def outcome(self) -> Event | None:
        """What ended the review; None while it waits."""
        return next((event for event in self.events if event.final), None)

    @property
    def is_approved(self) -> bool:
        """Whether the text may be released."""
        end = self.outcome
        released_by_policy = end and end.kind == "expired" and self.policy.on_expiry == "approve"
        return bool(end and (end.kind in _APPROVING or released_by_policy)) and not self.forgotten

    @property
    def forgotten(self) -> Event | None:
        """The event by which the text, or words of it, were last forgotten, if they were: what is
        left of it is released to nobody, and teaches nothing."""
        events = (each for each in reversed(self.events) if each.kind == "forgotten")
        return next((each for each in events if each.reason_code == TEXT), None)

    @property
    def fault(self) -> str | None:
        """The rule that the last answer broke; None when it broke none."""
        last = self.events[-1] if self.events else None
        return last.reason if last and last.kind == "refused" else None

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles of which a reviewer needs one; none: whoever may review at all."""
        return self.policy.escalate_to if self._escalated else self.policy.roles

    @property
    def deadline(self) -> datetime:
        """When it expires."""
        since = self._escalated.at if self._escalated else self.opened_at
        return since + timedelta(hours=self.policy.expires_after)

    @property
    def allowed(self) -> Mapping[str, tuple[str, ...]]:
        """Who may review, with roles: the list in the settings, or where there is none, such as in
        another terminal, the one that held when it was opened; none: anybody."""
        return get_settings().reviewers or self.reviewers

    @property
    def is_due(self) -> bool:
        """Whether nobody decided in time."""
        return self.outcome is None and datetime.now(UTC) >= self.deadline

    @property
    def expiry(self) -> str:
        """What happens when it expires."""
        again = self.policy.on_expiry == "escalate" and self._escalated
        return "reject" if again else self.policy.on_expiry

    @property
    def state(self) -> str:
        """Where it stands, in words."""
        end = self.outcome
        if self.forgotten:
            return f"forgotten by {self.forgotten.actor}"
        if end is None:
            return f"waits, {len(self.approved_by)} of {self.policy.people}"
        who = " and ".join(self.approved_by) if end.kind in _APPROVING else end.actor
        return f"{end.kind} by {who}" + (f": {end.reason}" if end.reason else "")

    @property
    def rejection(self) -> Rejection:
        """Why it was not released. For one that ended so."""
        end = self.outcome
        assert end is not None
        return Rejection(
            reviewer=end.actor, reason_code=end.reason_code, reason=end.reason, text=self.text
        )

    @property
    def _escalated(self) -> Event | None:
        return next((event for event in self.events if event.kind == "escalated"), None)


async def open_review(
    root_run: UUID, step: str, number: int, subject: Subject, draft: Draft, policy: ReviewPolicy
) -> Review:
    """Store a draft for review. The first one under a run's step is the one that is reviewed,
    whatever draft the run comes with when it starts anew. ``number``: of the round of drafting."""
    row = {
        **subject.model_dump(exclude={"policy"}),
        **draft.model_dump(mode="json"),
        **{"root_run": root_run, "step": step, "round": number, "sha256": digest(draft.text)},
        "policy": policy.model_dump(mode="json"),
        "reviewers": {name: [*roles] for name, roles in get_settings().reviewers.items()},
    }
    written = {n: Jsonb(row[n]) for n in ("inputs", "evidence", "policy", "reviewers")}
    async with transaction() as connection:
        await lock_chain(connection)
        asked = await connection.execute(queries()["open_review"], {**row, **written})
        made = await asked.fetchone()
        if made:
            opened = Event(
                review=made["id"],
                kind="opened",
                actor=subject.author,
                shown_sha256=row["sha256"],
                text_sha256=beside_sha256(row),
                policy=policy.version,
                at=datetime.now(UTC),
            )
            await append(connection, opened)
    found = await find_review(root_run, step)
    assert found is not None
    return found


async def find_review(root_run: UUID, step: str) -> Review | None:
    """The review of a run's step, if it was opened."""
    rows = await fetch("find_review", {"root_run": root_run, "step": step})
    return await read_review(rows[0]["id"]) if rows else None


async def read_review(number: int, connection: Connection | None = None) -> Review:
    """One review; in the transaction of a connection, where one is given.

    Raises InputError when there is none of this number, DatabaseError when it is not as it was.
    """
    params = {"id": number, "which": "all"}
    if connection is None:
        rows = await fetch("read_reviews", params)
    else:
        rows = await (await connection.execute(queries()["read_reviews"], params)).fetchall()
    if not rows:
        raise InputError(f"There is no review {number}. `patterns review list --all` names them.")
    _require_unaltered(rows[0])
    return _review(rows[0])


async def reviews(which: Which = "waiting") -> list[Review]:
    """The reviews that wait, the oldest first; ``recent``: and those that were decided in the last
    seven days; ``all``: and all others."""
    return [_review(row) for row in await fetch("read_reviews", {"id": None, "which": which})]


def _review(row: Mapping[str, Any]) -> Review:
    draft = {name: row[name] for name in Draft.model_fields}
    known = {**row, "draft": draft, "form_sha256": row["shown_sha256"] or ""}
    return Review.model_validate({**known, "lapsed": bool(row["lapsed"])})


def _require_unaltered(row: Mapping[str, Any]) -> None:
    """Raise DatabaseError when the draft is not the one that was stored, or an event of it was
    changed: nothing that may have been tampered with is shown or obeyed."""
    events = [{**event, "at": datetime.fromisoformat(event["at"])} for event in row["events"]]
    forgotten = max((each["id"] for each in events if each["kind"] == "forgotten"), default=0)
    whole = not any(faults_of_event(event, forgotten) for event in events)
    vouching = vouching_event(events)
    # One that was decided before openings were kept has its own hash to go by.
    old = bool(events) and all(event["format"] == 1 for event in events)
    stored = vouching["shown_sha256"] if vouching else row["sha256"] if old else None
    same = digest(row["text"]) == stored
    beside = vouching is None or beside_sha256(row) == vouching["text_sha256"]
    if not (whole and same and beside):
        raise DatabaseError(
            f"Review {row['id']} was altered in the database: its hashes are others. Nothing is "
            "released. See `patterns review verify`, and start a new run."
        )
