"""Text from tickets, models and people, made harmless for Markdown: shown as it is, never read."""

import re
from collections.abc import Iterable, Sequence

# What can begin markup inside a line, and what only at its start; words keep their punctuation.
_MARKUP = re.compile(r"([\\`*_\[\]<>&|~@]|:(?=\S)|(?<=www)\.)", re.IGNORECASE)
_MARKER = re.compile(r"^(\d*)([#=+.)-])", re.MULTILINE)
_TRAILING = re.compile(r"[^\S\n]+$", re.MULTILINE)
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)


def escaped(text: str) -> str:
    """The text as Markdown that renders to that very text: no markup, link or HTML of its own.

    Line breaks stay. One or several paragraphs come out, never a part of a table.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    literal = _MARKUP.sub(r"\\\1", _TRAILING.sub("", text).rstrip())
    literal = _MARKER.sub(r"\1\\\2", literal)
    literal = _INDENT.sub(lambda indent: "\N{NO-BREAK SPACE}" * len(indent[0]), literal)
    return re.sub(r"(?<!\n)\n(?!\n)", "\\\\\n", literal)


def quoted(text: str) -> str:
    """The text, escaped, as a block quote."""
    return "\n".join(f"> {line}" for line in escaped(text).split("\n"))


def fenced(text: str) -> str:
    """The text as a block of code, whatever is in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def table(head: Sequence[str], alignment: str, rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already; ``alignment``: l or r for each column."""
    rule = ["---:" if side == "r" else "---" for side in alignment]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))
