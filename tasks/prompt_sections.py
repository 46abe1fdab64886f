"""What a prompt that has grown too long consists of, and where each piece belongs instead."""

import re
from collections.abc import Iterator
from itertools import pairwise

from pydantic import BaseModel, ConfigDict

from infra.embeddings import count_tokens

_INPUT = "an input in the message after `=== input`: it changes with each call"
_EXAMPLES = "`examples` in the front matter: turns of their own, the two or three best"
_FORMAT = "`fills`: a model in tasks/replies.py, which the reply has to fit"
_RULES = "parts/{name}.md, if other prompts say it too; else one sentence"
_JOB = "a prompt of its own, if it is a job of its own; else out of the text"
ANYWHERE = (
    "what changes with each call into an input, examples into `examples`, the form of the reply "
    "into `fills`, rules that other prompts share into parts/NAME.md, every other job into a "
    "prompt of its own"
)
# The first that a title fits decides.
_BELONGS = {
    r"examples?|samples?|few.?shot|demonstrations?": _EXAMPLES,
    r"(\w+ )?format(ting)?|schema|json|outputs?|fields|(response|reply|answer)$": _FORMAT,
    r"rules?|constraints?|guidelines?|polic(y|ies)|style|tone|voice|persona|role|requirements?|"
    r"restrictions?|do'?s|don'?ts|never|always|safety|important|system": _RULES,
    r"^\w+ing|^tasks?|^steps?|^jobs?|goals?|instructions?": _JOB,
    r"contexts?|backgrounds?|histor(y|ies)|conversations?|transcripts?|chat|messages?|tickets?|"
    r"emails?|customers?|accounts?|documents?|knowledge|faqs?|articles?|data|inputs?": _INPUT,
}
_LEADS = (
    "Context|Background|History|Conversation|Constraints?|Rules?|Guidelines?|Requirements?|"
    "Examples?|Instructions?|Tasks?|Goals?|Formats?|Output|Response|Persona|Role|Tone|Style|"
    "Polic(?:y|ies)|Knowledge|FAQ|Important|Notes?|System"
)
_HEADING = re.compile(
    rf"""^(?:
        \#{{1,6}}\ +(?P<hashes>\S.*?)\ *\#*             # ## Context
      | (?P<underlined>\S[^\n]{{1,60}})\n(?:={{3,}}|-{{3,}})
      | (?P<rule>-{{3,}}|={{3,}}|\*{{3,}}|_{{3,}})      # says no more than that one begins
      | \*\*(?P<bold>[^*\n]{{2,60}}?):?\*\*:?           # **Context**
      | <(?P<tag>[a-z_]{{3,30}})>                       # <context>
      | (?:\d+[.)]|(?:Section|Part|Step)\ \d+\W?)\ +(?P<number>[A-Z][^.;!?\n]{{2,50}}?):?
      | (?P<capitals>[A-Z][A-Z0-9 /&'-]{{3,60}}):?      # CONTEXT
      | (?P<lead>(?:{_LEADS}|{_LEADS.upper()})\b[\w '/-]{{0,30}}):.*  # Context: the customer is …
      | (?<![^\n]\n)(?P<alone>[A-Z][\w '/-]{{2,40}}):      # What we know:
    )\s*$""",
    re.MULTILINE | re.VERBOSE,
)
_ITEM = re.compile(r"\s*\d+[.)] ")


class Piece(BaseModel):
    """A section of a text, or a paragraph, with its tokens; ``belongs``: where to put it."""

    model_config = ConfigDict(frozen=True)

    title: str
    tokens: int
    belongs: str | None = None


def pieces(text: str) -> list[Piece]:
    """The text's sections, or its paragraphs where it has none, the largest first.

    Their tokens are never more than the text's.
    """
    starts = list(_sections(text))
    if len(starts) > 1:
        return _cut(text, [(0, None), *starts])
    paragraphs = _blocks(text, r"\n\s*\n")
    return _cut(text, paragraphs if len(paragraphs) > 1 else _blocks(text, r"\n"))


def _blocks(text: str, end: str) -> list[tuple[int, str | None]]:
    return [(block.start(), None) for block in re.finditer(rf"\S.*?(?:{end}|\Z)", text, re.DOTALL)]


def _sections(text: str) -> Iterator[tuple[int, str | None]]:
    """Where each section begins, and its title."""
    among_examples = False
    for match in _HEADING.finditer(text):
        kind, title = str(match.lastgroup), match[str(match.lastgroup)].strip()
        if kind == "number" and _in_list(text, match):
            continue
        examples = _belongs(title) == _EXAMPLES
        if among_examples and (examples or kind == "rule"):
            continue  # the second example belongs to what the first began
        among_examples = examples
        yield match.start(), None if kind == "rule" else title


def _in_list(text: str, match: re.Match[str]) -> bool:
    before = text[: match.start()].rstrip().rsplit("\n", 1)[-1]
    after = text[match.end() :].lstrip().split("\n", 1)[0]
    return bool(_ITEM.match(before) or _ITEM.match(after))


def _cut(text: str, starts: list[tuple[int, str | None]]) -> list[Piece]:
    """The pieces between the starts. A piece's tokens are those that it adds to what stands before
    it: counted each by itself, they could be more than the text's."""
    ends = [start for start, _ in starts[1:]] + [len(text)] * bool(starts)
    until = count_tokens([text[:end] for end in (0, *ends)])
    found = [
        Piece(
            title=title or _beginning(text[start:end]),
            tokens=after - before,
            belongs=_belongs(title) if title else None,
        )
        for (start, title), end, (before, after) in zip(starts, ends, pairwise(until), strict=True)
        if re.search(r"\w", text[start:end])
    ]
    return sorted(found, key=lambda piece: -piece.tokens)


def _beginning(text: str) -> str:
    words = text.lstrip("-=*_# \n").split()
    return " ".join(words[:6])[:50] + (" …" if len(words) > 6 else "")


def _belongs(title: str) -> str:
    for pattern, place in _BELONGS.items():
        if re.search(rf"\b(?:{pattern})\b", title, re.IGNORECASE):
            return place.format(name=re.sub(r"\W+", "_", title.lower()).strip("_"))
    return _JOB
