"""What a reviewer sees and fills in."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from markdown_it import MarkdownIt

from infra.review_policy import ReviewPolicy
from tasks.review_chain import Event, digest
from tasks.review_form import ReviewForm, Spent, answer_of, form_text
from tasks.review_rules import ReasonCode, Verdict
from tasks.reviews import Draft, Evidence, Rejection, Review

TAKEN = Spent(model_calls=2, prompt_tokens=100, completion_tokens=20, cost_usd=None)
DRAFT = Draft(
    text="Dear <b>Ann</b>,\n![x](http://x)",
    material="I was <i>charged</i> twice.",
    evidence=(Evidence(source="billing.md", quote="One charge\nis <s>refunded</s>."),),
)


def kept(**changes: Any) -> Review:
    known: dict[str, Any] = {
        "id": 1,
        "root_run": uuid4(),
        "step": "review-1",
        "round": 1,
        "kind": "reply",
        "title": "Reply to *T-1*",
        "author": "",
        "draft": DRAFT,
        "sha256": digest(DRAFT.text),
        "policy": ReviewPolicy(),
        "reviewers": {},
        "opened_at": datetime.now(UTC),
        "events": (),
        "answers": 0,
        "deployed": False,
        "lapsed": False,
        "form_sha256": "",
        "announced_at": None,
        "reminded_at": None,
    }
    return Review(**known | changes)


def event(kind: str, actor: str = "Ann", **rest: Any) -> Event:
    made = {"review": 1, "kind": kind, "actor": actor, "shown_sha256": "", "at": datetime.now(UTC)}
    return Event.model_validate(made | rest)


def test_the_form_chooses_nothing_before_a_person_does() -> None:
    schema = ReviewForm.with_initial_data(description="x").model_json_schema()
    assert "default" not in schema["properties"]["decision"]
    assert {"decision", "reviewer"} <= set(schema["required"])
    assert all(field["description"] for field in schema["properties"].values())


def test_the_draft_and_all_beside_it_are_shown_as_they_are_with_the_drafts_hash() -> None:
    shown = form_text(kept(), (), TAKEN)
    page = MarkdownIt("commonmark", {"html": True}).render(shown)
    assert not {"<b>", "<i>", "<s>", "<img"} & {*page.replace(">", "> ").split()}
    assert "![x]" not in shown
    assert "&lt;b&gt;Ann&lt;/b&gt;" in page
    assert "&lt;i&gt;charged" in page
    assert "&lt;s&gt;refunded" in page
    assert digest(DRAFT.text)[:16] in shown


def test_what_was_wrong_with_the_last_answer_stands_on_top() -> None:
    refused = kept(events=(event("refused", reason="Say who you are."),))
    assert form_text(refused, (), TAKEN).splitlines()[0] == (
        "**The last answer was not accepted.** Say who you are."
    )


def test_what_was_rejected_before_is_told_with_the_reasons() -> None:
    history = [Rejection(reviewer="Ann", reason_code="tone", reason="Too\nshort", text="Hi")]
    shown = form_text(kept(round=2), history, TAKEN)
    assert "round 2" in shown
    assert "- Ann, *tone*: Too short" in shown


def test_the_terms_say_what_it_cost_until_when_and_who_has_to_approve() -> None:
    policy = ReviewPolicy(people=2, codes=True, roles=("lead",))
    shown = form_text(kept(policy=policy, events=(event("approve"),)), (), TAKEN)
    assert "2 model calls, 120 tokens, cost unknown" in shown
    assert "2 people have to approve; so far Ann did." in shown
    assert "A one-time code proves your name." in shown
    assert "Roles that may: lead." in shown
    assert "then: it is not released" in shown
    assert "Your name is a claim." in form_text(kept(), (), TAKEN)


def test_an_edited_text_is_shown_in_the_drafts_place() -> None:
    edited = kept(
        draft=DRAFT.model_copy(update={"shown": "| a table |"}),
        events=(event("edit", text="Dear Bob"),),
    )
    assert "| a table |" not in form_text(edited, (), TAKEN)
    assert "> Dear Bob" in form_text(edited, (), TAKEN)


def test_where_a_table_is_shown_the_very_bytes_stand_below_it() -> None:
    told = kept(draft=DRAFT.model_copy(update={"text": "{```<b>}", "shown": "| a table |"}))
    page = MarkdownIt("commonmark", {"html": True}).render(form_text(told, (), TAKEN))
    assert "<code>{```&lt;b&gt;}\n</code>" in page
    assert "The bytes that are released" not in form_text(kept(), (), TAKEN)


@pytest.mark.parametrize("seen", ["", digest("an earlier text")])
def test_an_answer_is_bound_to_the_text_that_its_form_showed(seen: str) -> None:
    form = ReviewForm(decision=Verdict.APPROVE, reviewer="Ann", code="abc")
    answer = answer_of(form, kept(form_sha256=seen))
    assert answer.shown_sha256 == (seen or digest(DRAFT.text))
    assert (answer.reviewer, answer.code, answer.reason_code) == ("Ann", "abc", ReasonCode.NONE)
