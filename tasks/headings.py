"""The headings of a Markdown text: none inside code."""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt


def headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Line (from 0), level (1 to 6) and words of each, in their order."""
    tokens = _markdown().parse(text)
    for token, content in pairwise(tokens):
        if token.type == "heading_open" and token.map and not token.level:
            yield token.map[0], int(token.tag[1:]), content.content


@cache
def _markdown() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("zero").enable(["heading", "lheading", "fence", "code"])
