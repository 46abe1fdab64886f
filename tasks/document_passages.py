"""Documents to passages: what is embedded, found and cited, each with the headings above it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from tasks.documents import Document
from tasks.headings import headings
from tasks.lexemes import lexemes
from tasks.passages import DOCUMENT_TOKENS, cut_text

CUT = f"{DOCUMENT_TOKENS} tokens under headings"
"""How documents are cut. Passages that were cut in another way are made anew."""

_ABOVE = " > "  # between a heading and those under it
_CONTEXT_COUNTS = 2  # as much as the text itself: a title says what its passages are about


@dataclass(frozen=True)
class Passage:
    """A piece of a document.

    ``source``, ``document``, ``digest``, ``fields``: of the document, as `tasks.documents` has it;
    ``number``: from 0 in it; ``context``: its title and the headings above the piece, which are
    embedded and searched with it.
    """

    source: str
    document: str
    digest: bytes
    number: int
    context: str
    text: str
    fields: Mapping[str, list[str]]

    @property
    def whole(self) -> str:
        """What is embedded: the text under its headings, none of them twice."""
        *above, last = self.context.split(_ABOVE)
        if self.text.lstrip("# ").casefold().startswith(last.casefold()):
            return "\n".join([*([_ABOVE.join(above)] if above else []), self.text])
        return f"{self.context}\n{self.text}"

    @cached_property
    def lexemes(self) -> Counter[str]:
        """What is searched."""
        found = lexemes(self.text)
        for lexeme, count in lexemes(self.context).items():
            found[lexeme] += _CONTEXT_COUNTS * count
        return found


def passages_of(document: Document, source: str) -> list[Passage]:
    """The passages of a document, in its order: cut at headings first, then as far as they must be,
    at the greatest boundary that fits. A document without text but a title has its title."""
    pieces = [
        (context, piece)
        for context, section in _sections(document)
        for piece in cut_text(section, "document")
    ]
    return [
        Passage(source, document.id, document.digest, number, context, piece, document.fields)
        for number, (context, piece) in enumerate(pieces or [("", document.title)])
    ]


def _sections(document: Document) -> Iterator[tuple[str, str]]:
    """What stands under each heading, with the path of headings to it."""
    lines = document.text.split("\n")
    path: list[tuple[int, str]] = []
    start = 0
    for line, level, heading in headings(document.text) if document.has_headings else ():
        yield _context(document.title, path), "\n".join(lines[start:line])
        path = [*((above, name) for above, name in path if above < level), (level, heading)]
        start = line
    yield _context(document.title, path), "\n".join(lines[start:])


def _context(title: str, path: list[tuple[int, str]]) -> str:
    names = [title, *(name for _, name in path)]
    return _ABOVE.join(dict.fromkeys(name.strip() for name in names if name.strip()))
