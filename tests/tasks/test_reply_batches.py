import json

import pytest
from markdown_it import MarkdownIt

from tasks.reply_batches import (
    batch_faults,
    batch_markdown,
    batch_material,
    batch_replies,
    batch_text,
)

REPLIES = {"T-2": "Dear Ann,\nyes | <b>no</b>", "T-1": "Grüße"}
INPUTS = {"T-2": "Is it yes?", "T-1": "14 days?"}


def test_a_batch_is_one_text_that_reads_back_in_order() -> None:
    text = batch_text(REPLIES)
    assert batch_replies(text) == REPLIES
    assert [*batch_replies(text)] == ["T-2", "T-1"]
    assert "Grüße" in text


def test_a_batch_is_shown_as_a_table_in_which_nothing_is_markup_and_lines_are_short() -> None:
    long = "word " * 30
    shown = batch_markdown({**REPLIES, "T-3": long})
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(shown)
    assert page.count("<tr>") == 4
    assert "Dear Ann,<br>yes | &lt;b&gt;no&lt;/b&gt;" in page
    assert page.count("<br>") == 1 + 3
    assert batch_material({"T-2": "Is it?", "T-1": "No."}) == "T-2:\nIs it?\n\nT-1:\nNo."


@pytest.mark.parametrize(
    ("edited", "fault"),
    [
        ("{", "no JSON any more"),
        ('["x"]', "the same tickets in the same order: T-2, T-1"),
        (json.dumps({"T-1": "a", "T-2": "b"}), "in the same order"),
        (json.dumps({"T-2": "a"}), "the same tickets"),
        (json.dumps({"T-2": "a", "T-1": 7}), "T-1: The reply is no text."),
        (json.dumps({"T-2": "a", "T-1": "In 15 days"}), "T-1: The reply has a number"),
        (json.dumps({"T-2": "14 days", "T-1": "x"}), "T-2: The reply has a number"),
    ],
)
def test_an_edited_batch_keeps_its_tickets_and_each_reply_its_checks(
    edited: str, fault: str
) -> None:
    assert any(fault in each for each in batch_faults(edited, INPUTS))


def test_a_good_edit_of_a_batch_passes() -> None:
    assert batch_faults(json.dumps({"T-2": "Yes.", "T-1": "14 days."}), INPUTS) == []
