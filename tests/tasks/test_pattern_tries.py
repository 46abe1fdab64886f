"""Answers held against what they must hold."""

import pytest

from tasks.pattern_tries import Said, is_right


@pytest.mark.parametrize(
    ("answer", "expect", "right"),
    [
        ("It costs 69 euros.", r"\b69\b", True),
        ("It costs 690 euros.", r"\b69\b", False),
        ("billing", "^BILLING$", True),
        ("Not in the documents.", "69", False),
        ("I don't know.", "", True),
        ("I do not know that.", "", True),
        ("That cannot be answered; the price isn't there.", "", False),
        ("I can't say.", "", True),
        ("The price is not mentioned.", "", True),
        ("It costs 12 euros.", "", False),
        ("Anything", None, None),
    ],
)
def test_an_answer_is_right_when_it_holds_what_it_must(
    answer: str, expect: str | None, right: bool | None
) -> None:
    assert is_right(Said(answer=answer), expect) is right


def test_a_pattern_that_knows_that_it_does_not_know_need_not_say_it_in_words() -> None:
    assert is_right(Said(answer="", knows=False), "")
    assert not is_right(Said(answer="69", knows=True), "")
