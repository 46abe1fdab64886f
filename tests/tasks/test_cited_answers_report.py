"""An answer as people read it: the words of documents and models stay words."""

import re
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tasks.citations import Citation
from tasks.cited_answers import NOT_FOUND, CitedAnswer, Nearest
from tasks.cited_answers_report import cited_answer_markdown
from tests.tasks.reports import HOSTILE, anything

RENDERER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
TAGS = {"p", "strong", "blockquote", "br"}
LINES = "| # [x](y)\n# Heading\n\n- item <script>alert(1)</script>"


def answer(**changes: object) -> CitedAnswer:
    """One with two citations; ``changes`` replace its fields."""
    fields: dict[str, object] = {
        "question": "How long are parcels kept?",
        "answer": "For 14 days. [1] Then they go back. [2]",
        "supported": True,
        "citations": (
            Citation(document="a.md", passage=0, context="Parcels", quote="For 14 days."),
            Citation(document="b.md", passage=3, context="", quote="They go back."),
        ),
        "nearest": (),
        "model": "openai:scripted",
        "model_calls": 3,
        "prompt_tokens": 900,
        "completion_tokens": 40,
        "cost_usd": 0.00125,
        "latency_ms": 250.4,
    }
    return CitedAnswer.model_validate({**fields, **changes})


def near(text: str, document: str = "c.md", context: str = "") -> Nearest:
    return Nearest(document=document, passage=1, score=0.4, context=context, text=text)


def nothing(*nearest: Nearest, **changes: object) -> CitedAnswer:
    fields = {"answer": NOT_FOUND, "supported": False, "citations": (), "nearest": nearest}
    return answer(**{**fields, **changes})


def everywhere(words: str) -> list[CitedAnswer]:
    """Answers with and without support in which everything that others write is ``words``."""
    cited = Citation(document=words, passage=0, context=words, quote=words)
    return [
        answer(question=words, answer=words, citations=(cited,)),
        nothing(near(words, words, words), question=words),
    ]


def tags(markdown: str) -> set[str]:
    return set(re.findall(r"<\s*/?\s*(\w+)", RENDERER.render(markdown)))


def plain(markdown: str) -> str:
    """What a reader sees, with white space as single blanks."""
    shown = unescape(re.sub(r"<[^>]*>", " ", RENDERER.render(markdown)))
    return " ".join(shown.split())


def test_an_answer_shows_every_quote_under_its_number() -> None:
    text = cited_answer_markdown(answer())
    shown = plain(text)
    assert shown.startswith("How long are parcels kept? For 14 days. [1] Then they go back. [2]")
    assert "[1] a.md: Parcels For 14 days." in shown
    assert "[2] b.md They go back." in shown
    assert "nearest" not in text
    assert RENDERER.render(text).count("<blockquote>") == 2


def test_an_answer_tells_what_it_took() -> None:
    shown = plain(cited_answer_markdown(answer()))
    assert shown.endswith("3 model calls, 900 + 40 tokens, cost 0.001250 USD, 250 ms.")
    assert "cost unknown" in plain(cited_answer_markdown(answer(cost_usd=None)))
    assert "cost 0.000000 USD" in plain(cited_answer_markdown(answer(cost_usd=0.0)))


def test_without_an_answer_the_nearest_passages_are_shown() -> None:
    nearest = [near(f"Passage {n}.", f"{n}.md", "Counter") for n in range(3)]
    shown = plain(cited_answer_markdown(nothing(*nearest)))
    assert f"{NOT_FOUND} The nearest passages, none of which tells what was asked:" in shown
    for n in range(3):
        assert f"{n}.md: Counter Passage {n}." in shown


def test_where_nothing_is_near_there_is_no_list() -> None:
    text = cited_answer_markdown(nothing())
    assert NOT_FOUND in text
    assert "nearest" not in text


def test_a_long_passage_is_shown_in_part() -> None:
    text = cited_answer_markdown(nothing(near("a" * 600 + "b" * 5000)))
    assert "a" * 600 in text
    assert "bb" not in text


@pytest.mark.parametrize("words", [*HOSTILE, LINES])
def test_the_words_of_others_add_no_markup(words: str) -> None:
    for each in everywhere(words):
        text = cited_answer_markdown(each)
        assert tags(text) <= TAGS
        assert "href" not in re.sub(r">[^<]*<", "><", RENDERER.render(text))


@settings(max_examples=50)
@given(anything.filter(str.strip))  # no question is empty
def test_whatever_is_in_an_answer_it_adds_no_markup(words: str) -> None:
    for each in everywhere(words):
        assert tags(cited_answer_markdown(each)) <= TAGS


def test_hostile_words_are_read_as_they_are() -> None:
    for each in everywhere(LINES):
        shown = plain(cited_answer_markdown(each))
        assert shown.count(" ".join(LINES.split())) >= 3


@given(st.text(st.sampled_from("ab \n\r\t|#>-`"), max_size=40))
def test_a_name_stays_in_its_line(name: str) -> None:
    before = cited_answer_markdown(nothing(near("Text.", "c.md"))).count("\n")
    assert cited_answer_markdown(nothing(near("Text.", f"c{name}"))).count("\n") == before
