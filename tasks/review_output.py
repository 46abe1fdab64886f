"""The review step of every flow: draft → review → APPROVE → released · REJECT → drafted again.

Called in the body of a top-level flow. A local run pauses and its process waits; a deployed run
suspends and its process ends, and then the flow starts from the top, and here again. Whatever is
drafted by then, what was stored and shown the first time is what is released: where a review
stands is read from the database, and the answer of a form is only one of the ways to get there.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from prefect.context import FlowRunContext
from prefect.flow_runs import apause_flow_run, asuspend_flow_run
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict

from infra.errors import (
    DatabaseError,
    DatabaseUnavailable,
    DecisionRefused,
    ModelError,
    ReviewRefused,
)
from infra.postgres import fetch
from infra.settings import get_settings
from infra.slots import HEARTBEAT, HOLDER, LEASE
from tasks.decisions import decide, expire
from tasks.review_chain import digest
from tasks.review_form import ReviewForm, answer_of, form_text, spent
from tasks.review_notices import announce, tell_waiting
from tasks.review_wakeup import is_wakeup, wake
from tasks.reviews import (
    Draft,
    Rejection,
    Review,
    Subject,
    find_review,
    open_review,
    read_review,
)
from tasks.runs import together
from tasks.steps import current_root_run

POLL_SECONDS = 2
_FOR_EVER = 10 * 365 * 24 * 3600  # seconds; when a review expires is its policy's affair

Make = Callable[[tuple[Rejection, ...]], Awaitable[Draft]]


class Released(BaseModel):
    """A text that people have released. ``sha256`` (hex): of its UTF-8; ``review``: its number;
    ``rejections``: why the drafts before it were not; ``edited``: it is no draft of the model's."""

    model_config = ConfigDict(frozen=True)

    text: str
    sha256: str
    reviewers: tuple[str, ...]
    review: int
    rejections: tuple[Rejection, ...] = ()
    edited: bool = False


class Refused(BaseModel):
    """A draft that was not released: of the last of its reviews, and why in words."""

    model_config = ConfigDict(frozen=True)

    review: int
    reason: str
    rejections: tuple[Rejection, ...] = ()


@dataclass(frozen=True)
class Reviewable:
    """Something to review. ``make`` drafts it, with the rejections of the drafts before; ``step``
    names it among those of the run, the same whenever the run passes here; ``final``: a rejection
    ends it, since there is no other draft to make."""

    subject: Subject
    make: Make
    step: str = "review"
    final: bool = False


async def review_output(
    subject: Subject, make: Make, *, step: str = "review", final: bool = False
) -> Released:
    """Wait until people release what ``make`` drafts, or an edit of it.

    A rejected draft is made again with the reasons, as often as the policy allows; not a ``final``
    one. Raises ReviewRefused with the last reason, DatabaseError when what is kept was tampered
    with, and what ``make`` raises.
    """
    [outcome] = await review_all([Reviewable(subject, make, step, final=final)])
    if isinstance(outcome, Refused):
        raise ReviewRefused(f"Review {outcome.review}: {outcome.reason}")
    return outcome


async def review_all(items: Sequence[Reviewable]) -> list[Released | Refused]:
    """Wait until all of these are decided; their drafts are made at once, and shown in order.

    People may decide on them in any order at the terminal; the run's own form shows one after the
    other. Raises what `review_output` raises but ReviewRefused.
    """
    lost: dict[str, Refused] = {}
    require_policies(item.subject.policy for item in items)
    while True:
        standing = [lost.get(item.step) or await _standing(item) for item in items]
        if missing := [each for each in standing if isinstance(each, _Missing)]:
            lost |= await _open(missing)
        elif waiting := [each for each in standing if isinstance(each, _Waiting)]:
            await _answer(waiting[0])
        else:
            return [each for each in standing if isinstance(each, Released | Refused)]


def require_policies(names: Iterable[str]) -> None:
    """Raise SettingsError for a policy that nobody could decide by, before anything is drafted."""
    for name in {*names}:
        get_settings().review_policy(name)


@dataclass(frozen=True)
class _Waiting:
    """A review that waits, and what was rejected before it."""

    review: Review
    history: tuple[Rejection, ...]


@dataclass(frozen=True)
class _Missing:
    """A review that is to be opened: its step, and the one before it, if that was rejected."""

    item: Reviewable
    step: str
    rejections: tuple[Rejection, ...]
    last: Review | None


async def _standing(item: Reviewable) -> "Released | Refused | _Waiting | _Missing":
    """Where an item stands, by what is kept of its rounds so far."""
    rejections: tuple[Rejection, ...] = ()
    last: Review | None = None
    while True:
        step, review = await _round(current_root_run(), f"{item.step}-{len(rejections) + 1}")
        if review is None:
            return _Missing(item, step, rejections, last)
        if review.outcome is None:
            return _Waiting(review, rejections)
        if review.is_approved:
            return _released(review, rejections)
        rejections, last = (*rejections, review.rejection), review
        rounds = 1 if item.final else review.policy.max_rounds
        if review.outcome.kind != "reject" or len(rejections) >= rounds:
            return Refused(review=review.id, reason=review.state, rejections=rejections)


async def _round(root_run: UUID, step: str) -> tuple[str, Review | None]:
    """The review of a round, and its step; another one where it was abandoned: a run that had
    ended was started again."""
    while True:
        review = await find_review(root_run, step)
        if not (review and review.outcome and review.outcome.kind == "abandoned"):
            return step, review
        step += "-again"


async def _open(missing: Sequence[_Missing]) -> dict[str, Refused]:
    """Make drafts, all at once, and open their reviews in order. What could not be drafted again
    after a rejection, by step; a first draft that cannot be made is the caller's error."""
    drafts = await together(_drafted(each) for each in missing)
    lost, opened = dict[str, Refused](), list[Review]()
    for each, draft in zip(missing, drafts, strict=True):
        if isinstance(draft, Refused):
            lost[each.item.step] = draft
        else:
            subject, number = each.item.subject, len(each.rejections) + 1
            policy = get_settings().review_policy(subject.policy)
            run = current_root_run()
            opened.append(await open_review(run, each.step, number, subject, draft, policy))
    await together(announce(review) for review in opened)
    return lost


async def _drafted(missing: _Missing) -> Draft | Refused:
    try:
        return await missing.item.make(missing.rejections)
    except ModelError as error:
        if missing.last is None or error.transient:
            raise
        why = f"it could not be drafted again: {error}"
        return Refused(review=missing.last.id, reason=why, rejections=missing.rejections)


def _released(review: Review, rejections: tuple[Rejection, ...]) -> Released:
    end = review.outcome
    assert end is not None
    return Released(
        text=review.text,
        sha256=digest(review.text),
        reviewers=review.approved_by or (end.actor,),
        review=review.id,
        rejections=rejections,
        edited=review.text != review.draft.text,
    )


async def _answer(waiting: _Waiting) -> None:
    """Wait for the answer of the form, and keep it; or for somebody to decide elsewhere."""
    review, deployed = waiting.review, _is_deployed()
    wait = {"review": review.id, "deployed": deployed, "shown_sha256": digest(review.text)}
    await fetch("begin_wait", {**wait, "holder": None if deployed else HOLDER, "lease": LEASE})
    review = await read_review(review.id)
    text = form_text(review, waiting.history, await spent(review.root_run))
    form = ReviewForm.with_initial_data(description=text)
    key = f"{review.step}-{review.answers + 1}"
    if deployed:
        said = await asuspend_flow_run(form, timeout=_FOR_EVER, key=key)
    else:
        tell_waiting(review)
        async with _kept_alive(review):
            said = await apause_flow_run(
                form, timeout=_FOR_EVER, poll_interval=POLL_SECONDS, key=key
            )
        await fetch("end_wait", {"review": review.id})
    if is_wakeup(said):
        await fetch("take_answer", {"review": review.id})
    else:
        await _heard(await read_review(review.id), said)


async def _heard(review: Review, said: ReviewForm) -> None:
    try:
        await decide(review.id, answer_of(said, review), from_form=True)
    except DecisionRefused as refused:  # the next form shows it
        get_run_logger().warning("%s", refused)


@asynccontextmanager
async def _kept_alive(review: Review) -> AsyncIterator[None]:
    """Say while a local run waits that its process lives, and wake it when its review ended
    without its form: overdue, decided at a terminal, or altered, which the run itself has to see.
    """
    watch = asyncio.create_task(_watch(review))
    try:
        yield
    finally:
        watch.cancel()


async def _watch(review: Review) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT)
        try:
            await fetch("renew_wait", {"review": review.id, "holder": HOLDER, "lease": LEASE})
            now = await expire(review.id)
            if now.outcome:
                await wake(now)
        except DatabaseUnavailable as error:  # the lease outlives some beats
            get_run_logger().warning("%s", error)
        except DatabaseError:
            await wake(review)


def _is_deployed() -> bool:
    run = FlowRunContext.get()
    return bool(run and run.flow_run and run.flow_run.deployment_id)
