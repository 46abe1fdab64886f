"""Notices of reviews that wait: to the program behind PATTERNS_REVIEW_WEBHOOK, without any text."""

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

from prefect.logging import get_run_logger
from prefect.utilities.urls import url_for

from infra.errors import WebhookError
from infra.postgres import fetch
from infra.settings import get_settings
from infra.webhook import post
from tasks.reviews import Review

listeners: list[Callable[[Review], None]] = []  # told of what a run in this process waits for
_log = logging.getLogger(__name__)


def tell_waiting(review: Review) -> None:
    """Tell who started a run that it waits for a person."""
    get_run_logger().info("Review %s waits for a person: %s", review.id, run_url(review))
    for listener in listeners:
        listener(review)


async def announce(review: Review) -> bool:
    """Tell that a review waits; whether it got through. What did not is told again by the upkeep of
    reviews: a person can be waited for all the same."""
    if await notify(review, "waiting"):
        await fetch("note_announced", {"review": review.id})
        return True
    return False


async def remind(review: Review) -> bool:
    """Tell again that a review waits; whether it got through."""
    if await notify(review, "reminder"):
        await fetch("note_reminded", {"review": review.id})
        return True
    return False


async def notify(review: Review, event: Literal["waiting", "reminder", "escalated"]) -> bool:
    """Tell of a review; false when nobody is to be told, or when it did not get through."""
    url = get_settings().review_webhook
    if url is None:
        return False
    try:
        await asyncio.to_thread(post, url.get_secret_value(), message(review, event))
    except WebhookError as error:
        _log.warning("The webhook was not told that review %s is %s: %s", review.id, event, error)
        return False
    return True


def message(review: Review, event: str) -> dict[str, object]:
    """What is told: which review, who may decide, until when, and where. No draft, no ticket."""
    return {
        "event": event,
        "review": review.id,
        "kind": review.kind,
        "round": review.round,
        "roles": [*review.roles],
        "people": review.policy.people,
        "opened_at": review.opened_at.isoformat(),
        "deadline": review.deadline.isoformat(),
        "run": str(review.root_run),
        "url": run_url(review),
    }


def run_url(review: Review) -> str | None:
    """Where the run of a review is answered in Prefect's UI."""
    return url_for("flow-run", obj_id=review.root_run)
