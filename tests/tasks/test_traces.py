"""What a text is found by in what was made of it."""

import html
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.markdown import escaped
from tasks.reply_batches import batch_markdown
from tasks.traces import FORGOTTEN, Traces, words_of

TEXT = (
    'The lamp_shade <b>flickers</b> & hums "loudly" when é is near.\nI bought it in May; it cost '
    "50 euros, and C:\\new\\table says that it is broken for good."
)
words = st.text(st.sampled_from("abcdé0_-*<>&\"'\\\n ."), min_size=1, max_size=120)


@pytest.mark.parametrize(
    "copy",
    [
        TEXT,
        TEXT.upper(),
        json.dumps({"said": TEXT}),
        json.dumps({"said": json.dumps({"text": TEXT})}),
        f"<p>{html.escape(TEXT)}</p>",
        escaped(TEXT),
        batch_markdown({"T-1": TEXT}),
        f"As I said: {TEXT[:90]}…",
        TEXT.replace(" ", "\n"),
    ],
)
def test_a_copy_is_found_however_it_is_cut_wrapped_or_escaped(copy: str) -> None:
    assert Traces([TEXT]).are_in(copy)


@given(words, words, words)
def test_a_text_is_found_in_whatever_it_stands_in(text: str, before: str, after: str) -> None:
    if len(words_of(text)) >= 3 and "<" not in text + before + after:
        inside = f"{before} {text} {after}"
        assert Traces([text]).are_in(inside)
        assert Traces([text]).are_in(json.dumps([inside]))
        assert Traces([text]).taken_from([inside]) == [FORGOTTEN]


@given(st.lists(words, max_size=4), st.lists(words, max_size=4))
def test_what_the_database_would_leave_out_has_no_traces(
    texts: list[str], others: list[str]
) -> None:
    traces = Traces(texts)
    patterns = [each.strip("%") for each in traces.patterns()]
    for other in [*others, *texts]:
        if traces.are_in(other):
            assert any(each in other.lower() for each in patterns)


def test_a_few_words_are_found_only_where_they_stand_by_themselves() -> None:
    assert Traces(["Thank you"]).are_in(" thank YOU! ")
    assert not Traces(["Thank you"]).are_in("Thank you very much")
    assert not Traces([""]).are_in("")


def test_what_others_say_as_well_is_no_trace() -> None:
    footer = "This mail is for whom it is meant and for nobody else at all."
    traces = Traces([f"My lamp hums and flickers at night, what can I do? {footer}"])
    assert traces.are_in(footer)
    own = traces.without([f"Where is my order? {footer}"])
    assert not own.are_in(footer)
    assert own.are_in("My lamp hums and flickers at night, what can I do?")


def test_a_document_that_is_quoted_is_no_copy() -> None:
    rule = "Refunds are possible within thirty days after the parcel came to you."
    page = f"{rule} Keep the bill. Write to us, and name the number of your order in the subject."
    traces = Traces([f"You say: {rule} So I want my money."])
    assert traces.are_in(page)
    assert not traces.make_up(page)
    assert traces.make_up(f"You say: {rule}")


def test_words_are_taken_from_json_and_from_json_within() -> None:
    inner = json.dumps({"T-1": TEXT, "T-2": "Where is my order?"})
    left = Traces([TEXT]).taken_from({"batch": inner, "n": 3, "all": [TEXT, "kept"]})
    assert json.loads(left.pop("batch")) == {"T-1": FORGOTTEN, "T-2": "Where is my order?"}
    assert left == {"n": 3, "all": [FORGOTTEN, "kept"]}


def test_scripts_without_spaces_have_words_as_well() -> None:
    assert Traces(["这盏灯在夜里闪烁并且发出很大的声音"]).are_in("灯在夜里闪烁并且发出")
