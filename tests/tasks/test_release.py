from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tasks.decisions import Kept, digest
from tasks.release import Review, Verdict, fault_of, form_text

DRAFT = Kept(
    id=1,
    root_run=str(uuid4()),
    title="Reply",
    text="Dear <b>Ann</b>,\n![x](http://x)",
    sha256=digest("whatever was stored"),
    opened_at=datetime.now(UTC),
    verdict=None,
    reviewer=None,
    reason=None,
    decided_at=None,
)


@pytest.mark.parametrize(
    ("review", "fault"),
    [
        (Review(decision=Verdict.APPROVE, reviewer="Ann"), None),
        (Review(decision=Verdict.REJECT, reviewer="Ann", reason="too long"), None),
        (Review(decision=Verdict.APPROVE, reviewer=" "), "Say who you are."),
        (Review(decision=Verdict.REJECT, reviewer="Ann"), "A rejection needs a reason."),
        (
            Review(decision=Verdict.REJECT, reviewer="Ann", reason="\n"),
            "A rejection needs a reason.",
        ),
    ],
)
def test_a_review_names_its_author_and_a_rejection_its_reason(
    review: Review, fault: str | None
) -> None:
    assert fault_of(review) == fault


def test_the_form_chooses_nothing_before_a_person_does() -> None:
    schema = Review.with_initial_data(description="x").model_json_schema()
    assert "default" not in schema["properties"]["decision"]
    assert {"decision", "reviewer"} <= set(schema["required"])


def test_the_draft_is_shown_as_it_is_with_its_hash() -> None:
    shown = form_text(DRAFT, None)
    assert "<b>" not in shown.replace(r"\<", "")
    assert "![x]" not in shown
    assert DRAFT.sha256[:16] in shown


def test_what_was_wrong_with_the_last_answer_stands_on_top() -> None:
    assert form_text(DRAFT, "Say who you are.").splitlines()[0] == (
        "**The last answer was not accepted. Say who you are.**"
    )
