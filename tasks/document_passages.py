"""Documents to passages: what is embedded, found and cited, each with the headings above it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from tasks.documents import Document
from tasks.passages import cut_text

if TYPE_CHECKING:
    from markdown_it import MarkdownIt


@dataclass(frozen=True)
class Passage:
    """A piece of a document. ``number``: from 0 in its document. ``context``: its title and the
    headings above it, which are embedded and searched with it."""

    document: Document
    number: int
    context: str
    text: str

    @property
    def whole(self) -> str:
        """What is embedded and searched."""
        return f"{self.context}\n{self.text}" if self.context else self.text


def passages_of(document: Document) -> list[Passage]:
    """The passages of a document, in its order: cut at headings first, then as far as they must be,
    at the greatest boundary that fits. A document without text but a title has its title."""
    pieces = [
        (context, piece)
        for context, section in _sections(document)
        for piece in cut_text(section, "document")
    ]
    return [
        Passage(document, number, context, piece)
        for number, (context, piece) in enumerate(pieces or [("", document.title)])
    ]


def _sections(document: Document) -> Iterator[tuple[str, str]]:
    """What stands under each heading, with the path of headings to it."""
    lines = document.text.split("\n")
    path: list[tuple[int, str]] = []
    start = 0
    for line, level, heading in _headings(document.text):
        yield _context(document.title, path), "\n".join(lines[start:line])
        path = [*((above, name) for above, name in path if above < level), (level, heading)]
        start = line
    yield _context(document.title, path), "\n".join(lines[start:])


def _headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Line, level and words of each heading of a Markdown text: none inside code."""
    if "\n#" not in f"\n{text}" and "\n==" not in text and "\n--" not in text:
        return
    tokens = _markdown().parse(text)
    for token, content in pairwise(tokens):
        if token.type == "heading_open" and token.map and not token.level:
            yield token.map[0], int(token.tag[1:]), content.content


@cache
def _markdown() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("zero").enable(["heading", "lheading", "fence", "code"])


def _context(title: str, path: list[tuple[int, str]]) -> str:
    names = [title, *(name for _, name in path)]
    return " > ".join(dict.fromkeys(name.strip() for name in names if name.strip()))
