"""Text from tickets, models and people, made harmless for Markdown: shown as it is, never read."""

import re

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)


def escaped(text: str) -> str:
    """The text as Markdown that renders to that very text: no markup, link or HTML of its own.

    Line breaks stay. One or several paragraphs come out, never a part of a table.
    """
    literal = _PUNCTUATION.sub(r"\\\1", text.replace("\r\n", "\n").replace("\r", "\n"))
    literal = _INDENT.sub(lambda indent: "\N{NO-BREAK SPACE}" * len(indent[0]), literal)
    return re.sub(r"(?<!\n)\n(?!\n)", "\\\\\n", literal)


def quoted(text: str) -> str:
    """The text, escaped, as a block quote."""
    return "\n".join(f"> {line}" for line in escaped(text).split("\n"))
