"""Labels of several texts, as people approve or edit them."""

import json

import pytest

from tasks.label_batches import (
    label_faults,
    label_inputs,
    label_markdown,
    label_text,
    read_labels,
    texts_of,
)
from tasks.review_checks import edit_fault

TEXTS = {"T-1": "late <b>parcel</b>", "labels": "a text whose id is a word of ours"}
INPUTS = label_inputs(TEXTS, ["delivery", "refund"])
KIND = "labels:tickets"


def test_texts_come_back_whatever_their_ids() -> None:
    assert texts_of(INPUTS) == TEXTS


def test_what_is_approved_is_a_label_for_each_id() -> None:
    said = {"T-1": "delivery", "labels": "refund"}
    assert read_labels(label_text(said)) == said
    assert edit_fault(KIND, label_text(said), INPUTS) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "no JSON any more"),
        ('["delivery"]', "a label for each of the same ids: T-1, labels"),
        ('{"T-1": "delivery"}', "a label for each of the same ids"),
        ('{"T-1": "delivery", "labels": "x", "T-9": "x"}', "a label for each of the same ids"),
        (
            '{"T-1": "dlivery", "labels": "refund"}',
            "T-1: there is no label 'dlivery'. There are: delivery, refund",
        ),
        ('{"T-1": 7, "labels": "refund"}', "T-1: there is no label 7"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(text: str, fault: str) -> None:
    assert fault in (edit_fault(KIND, text, INPUTS) or "")
    assert label_faults(text, INPUTS)


def test_people_see_the_texts_as_they_are_and_how_sure_the_guess_is() -> None:
    shown = label_markdown(TEXTS, {"T-1": ("delivery", 0.61), "labels": ("refund", 0.4)})
    assert "late \\<b\\>parcel" in shown
    assert "| delivery | 61% |" in shown
    assert "x" * 301 not in label_markdown({"T-1": "x" * 900}, {"T-1": ("a", 0.5)})
    assert json.loads(label_text({"T-1": "é"})) == {"T-1": "é"}
