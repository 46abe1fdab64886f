"""Who is to know of a review that waits is told, and told no text."""

from typing import Any

import pytest

from infra.errors import WebhookError
from infra.review_policy import ReviewPolicy
from infra.settings import get_settings
from tasks import review_notices
from tasks.decisions import expire
from tasks.review_notices import announce, message, remind
from tasks.review_upkeep import _notices
from tasks.reviews import Review, read_review
from tests.tasks.kept_reviews import opened

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.setenv("PATTERNS_REVIEW_WEBHOOK", "http://127.0.0.1:1/hook")
    get_settings.cache_clear()
    heard: list[dict[str, Any]] = []
    monkeypatch.setattr(review_notices, "post", lambda url, message: heard.append(message))
    return heard


async def waited_for(policy: ReviewPolicy | None = None) -> Review:
    return await opened("Dear Ann, secret", policy)


async def announced(policy: ReviewPolicy | None = None) -> Review:
    review = await waited_for(policy)
    assert await announce(review)
    return await read_review(review.id)


async def test_a_review_is_announced_once(told: list[dict[str, Any]]) -> None:
    review = await announced()
    assert await _notices(review, escalated=False) == []
    [heard] = told
    assert (heard["event"], heard["review"], heard["run"]) == (
        "waiting",
        review.id,
        str(review.root_run),
    )


async def test_no_draft_and_no_ticket_is_told() -> None:
    said = str(message(await waited_for(), "waiting"))
    assert "secret" not in said
    assert "Charged" not in said


async def test_without_a_webhook_nobody_is_told() -> None:
    review = await waited_for()
    assert not await announce(review)
    assert (await read_review(review.id)).announced_at is None


async def test_what_did_not_get_through_is_told_by_the_upkeep(
    told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as broken:

        def fail(url: str, message: object) -> None:
            raise WebhookError("It answered 500.")

        broken.setattr(review_notices, "post", fail)
        review = await waited_for()
        assert not await announce(review)
    assert "answered 500" in caplog.text
    assert await _notices(review, escalated=False) == ["announced"]
    assert len(told) == 1


async def test_whoever_lets_a_review_wait_is_reminded(told: list[dict[str, Any]]) -> None:
    review = await announced(ReviewPolicy(remind_after=1e-9))
    assert await _notices(review, escalated=False) == ["reminded"]
    assert (await read_review(review.id)).reminded_at is not None
    patient = await announced()
    assert await _notices(patient, escalated=False) == []
    assert await remind(patient)


async def test_those_to_whom_a_review_is_escalated_are_told(
    told: list[dict[str, Any]],
) -> None:
    policy = ReviewPolicy(expires_after=1e-9, on_expiry="escalate", escalate_to=("lead",))
    review = await expire((await waited_for(policy)).id)
    await _notices(review, escalated=True)
    assert (told[0]["event"], told[0]["roles"]) == ("escalated", ["lead"])
