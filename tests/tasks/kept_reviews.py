"""Reviews for tests to decide on, and to tamper with."""

from typing import Any
from uuid import UUID, uuid4

import psycopg

from infra.review_policy import ReviewPolicy
from tasks.review_chain import digest
from tasks.review_rules import ReasonCode, ReviewAnswer, Verdict
from tasks.reviews import Draft, Review, Subject, open_review

LABEL = '{"category": "billing", "urgency": "low", "summary": "Wants a refund."}'


async def opened(
    text: str = LABEL,
    policy: ReviewPolicy | None = None,
    *,
    root_run: UUID | None = None,
    kind: str = "prompt:answer_briefly",
    author: str = "",
) -> Review:
    """A review that waits."""
    return await open_review(
        root_run or uuid4(),
        "review-1",
        1,
        Subject(title="Reply", kind=kind, author=author),
        Draft(text=text, material="Charged twice", inputs={"ticket": "Charged twice"}),
        policy or ReviewPolicy(),
    )


def approval(review: Review, reviewer: str = "Ann", **rest: Any) -> ReviewAnswer:
    return _answer(Verdict.APPROVE, review, reviewer, rest)


def edit(review: Review, text: str, reviewer: str = "Ann", **rest: Any) -> ReviewAnswer:
    return _answer(Verdict.EDIT, review, reviewer, {"text": text, **rest})


def rejection(review: Review, reviewer: str = "Ann", **rest: Any) -> ReviewAnswer:
    reason = {"reason_code": ReasonCode.TONE, "reason": "too short"}
    return _answer(Verdict.REJECT, review, reviewer, reason | rest)


def _answer(verdict: Verdict, review: Review, reviewer: str, rest: dict[str, Any]) -> ReviewAnswer:
    known = {"verdict": verdict, "reviewer": reviewer, "shown_sha256": digest(review.text)}
    return ReviewAnswer.model_validate({**known, **rest})


def tamper(database: str, statement: str) -> None:
    """Do what only the tables' owner can."""
    with psycopg.connect(database) as connection:
        for table in (b"review_events", b"reviews"):
            connection.execute(b"alter table patterns." + table + b" disable trigger only_added")
        connection.execute(statement)  # type: ignore[call-overload]
