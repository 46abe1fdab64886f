"""Upkeep of reviews: what is overdue, decided but asleep, dead, or forgotten; and the inbox."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed
from pydantic import BaseModel, ConfigDict

from infra.errors import DatabaseError, DatabaseUnavailable
from tasks.decisions import abandon, expire
from tasks.markdown import escaped, table
from tasks.review_notices import announce, notify, remind, run_url
from tasks.review_wakeup import wake
from tasks.reviews import Review, reviews
from tasks.runs import RETRIED

INBOX = "review-inbox"  # the artifact's key: its page shows the newest, and those before

Deed = Literal[
    "expired", "escalated", "abandoned", "woken", "mended", "announced", "reminded", "altered"
]


class Tended(BaseModel):
    """What was done for a review."""

    model_config = ConfigDict(frozen=True)

    review: int
    deed: Deed


class Inbox(BaseModel):
    """The reviews that wait for people, the oldest first, and what the upkeep did."""

    model_config = ConfigDict(frozen=True)

    waiting: tuple[Review, ...]
    tended: tuple[Tended, ...]


async def tend(review: Review) -> list[Tended]:
    """Do for a review what time, its run's state and its policy ask for.

    A local run whose process died in the wait can never go on: Prefect would keep it Paused, or
    Running once resumed, for ever. It is marked Crashed, and its review ends.
    """
    deeds = list[Deed]()
    run = await _run(review.root_run)
    ended = _why_nobody_waits(review, run) if review.outcome is None else None
    if ended:
        review = await abandon(review.id, ended)
        deeds.append("abandoned")
    elif review.is_due:
        review = await expire(review.id)
        deeds.append("expired" if review.outcome else "escalated")
    if run and _is_zombie(review, run):
        await _mend(run.id, review.id)
        deeds.append("mended")
    elif run and review.outcome and await wake(review):
        deeds.append("woken")
    if review.outcome is None:
        deeds += await _notices(review, escalated="escalated" in deeds)
    return [Tended(review=review.id, deed=deed) for deed in deeds]


def inbox_markdown(inbox: Inbox) -> str:
    """The inbox as Markdown: what waits, since when, for whom, and where it is answered."""
    rows = [
        (
            f"[{review.id}]({run_url(review)})",
            escaped(" ".join(review.title.split())),
            f"{review.opened_at:%Y-%m-%d %H:%M}",
            f"{review.deadline:%Y-%m-%d %H:%M}",
            escaped(", ".join(review.roles)) or "anybody",
            f"{len(review.approved_by)} of {review.policy.people}",
        )
        for review in inbox.waiting
    ]
    head = ("Review", "What", "Waits since (UTC)", "Until", "Who decides", "Approved")
    waiting = table(head, "llllll", rows) if rows else "Nothing waits for a person."
    done = "".join(f"\n- review {each.review}: {each.deed}" for each in inbox.tended)
    return waiting + (f"\n\nUpkeep:\n{done}" if done else "")


@task(name="tend reviews", **RETRIED)
async def tend_all() -> Inbox:
    """`tend` for each review that waits, or was decided lately: its run may not have heard."""
    done = [each for review in await reviews("recent") for each in await _tended(review)]
    return Inbox(waiting=tuple(await reviews()), tended=tuple(done))


@task(name="publish inbox", cache_policy=NO_CACHE, persist_result=False)
async def publish_inbox(inbox: Inbox) -> None:
    """Leave the inbox where everybody finds it."""
    await acreate_markdown_artifact(
        inbox_markdown(inbox), key=INBOX, description="Reviews that wait for people"
    )


def require_unaltered(inbox: Inbox) -> None:
    """Raise DatabaseError naming reviews that were altered in the database."""
    altered = [str(each.review) for each in inbox.tended if each.deed == "altered"]
    if altered:
        raise DatabaseError(
            f"Reviews that were altered in the database: {', '.join(altered)}. Nothing is released "
            "of them. See `patterns review verify`."
        )


async def _tended(review: Review) -> list[Tended]:
    """`tend`, but that one review which was tampered with does not keep the others waiting."""
    try:
        return await tend(review)
    except DatabaseUnavailable:
        raise
    except DatabaseError:
        return [Tended(review=review.id, deed="altered")]


def _why_nobody_waits(review: Review, run: FlowRun | None) -> str | None:
    if run is None:
        return "its run is gone"
    if run.state and run.state.is_final():
        return f"its run is {run.state.name}"
    if review.deployed is False and review.lapsed:
        return "the process of its run is gone"
    return None


def _is_zombie(review: Review, run: FlowRun) -> bool:
    """Whether the run stands in Prefect as one that goes on, and its process died in the wait."""
    dead = review.deployed is False and review.lapsed
    return bool(dead and run.state and not run.state.is_final())


async def _mend(run: UUID, number: int) -> None:
    said = f"Its process is gone since it waited for review {number}. Start it anew."
    async with get_client() as client:
        await client.set_flow_run_state(run, Crashed(message=said), force=True)


async def _run(run: UUID) -> FlowRun | None:
    async with get_client() as client:
        try:
            return await client.read_flow_run(run)
        except ObjectNotFound:
            return None


async def _notices(review: Review, *, escalated: bool) -> Sequence[Deed]:
    if escalated:
        await notify(review, "escalated")
        return []
    if review.announced_at is None:
        return ["announced"] if await announce(review) else []
    since = review.reminded_at or review.announced_at
    late = datetime.now(UTC) - since >= timedelta(hours=review.policy.remind_after)
    return ["reminded"] if late and await remind(review) else []
