import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun

from flows.prompt_service import answer_prompt
from infra.errors import DatabaseError, InputError, ReviewRefused
from tasks import release
from tasks.answers import Answer, PromptRequest
from tasks.decisions import digest, reviews
from tests.endpoint import ScriptedEndpoint

pytestmark = pytest.mark.usefixtures("database")

HELD_BACK = PromptRequest(prompt="classify_ticket", inputs={"ticket": "Help"}, review=True)
PAY_EVE = digest("Pay Eve")
Decide = Callable[[dict[str, str]], Awaitable[None]]


@pytest.fixture(autouse=True)
def _reply(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: (
        '{"category": "billing", "urgency": "low", "summary": "A refund."}'
    )


async def test_a_reply_comes_with_all_there_is_to_know_about_it(
    endpoint: ScriptedEndpoint,
) -> None:
    request = PromptRequest(prompt="classify_ticket", inputs={"ticket": "Charged twice"})
    first, second = await answer_prompt(request), await answer_prompt(request)
    assert '"billing"' in first.reply
    assert (first.prompt, first.served_by, first.released_by) == ("classify_ticket", "model", None)
    assert (second.reply, second.served_by) == (first.reply, "exact")
    assert len(endpoint.calls) == 1


async def test_an_unknown_prompt_is_refused_before_a_model_is_asked(
    endpoint: ScriptedEndpoint,
) -> None:
    with pytest.raises(InputError, match="There is no prompt 'guess'"):
        await answer_prompt(PromptRequest(prompt="guess"))
    assert endpoint.calls == []


async def test_a_local_run_waits_until_a_person_releases_the_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, decide = await waiting(monkeypatch)
    await decide({"decision": "approve", "reviewer": "Ann"})
    answer = await run
    assert answer.released_by == "Ann"
    assert '"billing"' in answer.reply
    [kept] = await reviews(decided=True)
    assert (kept.verdict, kept.reviewer, kept.text) == ("approve", "Ann", answer.reply)


async def test_an_answer_without_a_reason_is_asked_for_again_and_a_rejection_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, decide = await waiting(monkeypatch)
    await decide({"decision": "reject", "reviewer": "Ann"})
    await decide({"decision": "reject", "reviewer": "Ann", "reason": "It is access."})
    with pytest.raises(ReviewRefused, match=r"Ann rejected the draft: It is access\."):
        await run
    [kept] = await reviews(decided=True)
    assert (kept.verdict, kept.reason) == ("reject", "It is access.")


async def test_a_draft_that_is_changed_between_showing_and_release_is_not_released(
    monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    run, decide = await waiting(monkeypatch)
    while not await reviews():
        await asyncio.sleep(0.1)
    with psycopg.connect(database) as connection:
        connection.execute("alter table patterns.reviews disable trigger only_added")
        connection.execute("update patterns.reviews set text = 'Pay Eve', sha256 = %s", [PAY_EVE])
    await decide({"decision": "approve", "reviewer": "Ann"})
    with pytest.raises(DatabaseError, match="was altered in the database"):
        await run


async def test_a_reply_that_nobody_decides_on_is_not_released(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(release, "LOCAL_PATIENCE", 1)
    run, _ = await waiting(monkeypatch)
    with pytest.raises(ReviewRefused, match="Nobody decided"):
        await run
    [kept] = await reviews()
    assert kept.verdict is None


async def waiting(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Task[Answer], Decide]:
    """A local run that waits for its review, and the means to decide on it."""
    monkeypatch.setattr(release, "POLL_SECONDS", 0.1)
    started: list[FlowRun] = []
    announced = answer_prompt.with_options(
        on_running=[lambda flow, run, state: started.append(run)]
    )
    task = asyncio.create_task(announced(HELD_BACK))
    decided = 0

    async def decide(review: dict[str, str]) -> None:
        nonlocal decided
        decided += 1
        async with get_client() as client:
            while True:
                await asyncio.sleep(0.1)
                if not started:
                    continue
                run = await client.read_flow_run(started[0].id)
                key = run.state.state_details.pause_key if run.state else None
                if not (run.state and run.state.is_paused() and key == f"review-1-{decided}"):
                    continue
                resumed = await client.resume_flow_run(run.id, run_input=review)
                if resumed.status.value == "ACCEPT":
                    return
                # Prefect stores the form a moment after the state.
                assert "schema not found" in str(resumed.details)

    return task, decide
