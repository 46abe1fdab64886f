import pytest

from infra.errors import InputError
from tasks.review_checks import edit_fault
from tests.tasks.kept_reviews import LABEL


def test_a_reply_of_a_prompt_with_a_schema_has_to_fill_it() -> None:
    assert edit_fault("prompt:classify_ticket", LABEL, {}) is None
    assert "urgency" in (edit_fault("prompt:classify_ticket", LABEL.replace("low", "no"), {}) or "")
    assert edit_fault("prompt:classify_ticket", "billing", {})


def test_what_a_model_would_have_cut_is_not_cut_of_a_persons_text() -> None:
    long = LABEL.replace("Wants", "Wants" * 100)
    assert edit_fault("prompt:classify_ticket", long, {}) == "summary: longer than it may be."


def test_a_free_reply_may_say_anything() -> None:
    assert edit_fault("prompt:answer_briefly", "Anything.", {}) is None


def test_changes_are_not_edited() -> None:
    assert "reject them" in (edit_fault("changes", "{}", {}) or "")


def test_what_has_no_checks_cannot_be_edited() -> None:
    with pytest.raises(InputError, match="has no checks"):
        edit_fault("poem", "Roses", {})
