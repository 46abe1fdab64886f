"""What a reviewer may decide, and where a review then stands."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import DatabaseError, DecisionRefused, InputError
from infra.review_policy import ReviewPolicy
from infra.settings import get_settings
from tasks.decisions import abandon, decide, expire, invite
from tasks.review_chain import Event, verify
from tasks.review_rules import ReasonCode
from tasks.reviews import Draft, Review, read_review, reviews
from tests.tasks.kept_reviews import LABEL, approval, edit, opened, rejection, tamper

pytestmark = pytest.mark.usefixtures("database")

TWO = ReviewPolicy(people=2, codes=True)
EXPIRED = 1e-9  # hours


@pytest.fixture
def reviewers(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {"Ann": ["support"], "Bob": ["support", "lead"]}
    monkeypatch.setenv("PATTERNS_REVIEWERS", json.dumps(listed))
    get_settings.cache_clear()


async def test_an_approved_text_is_the_one_that_was_shown() -> None:
    review = await opened("Dear Ann")
    done = await decide(review.id, approval(review))
    assert (done.is_approved, done.text, done.approved_by) == (True, "Dear Ann", ("Ann",))


async def test_an_edited_text_takes_the_place_of_the_draft() -> None:
    review = await opened("Dear Ann")
    done = await decide(review.id, edit(review, "Dear Bob"))
    assert (done.is_approved, done.text, done.draft.text) == (True, "Dear Bob", "Dear Ann")


async def test_a_rejection_keeps_its_reason() -> None:
    review = await opened()
    done = await decide(review.id, rejection(review, reason="It is access."))
    assert not done.is_approved
    assert done.rejection.words == "tone: It is access."


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"reviewer": "  "}, "Say who you are"),
        ({"verdict": "reject", "reason": "too long"}, "needs a reason's code"),
        ({"verdict": "reject", "reason_code": ReasonCode.TONE, "reason": "\n"}, "reason in words"),
        ({"verdict": "edit"}, "needs the text"),
        ({"verdict": "edit", "text": LABEL}, "is the draft itself"),
        ({"verdict": "edit", "text": '{"category": "money"}'}, "fails its checks. category: "),
        ({"verdict": "edit", "text": "no JSON"}, "fails its checks"),
        (
            {"verdict": "edit", "text": LABEL.replace("a refund", "a refund" * 40)},
            "summary: longer than it may be",
        ),
        ({"text": "Something else"}, "without being asked for"),
        ({"shown_sha256": "of another text"}, "edited meanwhile"),
        ({"code": "NOT-A-CODE"}, "one-time code"),
    ],
)
async def test_an_answer_that_breaks_a_rule_is_refused_and_the_review_waits_on(
    change: dict[str, Any], fault: str
) -> None:
    review = await opened(kind="prompt:classify_ticket")
    answer = approval(review).model_validate({**approval(review).model_dump(), **change})
    with pytest.raises(DecisionRefused, match=fault):
        await decide(review.id, answer)
    assert (await read_review(review.id)).outcome is None


async def test_what_a_form_said_wrongly_is_kept_for_the_next_form_and_the_terminals_is_not() -> (
    None
):
    review = await opened()
    with pytest.raises(DecisionRefused):
        await decide(review.id, approval(review, ""))
    assert (await read_review(review.id)).fault is None
    with pytest.raises(DecisionRefused):
        await decide(review.id, approval(review, ""), from_form=True)
    assert (await read_review(review.id)).fault == "Say who you are."


@pytest.mark.usefixtures("reviewers")
async def test_who_is_not_in_the_list_may_not_review() -> None:
    review = await opened()
    with pytest.raises(DecisionRefused, match="Eve is not in the list"):
        await decide(review.id, approval(review, "Eve"))
    assert (await decide(review.id, approval(review, " ann "))).approved_by == ("Ann",)


async def test_the_list_of_a_reviews_opening_holds_where_a_terminal_has_none(
    reviewers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    review = await opened()
    monkeypatch.delenv("PATTERNS_REVIEWERS")
    get_settings.cache_clear()
    with pytest.raises(DecisionRefused, match="Eve is not in the list"):
        await decide(review.id, approval(review, "Eve"))
    with pytest.raises(InputError, match="'Eve' is not in the list"):
        await invite("Eve", "Zoe", review.id, 1)
    assert (await decide(review.id, approval(review, "bob"))).approved_by == ("Bob",)


@pytest.mark.usefixtures("reviewers")
async def test_a_reviewer_needs_one_of_the_policys_roles() -> None:
    review = await opened(policy=ReviewPolicy(roles=("lead",)))
    with pytest.raises(DecisionRefused, match="none of the roles that decide here: lead"):
        await decide(review.id, approval(review, "Ann"))
    assert (await decide(review.id, approval(review, "Bob"))).is_approved


async def test_whoever_asked_for_a_draft_does_not_decide_on_it() -> None:
    review = await opened(author="Ann")
    for answer in (approval(review, "ANN "), rejection(review), edit(review, "Dear Bob")):
        with pytest.raises(DecisionRefused, match="somebody else has to decide"):
            await decide(review.id, answer)


async def test_two_people_have_to_approve_and_each_proves_who_it_is() -> None:
    review = await opened(policy=TWO)
    codes = {name: (await invite(name, "Zoe", None, 1))[0] for name in ("Ann", "Bob")}
    first = await decide(review.id, approval(review, "Ann", code=codes["Ann"]))
    assert (first.outcome, first.approved_by) == (None, ("Ann",))
    again = (await invite("Ann", "Zoe", None, 1))[0]
    with pytest.raises(DecisionRefused, match="ann has approved this text already"):
        await decide(review.id, approval(review, "ann", code=again))
    second = await decide(review.id, approval(review, "Bob", code=codes["Bob"]))
    assert (second.is_approved, second.approved_by) == (True, ("Ann", "Bob"))


async def test_an_edit_is_approved_by_its_author_and_wants_the_others_again() -> None:
    review = await opened("Dear Ann", TWO)
    await decide(review.id, approval(review, "Ann", code=(await invite("Ann", "Zoe", None, 1))[0]))
    bobs = (await invite("Bob", "Zoe", None, 1))[0]
    edited = await decide(review.id, edit(review, "Dear Eve", "Bob", code=bobs))
    assert (edited.outcome, edited.approved_by, edited.text) == (None, ("Bob",), "Dear Eve")
    code = (await invite("Ann", "Zoe", None, 1))[0]
    with pytest.raises(DecisionRefused, match="edited meanwhile"):
        await decide(review.id, approval(review, "Ann", code=code))
    assert (await decide(review.id, approval(edited, "Ann", code=code))).is_approved


@pytest.mark.parametrize("people", ["used", "another's", "another review's", "old", "none"])
async def test_a_code_is_good_once_for_one_person_and_its_review(people: str) -> None:
    review = await opened(policy=ReviewPolicy(codes=True))
    other = await opened(policy=ReviewPolicy(codes=True))
    whose = "Bob" if people == "another's" else "Ann"
    bound = other.id if people == "another review's" else None
    code = (await invite(whose, "Zoe", bound, EXPIRED if people == "old" else 1))[0]
    if people == "used":
        await decide(other.id, approval(other, code=code))
    with pytest.raises(DecisionRefused, match="A valid one-time code is needed"):
        await decide(review.id, approval(review, code="" if people == "none" else code))


async def test_a_code_is_not_used_up_by_an_answer_that_is_refused() -> None:
    review = await opened(policy=ReviewPolicy(codes=True))
    code = (await invite("Ann", "Zoe", review.id, 1))[0]
    with pytest.raises(DecisionRefused, match="needs the text"):
        await decide(review.id, edit(review, " ", code=code))
    assert (await decide(review.id, approval(review, code=code.lower()))).is_approved


@pytest.mark.usefixtures("reviewers")
async def test_only_who_may_review_is_invited_and_only_to_a_review_there_is() -> None:
    with pytest.raises(InputError, match="'Eve' is not in the list"):
        await invite("Eve", "Zoe", None, 1)
    with pytest.raises(InputError, match="There is no review 9"):
        await invite("ann", "Zoe", 9, 1)


async def test_of_two_decisions_at_once_one_stands() -> None:
    review = await opened()
    answers = [approval(review, "Ann"), rejection(review, "Bob")]
    done = await asyncio.gather(
        *(decide(review.id, each) for each in answers), return_exceptions=True
    )
    [refused] = [each for each in done if isinstance(each, DecisionRefused)]
    assert "it is decided already" in str(refused)
    assert sum(event.final for event in (await read_review(review.id)).events) == 1


async def test_an_answer_after_the_deadline_is_refused_and_the_policy_decides() -> None:
    review = await opened(policy=ReviewPolicy(expires_after=EXPIRED))
    with pytest.raises(DecisionRefused, match="decided already: expired by policy"):
        await decide(review.id, approval(review))
    assert not (await read_review(review.id)).is_approved


async def test_a_policy_may_release_what_nobody_decided_on() -> None:
    review = await opened(policy=ReviewPolicy(expires_after=EXPIRED, on_expiry="approve"))
    assert (await expire(review.id)).is_approved


@pytest.mark.usefixtures("reviewers")
async def test_an_escalated_review_waits_for_others_and_is_then_rejected() -> None:
    policy = ReviewPolicy(expires_after=EXPIRED, on_expiry="escalate", escalate_to=("lead",))
    review = await expire((await opened(policy=policy)).id)
    assert (review.outcome, review.roles) == (None, ("lead",))
    expired = await expire(review.id)
    assert expired.outcome is not None
    assert (expired.outcome.kind, expired.is_approved) == ("expired", False)


async def test_what_is_not_due_does_not_expire() -> None:
    review = await opened()
    assert (await expire(review.id)).outcome is None


async def test_what_is_decided_is_not_abandoned() -> None:
    review, other = await opened(), await opened()
    await decide(review.id, approval(review))
    assert (await abandon(review.id, "its run is gone")).is_approved
    assert not (await abandon(other.id, "its run is gone")).is_approved
    assert [each.id for each in await reviews()] == []


@pytest.mark.parametrize(
    "statement",
    [
        "update patterns.reviews set text = 'Dear Eve'",
        "update patterns.reviews set text = 'Dear Eve', sha256 = encode(sha256('Dear Eve'), 'hex')",
        "delete from patterns.review_events; update patterns.reviews set text = 'Dear Eve', "
        "sha256 = encode(sha256('Dear Eve'), 'hex')",
        "update patterns.reviews set author = 'Bob'",
        "update patterns.reviews set policy = policy || '{\"people\": 5}'",
        "update patterns.reviews set reviewers = '{\"Eve\": []}'",
        "update patterns.review_events set actor = 'Bob'",
    ],
)
async def test_a_review_that_was_altered_is_neither_shown_nor_decided(
    database: str, statement: str
) -> None:
    review = await opened("Dear Ann")
    tamper(database, statement)
    with pytest.raises(DatabaseError, match="was altered in the database"):
        await read_review(review.id)
    with pytest.raises(DatabaseError, match="was altered in the database"):
        await decide(review.id, approval(review))


async def test_an_edited_text_that_was_altered_is_not_released(database: str) -> None:
    review = await opened("Dear Ann")
    await decide(review.id, edit(review, "Dear Bob"))
    tamper(database, "update patterns.review_events set text = 'Dear Eve' where text <> ''")
    with pytest.raises(DatabaseError, match="was altered"):
        await read_review(review.id)


async def test_the_first_draft_of_a_step_is_the_one_that_is_reviewed() -> None:
    review = await opened("Dear Ann")
    again = await opened("Another text of a run that began anew", root_run=review.root_run)
    assert (again.id, again.text) == (review.id, "Dear Ann")
    assert (await verify()).events == 1


async def test_a_review_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="There is no review 7"):
        await read_review(7)


EVENTS = st.lists(
    st.tuples(st.sampled_from(["approve", "edit", "refused", "escalated"]), st.sampled_from("abc")),
    max_size=8,
)


@given(EVENTS)
def test_only_people_who_saw_the_text_as_it_is_count_as_approving_it(
    told: list[tuple[str, str]],
) -> None:
    now = datetime.now(UTC)
    events = tuple(
        Event.model_validate(
            {"review": 1, "kind": kind, "actor": who, "shown_sha256": "", "at": now, "id": place}
            | ({"text": f"text {place}"} if kind == "edit" else {})
        )
        for place, (kind, who) in enumerate(told)
    )
    review = Review.model_construct(
        draft=Draft(text="text"), events=events, opened_at=now - timedelta(hours=1)
    )
    edits = [place for place, (kind, _) in enumerate(told) if kind == "edit"]
    last = edits[-1] if edits else 0
    assert review.text == (f"text {last}" if edits else "text")
    assert review.approved_by == tuple(
        who for kind, who in told[last:] if kind in ("approve", "edit")
    )
