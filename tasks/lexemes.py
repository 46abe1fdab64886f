"""Lexemes: what full-text search compares, and what each weighs.

A text's words, stemmed, without the words that stand in every text; names of code also in their
parts: ``DiffExecutor`` is found by "executor". A passage's weights are BM25's (Robertson & Zaragoza
2009, "The Probabilistic Relevance Framework") without the lexemes' rarity, which a question's
weights bring: their inner product is the score, as a share of the highest that a passage can have.
"""

import math
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from itertools import chain
from threading import Lock

from Stemmer import Stemmer

K1, B = 1.2, 0.4
DIMENSIONS = 1_000_000_000  # of a sparse vector: a lexeme's is its hash

_STEMMER = Stemmer("english", 0)  # what it would keep is kept here
_STEMMING = Lock()  # it is one thread's at a time
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*(?:_[^\W_]+)*")
_PARTS = re.compile(r"_|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LONGEST = 60  # characters of a lexeme
_MOST = 15_000  # lexemes of a passage, as many as a sparse vector holds
# The words of Snowball's English list that say nothing without others.
_STOP_WORDS = frozenset(
    """
    i me my myself we our ours ourselves you your yours yourself yourselves he him his himself
    she her hers herself it its itself they them their theirs themselves what which who whom
    this that these those am is are was were be been being have has had having do does did doing
    a an the and but if or because as until while of at by for with about against between into
    through during before after above below to from up down in out on off over under again
    further then once here there when where why how all any both each few more most other some
    such no nor not only own same so than too very s t can will just don should now
    """.split()
)


def lexemes(text: str) -> Counter[str]:
    """How often each lexeme stands in a text."""
    words = _WORD.findall(text if text.isascii() else unicodedata.normalize("NFKC", text))
    if max(map(len, words), default=0) > 4 * _LONGEST:
        words = [word[: 4 * _LONGEST] for word in words]
    found = Counter(chain.from_iterable(map(_of_word, words)))
    return Counter(dict(found.most_common(_MOST))) if len(found) > _MOST else found


def stem(word: str) -> str:
    """The English stem of a word in small letters."""
    with _STEMMING:
        found: str = _STEMMER.stemWord(word)
    return found


def passage_weights(counts: Mapping[str, int], mean: float) -> dict[int, float]:
    """What each lexeme of a passage adds to its score, by dimension. ``mean``: lexemes of a passage
    on average."""
    length = sum(counts.values())
    damping = K1 * (1 - B + B * length / max(mean, 1.0))
    return {_dimension(lexeme): n / (n + damping) for lexeme, n in counts.items()}


def question_weights(passages: Mapping[str, int], of: int) -> dict[int, float]:
    """The weights of a question's lexemes, whose sum is 1: the rarer, the more.

    ``passages``: in how many of an index's ``of`` passages each of the question's lexemes stands,
    with 0 for those that stand in none: they count, for no passage has all that is asked for.
    """
    of = max(of, *passages.values(), 0)  # counted at another time, it may be a little less
    rarity = {lexeme: math.log(1 + (of - n + 0.5) / (n + 0.5)) for lexeme, n in passages.items()}
    whole = sum(rarity.values())
    return {_dimension(lexeme): value / whole for lexeme, value in rarity.items()}


@lru_cache(maxsize=100_000)
def _of_word(word: str) -> tuple[str, ...]:
    parts = [part for part in _PARTS.split(word) if len(part) > 1]
    said = [word, *parts] if len(parts) > 1 else [word]
    lower = [each.casefold().replace("’", "'").removesuffix("'s") for each in said]
    return tuple(stem(each)[:_LONGEST] for each in lower if each and each not in _STOP_WORDS)


@lru_cache(maxsize=100_000)
def _dimension(lexeme: str) -> int:
    return zlib.crc32(lexeme.encode()) % DIMENSIONS
