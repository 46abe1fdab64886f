"""Runs that wait for people, in this process, on a real Prefect server."""

import asyncio
import json

import psycopg
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Paused, Running

from flows.human_review import tend_reviews
from flows.prompt_service import answer_prompt
from infra.errors import DatabaseError, ReviewRefused, SettingsError
from infra.review_policy import ReviewPolicy
from infra.settings import get_settings
from tasks import review_output
from tasks.answers import PromptRequest
from tasks.decisions import decide, invite
from tasks.review_chain import verify
from tasks.review_wakeup import wake
from tasks.reviews import Review, read_review, reviews
from tests.endpoint import Body, ScriptedEndpoint, user_text
from tests.flows.waiting_runs import WaitingRun, start
from tests.tasks.kept_reviews import approval, edit, opened, rejection, tamper

pytestmark = pytest.mark.usefixtures("database")

HELD_BACK = PromptRequest(
    prompt="classify_ticket", inputs={"ticket": "Charged <b>twice</b>"}, review=True
)
LABEL = {"category": "billing", "urgency": "low", "summary": "A refund."}
REJECT = {
    "decision": "reject",
    "reviewer": "Ann",
    "reason_code": "wrong",
    "reason": "It is about access.",
}
APPROVE = {"decision": "approve", "reviewer": "Ann"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, endpoint: ScriptedEndpoint) -> None:
    monkeypatch.setattr(review_output, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(review_output, "HEARTBEAT", 0.2)
    endpoint.answer = labelled


def labelled(body: Body, n: int) -> str:
    """Another label once a reason is read."""
    category = "access" if "about access" in user_text(body) else "billing"
    return json.dumps({**LABEL, "category": category})


def policy(monkeypatch: pytest.MonkeyPatch, **rules: object) -> None:
    monkeypatch.setenv("PATTERNS_REVIEW_POLICIES", json.dumps({"answers": rules}))
    get_settings.cache_clear()


async def waiting(run: WaitingRun) -> Review:
    """The review that a run waits for, once its form is there."""
    await run.paused("review-1-1")
    [review] = await reviews()
    return review


async def test_a_draft_is_released_as_it_was_shown_with_what_it_answers_and_costs() -> None:
    run = start(answer_prompt, HELD_BACK)
    shown = await run.answer("review-1-1", APPROVE)
    answer = await run.task
    assert answer.released_by == "Ann"
    assert '"category": "billing"' in shown
    assert r"Charged \<b\>twice" in shown
    assert "1 model calls" in shown
    [kept] = await reviews("all")
    assert (kept.text, kept.is_approved, kept.draft.inputs) == (
        answer.reply,
        True,
        HELD_BACK.inputs,
    )


async def test_a_rejected_draft_is_rewritten_with_the_reason(endpoint: ScriptedEndpoint) -> None:
    run = start(answer_prompt, HELD_BACK)
    await run.answer("review-1-1", REJECT)
    second = await run.answer("review-2-1", APPROVE)
    answer = await run.task
    assert json.loads(answer.reply)["category"] == "access"
    assert "Rejected before" in second
    assert "It is about access." in second
    assert "wrong: It is about access." in user_text(endpoint.calls[-1])
    assert len(endpoint.calls) == 2


async def test_a_draft_that_is_rejected_too_often_is_not_released(
    monkeypatch: pytest.MonkeyPatch, endpoint: ScriptedEndpoint
) -> None:
    policy(monkeypatch, max_rounds=2)
    run = start(answer_prompt, HELD_BACK)
    await run.answer("review-1-1", REJECT)
    await run.answer("review-2-1", REJECT)
    with pytest.raises(ReviewRefused, match=r"reject by Ann: It is about access\."):
        await run.task
    assert len(endpoint.calls) == 2


async def test_an_edited_reply_is_released_and_one_that_fails_its_checks_is_not() -> None:
    run = start(answer_prompt, HELD_BACK)
    edited = json.dumps({**LABEL, "category": "other"})
    wrong = {"decision": "edit", "reviewer": "Ann", "text": edited.replace("other", "money")}
    await run.answer("review-1-1", wrong)
    second = await run.answer("review-1-2", {**wrong, "text": edited})
    assert (await run.task).reply == edited
    assert second.startswith("**The last answer was not accepted.** The edited text fails")


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ({"decision": "approve", "reviewer": " "}, "Say who you are"),
        ({"decision": "approve", "reviewer": "Eve"}, "Eve is not in the list"),
        ({"decision": "approve", "reviewer": "Zoe"}, "Zoe asked for this draft"),
        ({**REJECT, "reason": ""}, "needs a reason in words"),
        ({**REJECT, "reason_code": "none"}, "needs a reason's code"),
        ({"decision": "approve", "reviewer": "Ann", "code": "WRONG"}, "one-time code"),
    ],
)
async def test_an_answer_that_is_refused_returns_the_run_to_waiting_with_the_rule_on_top(
    monkeypatch: pytest.MonkeyPatch, form: dict[str, str], fault: str, endpoint: ScriptedEndpoint
) -> None:
    monkeypatch.setenv("PATTERNS_REVIEWERS", json.dumps({"Ann": [], "Zoe": []}))
    get_settings.cache_clear()
    run = start(answer_prompt, HELD_BACK.model_copy(update={"author": "Zoe"}))
    await run.answer("review-1-1", form)
    second = await run.answer("review-1-2", APPROVE)
    assert second.startswith("**The last answer was not accepted.**")
    assert fault in second.replace("\\", "")
    assert (await run.task).released_by == "Ann"
    assert len(endpoint.calls) == 1


async def test_a_form_with_wrong_types_is_refused_by_prefect_and_the_run_waits() -> None:
    run = start(answer_prompt, HELD_BACK)
    paused = await run.paused("review-1-1")
    await asyncio.sleep(0.5)  # until the form is there
    async with get_client() as client:
        for form in ({"decision": "yes", "reviewer": "Ann"}, {"decision": "approve"}, {}):
            resumed = await client.resume_flow_run(paused.id, run_input=form)
            assert resumed.status.value == "REJECT"
    await run.answer("review-1-1", APPROVE)
    assert (await run.task).released_by == "Ann"


async def test_the_same_person_is_not_two_people(monkeypatch: pytest.MonkeyPatch) -> None:
    policy(monkeypatch, people=2, codes=True)
    codes = [(await invite(name, "Zoe", None, 1))[0] for name in ("Ann", "Ann", "Bob")]
    run = start(answer_prompt, HELD_BACK)
    await run.answer("review-1-1", {**APPROVE, "code": codes[0]})
    again = await run.answer("review-1-2", {**APPROVE, "code": codes[1]})
    third = await run.answer(
        "review-1-3", {"decision": "approve", "reviewer": "Bob", "code": codes[2]}
    )
    assert "so far Ann did" in again
    assert "Ann has approved this text already" in third
    assert (await run.task).released_by == "Ann and Bob"


async def test_a_decision_at_a_terminal_wakes_the_run_and_makes_a_second_one_too_late() -> None:
    run = start(answer_prompt, HELD_BACK)
    review = await waiting(run)
    await decide(review.id, edit(review, json.dumps({**LABEL, "urgency": "high"}), "Bob"))
    answer = await run.task
    assert answer.released_by == "Bob"
    async with get_client() as client:
        late = await client.resume_flow_run(review.root_run, run_input=APPROVE)
    assert late.status.value == "ABORT"


async def test_a_text_that_is_edited_while_the_form_waits_has_to_be_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy(monkeypatch, people=2, codes=True)
    ann, bob = [(await invite(name, "Zoe", None, 1))[0] for name in ("Ann", "Bob")]
    run = start(answer_prompt, HELD_BACK)
    review = await waiting(run)
    edited = json.dumps({**LABEL, "urgency": "high"})
    await decide(review.id, edit(review, edited, "Bob", code=bob))
    await run.answer("review-1-1", {**APPROVE, "code": ann})
    second = await run.answer("review-1-2", {**APPROVE, "code": ann})
    assert "edited meanwhile" in second
    assert "high" in second
    assert (await run.task).reply == edited


async def test_a_policy_that_nobody_could_decide_by_is_said_before_anything_is_drafted(
    monkeypatch: pytest.MonkeyPatch, endpoint: ScriptedEndpoint
) -> None:
    policy(monkeypatch, roles=["lead"])
    with pytest.raises(SettingsError, match="needs 1 of PATTERNS_REVIEWERS"):
        await start(answer_prompt, HELD_BACK).task
    assert endpoint.calls == []


async def test_nobody_decides_in_time_and_the_policy_does(monkeypatch: pytest.MonkeyPatch) -> None:
    policy(monkeypatch, expires_after=2 / 3600)
    run = start(answer_prompt, HELD_BACK)
    with pytest.raises(ReviewRefused, match="expired by policy: nobody decided by"):
        await run.task


async def test_a_policy_that_says_so_releases_what_nobody_decided_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy(monkeypatch, expires_after=2 / 3600, on_expiry="approve")
    answer = await start(answer_prompt, HELD_BACK).task
    assert answer.released_by == "policy"


async def test_a_draft_that_is_changed_between_showing_and_release_is_not_released(
    database: str,
) -> None:
    run = start(answer_prompt, HELD_BACK)
    await waiting(run)
    tamper(
        database,
        "update patterns.reviews set text = 'Pay Eve', sha256 = encode(sha256('Pay Eve'), 'hex')",
    )
    with pytest.raises(DatabaseError, match="was altered in the database"):
        await run.task


@pytest.mark.parametrize("decided", [False, True])
@pytest.mark.parametrize("state", ["Paused", "Running"])
async def test_a_killed_local_run_is_found_and_mended_and_its_review_ends(
    database: str, state: str, decided: bool
) -> None:
    run = await paused_at("review-1-1")
    review = await opened(root_run=run.id)
    with psycopg.connect(database) as connection:
        connection.execute(
            "insert into patterns.review_waits (review, deployed, held_until) "
            "values (%s, false, now() - interval '2 minutes')",
            [review.id],
        )
    if decided:
        await decide(review.id, approval(review))
    async with get_client() as client:
        if state == "Running":  # somebody resumed what has no process
            await client.set_flow_run_state(run.id, Running(), force=True)
        inbox = await tend_reviews()
        mended = await client.read_flow_run(run.id)
    assert [each.deed for each in inbox.tended][-1] == "mended"
    assert mended.state is not None
    assert mended.state.is_crashed()
    assert "Start it anew" in str(mended.state.message)
    assert (await reviews(), (await verify()).faults) == ([], ())
    assert (await tend_reviews()).tended == ()


async def test_a_local_run_that_waits_is_not_taken_for_dead_and_stands_in_the_inbox() -> None:
    run = start(answer_prompt, HELD_BACK)
    review = await waiting(run)
    inbox = await tend_reviews()
    assert ([each.id for each in inbox.waiting], inbox.tended) == ([review.id], ())
    await run.answer("review-1-1", APPROVE)
    await run.task
    assert not (await read_review(review.id)).lapsed


async def test_a_review_whose_run_has_ended_is_abandoned_and_a_run_that_starts_again_asks_again(
    database: str,
) -> None:
    run = start(answer_prompt, HELD_BACK)
    review = await waiting(run)
    run.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run.task
    async with get_client() as client:
        gone = await client.read_flow_run(review.root_run)
    assert gone.state is not None
    assert gone.state.is_final()
    [done] = (await tend_reviews()).tended
    assert (done.review, done.deed) == (review.id, "abandoned")
    assert not (await read_review(review.id)).is_approved


async def paused_at(key: str) -> FlowRun:
    """A run that waits under a key, of which nobody knows a process."""
    async with get_client() as client:
        waits = Paused(timeout_seconds=1000, pause_key=key)
        return await client.create_flow_run(answer_prompt, state=waits)


async def test_a_run_that_waits_for_another_review_is_left_to_it() -> None:
    run = await paused_at("review-2-1")
    review = await opened(root_run=run.id)
    await decide(review.id, rejection(review))
    assert (await tend_reviews()).tended == ()
    assert await wake(await read_review(review.id), whatever=True)


async def test_a_review_that_was_altered_fails_the_upkeep_after_the_others_were_tended(
    database: str,
) -> None:
    late = ReviewPolicy(expires_after=1e-9)
    for text in ("Dear Ann", "Dear Bob"):
        run = await paused_at("review-1-1")
        await opened(text, policy=late, root_run=run.id)
    tamper(database, "update patterns.reviews set text = 'Dear Eve' where text = 'Dear Ann'")
    with pytest.raises(DatabaseError, match="altered in the database: 1"):
        await tend_reviews()
    assert (await read_review(2)).outcome is not None


async def test_upkeep_applies_deadlines_and_says_what_it_did() -> None:
    run = await paused_at("review-1-1")
    late = ReviewPolicy(expires_after=1e-9, on_expiry="escalate", escalate_to=("lead",))
    review = await opened(policy=late, root_run=run.id)
    assert [each.deed for each in (await tend_reviews()).tended] == ["escalated"]
    assert [each.deed for each in (await tend_reviews()).tended] == ["expired", "woken"]
    assert (await read_review(review.id)).outcome is not None


async def test_a_decision_that_the_run_has_not_heard_of_is_brought_to_it() -> None:
    async with get_client() as client:
        run = await paused_at("review-1-1")
        review = await opened(root_run=run.id)
        await decide(review.id, rejection(review))
        assert [each.deed for each in (await tend_reviews()).tended] == ["woken"]
        woken = await client.read_flow_run(run.id)
    assert woken.state is not None
    assert not woken.state.is_paused()


async def test_the_inbox_is_an_artifact_that_links_to_what_waits() -> None:
    run = start(answer_prompt, HELD_BACK)
    review = await waiting(run)
    await tend_reviews()
    async with get_client() as client:
        found = await client._client.get("/artifacts/review-inbox/latest")
    page = found.json()["data"]
    assert f"/runs/flow-run/{review.root_run}" in page
    assert "Charged" not in page
    await decide(review.id, approval(review))
    await run.task
