"""Guards of the semantic cache: differences that turn a question into another one.

A sentence embedding hardly sees them: "enable 2FA" and "disable 2FA", "5 days" and "50 days", "from
Rome to Oslo" and "from Oslo to Rome" lie closer to each other than most paraphrases. So a stored
question is taken for the same only when none of these differs: numbers with their units, names and
codes, negation, opposite words, and the order of what stands in both. They read English; in other
languages numbers, names, codes and their order still count, and the commonest negations.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from tasks.lexemes import stem

_CODE = r"[\w.+-]+@[\w-]+\.[\w.-]+|https?://\S+|[\w-]+(?:[./_\\:#@][\w-]+)+|[#@][\w-]+"
_TOKEN = re.compile(
    rf"(?:(?<![^\s(])-)?\d+(?:[.,:/-]\d+)*\w*|{_CODE}|[^\W_]+(?:['’][^\W_]+)*[+#]*|[$€£¥%<>]"
)
_QUOTED = re.compile(r"[\"“«`]([^\"”»`]{1,80})[\"”»`]")
_SENTENCE_END = re.compile(r"[.!?…:]\s*$")
_MOST_CAPITALS = 0.8  # share of the words that may begin with one where they tell names
_ASKED = re.compile(
    r"(?:^|[.!?,]\s+)(who|whose|when|where|why|how (?:many|much|long|often|old|far))\b"
)
_EITHER_WAY = re.compile(r"\bor not\b", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d+(?:[.,:/-]\d+)*")
_NUMBER_AND_UNIT = re.compile(r"(-?\d+(?:[.,]\d+)*)([a-z]{1,3})")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")

_WORDS_OF_NUMBERS = {
    word: str(value)
    for value, words in {
        **dict(enumerate("zero,,two,three,four,five,six,seven,eight,nine,ten,eleven".split(","))),
        **{12: "twelve dozen", 13: "thirteen", 14: "fourteen", 15: "fifteen", 16: "sixteen"},
        **{17: "seventeen", 18: "eighteen", 19: "nineteen", 20: "twenty", 30: "thirty"},
        **{40: "forty", 50: "fifty", 60: "sixty", 70: "seventy", 80: "eighty", 90: "ninety"},
        **{100: "hundred", 1000: "thousand", 1_000_000: "million", 1_000_000_000: "billion"},
    }.items()
    for word in words.split()
}
_UNITS = {
    **dict.fromkeys(("s", "sec", "second"), "second"),
    **dict.fromkeys(("min", "minute"), "minute"),
    **dict.fromkeys(("h", "hr", "hour"), "hour"),
    **dict.fromkeys(("d", "day"), "day"),
    **dict.fromkeys(("wk", "week"), "week"),
    **dict.fromkeys(("mo", "month"), "month"),
    **dict.fromkeys(("yr", "year"), "year"),
    **dict.fromkeys(("ms", "millisecond"), "millisecond"),
    **dict.fromkeys(("$", "usd", "dollar"), "dollar"),
    **dict.fromkeys(("€", "eur", "euro"), "euro"),
    **dict.fromkeys(("£", "gbp", "pound"), "pound"),
    **dict.fromkeys(("%", "percent"), "percent"),
    **{unit: unit for unit in ("kb", "mb", "gb", "tb", "kg", "g", "km", "m", "cm", "mm", "mile")},
}
_NEGATIONS = frozenset(
    "not no never none nobody nothing nowhere neither nor cannot cant dont doesnt didnt wont isnt "
    "arent wasnt werent couldnt shouldnt wouldnt hasnt havent hadnt aint hardly "
    "unable refuse refuses "
    "nicht kein keine keinen keinem keiner nie niemals ohne pas jamais aucun aucune sans sin nunca "
    "jamás ningún ninguna não nem sem senza niet geen nooit zonder bez не нет без никогда".split()
)
# Named by any spelling; "may" and "march" only where a capital tells them from the verbs.
_DATES = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday january february april june july "
    "august september october november december jan feb apr jun jul aug sep sept oct nov dec "
    "mon tue wed thu fri".split()
)
_PREFIXES = ("un", "dis", "in", "im", "il", "ir", "non", "de", "mis", "re", "anti", "over", "under")
_DIRECTIONS = frozenset("from to into onto than before after by over under against for via".split())
_FUNCTION_WORDS = frozenset(
    "a an and any are as at be been but can could did do does for from had has have how i if in is "
    "it its me my of on or our should so some than that the their them then there these they this "
    "those to us was we were what when where which who whom whose why will with would you your im "
    "ive id please hi hello hey thanks thank help need want wants like try trying get way possible "
    "able anyone someone somebody anybody anything something just there's i'm i've i'd i'll".split()
)


@dataclass(frozen=True)
class _Read:
    """What the guards see of a question. ``numbers`` and ``names`` are in the order of the text."""

    words: frozenset[str]
    stems: frozenset[str]
    numbers: tuple[str, ...]
    names: tuple[str, ...]
    negations: int
    asked: frozenset[str]
    objects: tuple[tuple[str, str], ...]


def differences(question: str, stored: str) -> tuple[str, ...]:
    """What makes two questions different ones: of numbers, names, negation, opposites, order."""
    a, b = _read(question), _read(stored)
    found = {
        "numbers": sorted(a.numbers) != sorted(b.numbers),
        "names": not (_known(a.names, b) and _known(b.names, a)),
        "negation": a.negations % 2 != b.negations % 2,
        "asked": bool(a.asked and b.asked) and a.asked != b.asked,
        "opposites": any(_opposite(x, y) for x in a.stems - b.stems for y in b.stems - a.stems),
        "order": _reordered(a, b),
    }
    return tuple(name for name, differs in found.items() if differs)


def _known(names: tuple[str, ...], other: _Read) -> bool:
    return all(name in other.words or stem(name) in other.stems for name in names)


def _reordered(a: _Read, b: _Read) -> bool:
    """Whether names, numbers or what a direction word points at have changed places."""
    if a.numbers != b.numbers and sorted(a.numbers) == sorted(b.numbers):
        return True
    if _shared(a.names, b) != _shared(b.names, a):
        return True
    ours, theirs = dict(a.objects), dict(b.objects)
    return any(
        what == theirs.get(other) and theirs.get(word, what) != what
        for word, what in ours.items()
        for other in theirs
        if other != word
    )


def _shared(names: tuple[str, ...], other: _Read) -> list[str]:
    return list(dict.fromkeys(name for name in names if name in other.names))


@lru_cache(maxsize=4096)
def _read(text: str) -> _Read:
    text = _EITHER_WAY.sub("", unicodedata.normalize("NFKC", text).replace("−", "-"))
    tokens = list(_TOKEN.finditer(text))
    plain = [token.group().replace("’", "'") for token in tokens]
    lower = [word.casefold().removesuffix("'s") for word in plain]
    return _Read(
        words=frozenset(lower),
        stems=frozenset(map(stem, lower)),
        numbers=tuple(_numbers(lower)),
        names=tuple(_names(text, tokens, lower)),
        negations=sum(word in _NEGATIONS or word.endswith("n't") for word in lower),
        asked=frozenset(_ASKED.findall(text.casefold())),
        objects=tuple(_objects(lower)),
    )


def _numbers(words: list[str]) -> Iterator[str]:
    """Numbers with the unit that stands beside them, thousands and zeros written one way."""
    for at, word in enumerate(words):
        whole = _WORDS_OF_NUMBERS.get(word) or _ordinal(word)
        joined = _NUMBER_AND_UNIT.fullmatch(word)
        beside = words[at + 1 : at + 2] + words[max(0, at - 1) : at]
        if joined and joined[2] in _UNITS:
            yield f"{_plain(joined[1])} {_UNITS[joined[2]]}"
        elif whole or _NUMBER.fullmatch(word):
            units = (_UNITS.get(near) or _UNITS.get(near.removesuffix("s")) for near in beside)
            yield f"{_plain(whole or word)} {next(filter(None, units), '')}".strip()


def _ordinal(word: str) -> str | None:
    found = _ORDINAL.fullmatch(word)
    return found[1] if found else None


def _plain(number: str) -> str:
    bare = re.sub(r",(?=\d{3}(?:\D|$))", "", number)
    return re.sub(r"\.0+$", "", bare)


def _names(text: str, tokens: list[re.Match[str]], lower: list[str]) -> Iterator[str]:
    """Names, codes and what stands in quotation marks, casefolded."""
    cased = [m.group() for m in tokens[1:] if m.group()[0].isalpha()]
    # Where Every Word Is Capital, or ALL ARE, capitals say nothing.
    telling = sum(word[0].isupper() for word in cased) <= _MOST_CAPITALS * len(cased)
    quoted = [m.span(1) for m in _QUOTED.finditer(text)]
    for at, (token, word) in enumerate(zip(tokens, lower, strict=True)):
        said = token.group()
        starts = at == 0 or bool(
            _SENTENCE_END.search(text[max(0, token.start() - 8) : token.start()])
        )
        if word in _FUNCTION_WORDS or word in _NEGATIONS or said.isdigit():
            continue
        mixed = any(c.isdigit() for c in said) and any(c.isalpha() for c in said)
        joined = mixed and not (_ORDINAL.fullmatch(word) or _NUMBER_AND_UNIT.fullmatch(word))
        capital = telling and (
            any(c.isupper() for c in said[1:]) or (said[0].isupper() and not starts)
        )
        code = not re.fullmatch(r"[\w'’]+|[$€£¥%]", said) and not _NUMBER.fullmatch(word)
        if (
            word in _DATES
            or joined
            or capital
            or code
            or any(s <= token.start() < e for s, e in quoted)
        ):
            yield word


def _objects(words: list[str]) -> Iterator[tuple[str, str]]:
    """What each direction word points at: the next word that is no function word."""
    for at, word in enumerate(words):
        if word in _DIRECTIONS:
            after = (w for w in words[at + 1 : at + 5] if w not in _FUNCTION_WORDS)
            if (what := next(after, None)) is not None:
                yield word, stem(what)


def _opposite(a: str, b: str) -> bool:
    if b in _opposites().get(a, ()):
        return True
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    return len(shorter) > 2 and any(longer == prefix + shorter for prefix in _PREFIXES)


@cache
def _opposites() -> dict[str, frozenset[str]]:
    """Stems of the words on the other side, by stem: `opposites.txt`."""
    found: dict[str, frozenset[str]] = {}
    for line in files(__package__).joinpath("opposites.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            left, right = (
                frozenset(stem(word.strip()) for word in side.split(","))
                for side in line.split("|")
            )
            for side, other in ((left, right), (right, left)):
                for word in side:
                    found[word] = found.get(word, frozenset()) | other
    return found
