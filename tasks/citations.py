"""Citations: where a claim's quote stands in the passages that were read, in their own words."""

import re
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from tasks.lexemes import lexemes
from tasks.quotes import sentences_of
from tasks.replies import CitedClaim
from tasks.retrieval import Found

_WORD = re.compile(r"\w+")
_LONGEST = 600  # characters of a quote with the rest of its sentences
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_DENIAL = re.compile(
    r"\b(?:no|not|never|none|nothing|nor|neither|cannot|without)\b|n['’]t\b", re.IGNORECASE
)


class Citation(BaseModel):
    """Where a claim stands. ``quote``: verbatim in the passage; ``context``: title and headings."""

    model_config = ConfigDict(frozen=True)

    document: str
    passage: int
    context: str
    quote: str


def quoted(said: CitedClaim, passages: Sequence[Found]) -> Citation | None:
    """Where a claim's quote stands: in the passage that it names, else in another of these; None
    where in none. Case, white space and punctuation may differ: what is given out is the passage's
    own text, in whole sentences.
    """
    named = [passages[int(said.passage) - 1]] if _is_label(said.passage, passages) else []
    for passage in (*named, *passages):
        if found := _sentences_with(said.quote, passage.text):
            return citation_of(passage, found)
    return None


def worded(claim: str, quote: str, question: str) -> str:
    """The claim, or the quote itself where only one of them denies, where the claim has a number
    that the quote has not, or only says the question again."""
    numbers = {*_NUMBER.findall(claim)} <= {*_NUMBER.findall(quote)}
    denies = bool(_DENIAL.search(claim)) == bool(_DENIAL.search(quote))
    told = ({*lexemes(claim)} - {*lexemes(question)}) & {*lexemes(quote)}
    return claim if numbers and denies and told else quote


def citation_of(passage: Found, quote: str) -> Citation:
    return Citation(
        document=passage.document, passage=passage.passage, context=passage.context, quote=quote
    )


def _is_label(label: str, passages: Sequence[Found]) -> bool:
    return label != "none" and int(label) <= len(passages)


def _sentences_with(quote: str, text: str) -> str | None:
    """The sentences of the text in which the quote's words stand, one after the other."""
    words = [word.casefold() for word in _WORD.findall(quote)]
    places = [(match[0].casefold(), match.span()) for match in _WORD.finditer(text)]
    for start in range(len(places) - len(words) + 1 if words else 0):
        stretch = places[start : start + len(words)]
        if [word for word, _ in stretch] == words:
            return _whole(text, stretch[0][1][0], stretch[-1][1][1])
    return None


def _whole(text: str, begin: int, end: int) -> str:
    """A stretch of the text, widened to whole sentences where these are not too long."""
    start = 0
    for sentence in sentences_of(text):
        place = text.index(sentence, start)
        start = place + len(sentence)
        if place < end and begin < start and max(end, start) - min(begin, place) <= _LONGEST:
            begin, end = min(begin, place), max(end, start)
    return text[begin:end]
