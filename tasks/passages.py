"""Records to passages: the units that are read, embedded and cited."""

import hashlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

if TYPE_CHECKING:
    import pandas as pd

    from tasks.corpus import Corpus

TICKET_TOKENS = 400
TRANSCRIPT_TOKENS = 200
DOCUMENT_TOKENS = 200

_UNITS = 12  # of a token: an ASCII character is 3 of them, a byte of any other 4
_TURN = r"\n(?=[ \t]*(?:\[[^\]\n]{1,40}\]|[^\W\d_][^:.!?\n]{0,39}:[ \t]))"
_PARAGRAPH = r"\n\s*\n"
_LINE = r"\n"
_SENTENCE = r"(?<=[.!?…])\s+|(?<=[.!?…][\"'”’)\]])\s+|(?<=[。！？｡])"
_WORD = r"\s+"
_PLAIN = [re.compile(level) for level in (_PARAGRAPH, _LINE, _SENTENCE, _WORD)]
_BOUNDARIES = {
    "ticket": _PLAIN,
    "document": _PLAIN,
    "transcript": [re.compile(_TURN), *_PLAIN],
}
_MOST = {"ticket": TICKET_TOKENS, "transcript": TRANSCRIPT_TOKENS, "document": DOCUMENT_TOKENS}


def passages(corpus: "Corpus") -> "pd.DataFrame":
    """The passages of a corpus, in its order. A record without text has none.

    A ticket is cut into passages of at most 400 tokens, a transcript of at most 200, at the
    greatest boundary that fits: turn, paragraph, line, sentence, word, and inside an endless word
    anywhere. Every character that is not white space is in exactly one passage, in order.

    Columns: record (id), ordinal (from 0 in its record), text, sha256 (hex, of the text's UTF-8),
    tokens (as `estimated_tokens` says).
    """
    import pandas as pd

    rows = [
        (id_, ordinal, text)
        for id_, whole, kind in zip(
            corpus.records["id"], corpus.records["text"], corpus.records["kind"], strict=True
        )
        for ordinal, text in enumerate(cut_text(whole, kind))
    ]
    texts = [text for _, _, text in rows]
    # Column by column: one block of objects would keep all that the others were made of. A text
    # that was not cut stays the record's own object, and is in memory once.
    return pd.DataFrame(
        {
            "record": pd.Series([id_ for id_, _, _ in rows], dtype="str"),
            "ordinal": pd.Series([ordinal for _, ordinal, _ in rows], dtype="int64"),
            "text": pd.Series(texts, dtype=object),
            "sha256": pd.Series(map(_sha256, texts), dtype="str"),
            "tokens": pd.Series(map(estimated_tokens, texts), dtype="int64"),
        }
    )


@task(name="cut passages", cache_policy=NO_CACHE, persist_result=False)
def cut(corpus: "Corpus") -> "pd.DataFrame":
    """`passages` as a task."""
    return passages(corpus)


def cut_text(text: str, kind: str) -> list[str]:
    """The passages of one text; kind is 'ticket', 'transcript' or 'document'."""
    most = _MOST[kind] * _UNITS
    text = text.strip()
    if _weight(text) <= most:
        return [text] if text else []
    cuts, start, end, weight = [], 0, 0, 0
    for piece in _pieces(text, _BOUNDARIES[kind], most):
        more = _weight(piece)
        if end > start and weight + more > most:
            cuts.append(text[start:end])
            start, weight = end, 0
        end, weight = end + len(piece), weight + more
    return [passage for part in (*cuts, text[start:]) if (passage := part.strip())]


def estimated_tokens(text: str) -> int:
    """Tokens of a text, without a tokenizer: a fourth of its ASCII characters and a third of the
    UTF-8 bytes of the others, rounded up. So a Chinese character is one token."""
    return -(-_weight(text) // _UNITS)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _pieces(text: str, boundaries: list[re.Pattern[str]], most: int) -> Iterator[str]:
    """The text in pieces that fit, cut no finer than needed. Joined, they are the text."""
    if _weight(text) <= most:
        yield text
    elif not boundaries:
        size = most // 16  # the heaviest character has four bytes
        yield from (text[at : at + size] for at in range(0, len(text), size))
    else:
        start = 0
        for boundary in boundaries[0].finditer(text):
            yield from _pieces(text[start : boundary.end()], boundaries[1:], most)
            start = boundary.end()
        yield from _pieces(text[start:], boundaries[1:], most)


def _weight(text: str) -> int:
    """Twelfths of a token. The sum of two texts' weights is the weight of both together."""
    if text.isascii():
        return 3 * len(text)
    ascii_characters = len(text.encode("ascii", "ignore"))
    return 3 * ascii_characters + 4 * (len(text.encode()) - ascii_characters)
