"""Words of others in Markdown: they are shown as they are."""

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tasks.markdown import escaped, fenced, quoted
from tests.tasks.reports import HOSTILE

RENDERER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
VISIBLE = st.characters(exclude_categories=("Cc", "Cs"))
BITS = st.sampled_from(
    (
        "\n",
        "\n\n",
        "    ",
        "- ",
        "1. ",
        "# ",
        "> ",
        "---",
        "|",
        "```",
        "~~",
        "*",
        "_",
        "[x]: ",
        "\\",
    )
)
TABLE = "table thead tbody tr th td"
texts = st.lists(BITS | st.sampled_from([*HOSTILE[:8], HOSTILE[12]]) | st.text(VISIBLE)).map(
    "".join
)


def shown(markdown: str, allowed: str) -> str:
    """The words of the page that comes of it, which may have no other tags than these."""
    page = RENDERER.render(markdown)
    assert set(re.findall(r"<\s*/?\s*(\w+)", page)) <= set(allowed.split()), page
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


@given(texts)
@example("www.evil.example\n\xa0\n\nb")
def test_an_escaped_text_is_shown_as_it_is(text: str) -> None:
    assert shown(escaped(text), "p br") == " ".join(text.split())


@given(texts)
def test_a_quoted_text_is_shown_as_it_is(text: str) -> None:
    assert shown(quoted(text), "blockquote p br") == " ".join(text.split())


@given(texts)
def test_a_line_is_shown_as_it_is_in_a_table(text: str) -> None:
    line = " ".join(text.split())
    table = f"| head |\n| --- |\n| {escaped(line)} |"
    assert shown(table, TABLE) == f"head {line}".strip()


@pytest.mark.parametrize(
    "text",
    [
        *("*a*", "_a_", "__a__", "`a`", "~~a~~", "\\*", "&amp;", "<b>a</b>", "<http://a.example>"),
        *("[a](b)", "![a](b)", "[a]: /b\n\n[a]", "# a", "a\n===", "a\n---", "***", "> a", "    a"),
        *("- a", "+ a", "1. a", "1) a", "```\na\n```", "| a |\n|---|", "a | b\n:-: | -"),
    ],
)
def test_no_construct_of_markdown_has_its_effect(text: str) -> None:
    assert shown(escaped(text), "p br") == " ".join(text.split())
    line = " ".join(text.split())
    assert shown(f"| a |\n| --- |\n| {escaped(line)} |", TABLE) == f"a {line}"


@pytest.mark.parametrize(
    "text", ["https://evil.example", "WWW.evil.example", "a@evil.example", "mailto:a"]
)
def test_an_address_is_no_link_for_renderers_that_look_for_some(text: str) -> None:
    assert not re.search(r"(?i)\w:\S|www\.|\w@", escaped(text))


def test_words_keep_their_punctuation() -> None:
    text = 'Well, T-12 (not 13) can\'t: 20.5% / 3; "yes"?'
    assert escaped(text) == text


def test_line_breaks_stay() -> None:
    assert RENDERER.render(escaped("a\nb\r\n\r\nc\n")) == "<p>a<br />\nb</p>\n<p>c</p>\n"


@given(texts)
@example("```\n````")
def test_a_fenced_text_is_code_whatever_is_in_it(text: str) -> None:
    page = RENDERER.render(fenced(text))
    code = re.fullmatch(r"<pre><code>(.*)</code></pre>\n", page, re.DOTALL)
    assert code
    assert html.unescape(code[1]) == f"{text}\n"
