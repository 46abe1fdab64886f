"""Decisions on reviews: judged by the rules and kept in one transaction, before anybody obeys.

Who decides, in the form of a paused run or at a terminal, is heard here; the run that waits is
only woken up, and reads what stands.
"""

import secrets
from datetime import UTC, datetime

from infra.errors import DecisionRefused, InputError
from infra.postgres import Connection, fetch, transaction
from infra.settings import get_settings
from infra.sql import queries
from tasks.review_chain import Event, append, digest, lock_chain
from tasks.review_rules import ReviewAnswer, Verdict, fault_of, known_name
from tasks.reviews import Review, read_review

_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # no letters that are taken for digits
_CODE_LENGTH = 12  # 60 bits
POLICY = "policy"  # who acts where nobody did


async def decide(number: int, answer: ReviewAnswer, *, from_form: bool = False) -> Review:
    """Keep a reviewer's answer, and where the review stands with it.

    ``from_form``: it is the answer to the review's form, which is taken with it, and a refusal of
    it is kept as well, for the next form to show.

    Raises DecisionRefused with the rule that it breaks; the review then stands as it stood, but
    that one that is overdue has expired. InputError when there is no such review, DatabaseError
    when it was altered.
    """
    async with transaction() as connection:
        await lock_chain(connection)
        review = await _expired(connection, await read_review(number, connection))
        fault = await _fault(connection, review, answer)
        if from_form:
            await connection.execute(queries()["take_answer"], {"review": number})
        if fault is None:
            await append(connection, _event(review, answer))
        elif from_form and review.outcome is None:
            await append(connection, _event(review, answer, fault))
        review = await read_review(number, connection)
    if fault:
        raise DecisionRefused(f"Review {number}: {fault}")
    return review


async def expire(number: int) -> Review:
    """Apply the policy of a review that nobody decided on in time; where it stands then."""
    async with transaction() as connection:
        await lock_chain(connection)
        return await _expired(connection, await read_review(number, connection))


async def abandon(number: int, reason: str) -> Review:
    """End a review that no run waits for any more. One that is decided stays as it is."""
    async with transaction() as connection:
        await lock_chain(connection)
        review = await read_review(number, connection)
        if review.outcome is None:
            await append(connection, _of_policy(review, "abandoned", reason, final=True))
        return await read_review(number, connection)


async def invite(reviewer: str, made_by: str, number: int | None, days: float) -> tuple[str, str]:
    """A new one-time code for a reviewer, and his name as the list spells it.

    ``number``: the only review that it is good for; ``days``: how long. The code is told once: what
    is kept is its hash. Raises InputError for who is not in the list, or a review that is none.
    """
    review = await read_review(number) if number is not None else None
    reviewers = review.allowed if review else get_settings().reviewers
    name = known_name(reviewer, reviewers)
    if not name or (reviewers and name not in reviewers):
        raise InputError(f"{reviewer!r} is not in the list of reviewers (PATTERNS_REVIEWERS).")
    code = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_LENGTH))
    kept = {"reviewer": name, "review": number, "made_by": made_by, "seconds": days * 86_400}
    await fetch("keep_code", {**kept, "sha256": digest(code)})
    return code, name


async def _expired(connection: Connection, review: Review) -> Review:
    """The review, with its policy applied if it is overdue."""
    if not review.is_due:
        return review
    waited = f"nobody decided by {review.deadline:%Y-%m-%d %H:%M} UTC"
    if review.expiry == "escalate":
        event = _of_policy(review, "escalated", waited)
    else:
        event = _of_policy(review, "expired", waited, final=True)
    await append(connection, event)
    return await read_review(review.id, connection)


async def _fault(connection: Connection, review: Review, answer: ReviewAnswer) -> str | None:
    if review.outcome:
        return f"it is decided already: {review.state}."
    if fault := fault_of(answer, review, digest(review.text)):
        return fault
    if not (review.policy.codes or answer.code.strip()):
        return None
    used = {"sha256": answer.code_sha256, "reviewer": answer.reviewer.strip(), "review": review.id}
    if await (await connection.execute(queries()["use_code"], used)).fetchone():
        return None
    return (
        "A valid one-time code is needed: this one is unknown, used, too old or another person's. "
        "`patterns review invite` makes one."
    )


def _event(review: Review, answer: ReviewAnswer, fault: str = "") -> Event:
    """What an answer comes to: a decision, or with a fault the refusal of one."""
    edited = answer.text if answer.verdict is Verdict.EDIT else None
    people = len(review.approved_by) + 1 if edited is None else 1
    enough = answer.verdict is Verdict.REJECT or people >= review.policy.people
    decided = {
        "kind": answer.verdict.value,
        "reason_code": answer.reason_code.value,
        "reason": answer.reason.strip(),
        "text": edited,
        "text_sha256": digest(edited) if edited else "",
        "final": enough,
    }
    return Event.model_validate(
        {
            **({"kind": "refused", "reason": fault} if fault else decided),
            "review": review.id,
            "actor": known_name(answer.reviewer, review.allowed),
            "shown_sha256": answer.shown_sha256,
            "policy": review.policy.version,
            "at": datetime.now(UTC),
        }
    )


def _of_policy(review: Review, kind: str, reason: str, *, final: bool = False) -> Event:
    return Event.model_validate(
        {
            "review": review.id,
            "kind": kind,
            "actor": POLICY,
            "reason": reason,
            "shown_sha256": digest(review.text),
            "policy": review.policy.version,
            "final": final,
            "at": datetime.now(UTC),
        }
    )
