"""What the simulated model says: extracts of what it is told.

It invents nothing, so what is missing in an answer was not passed on to it. Reference codes come
first, as its prompt asks, up to 85 % of its longest reply; then sentences. Everything is a function
of the prompt. A token is four characters.
"""

import json
import re
from collections.abc import Mapping
from random import Random
from typing import Any

CODE = re.compile(r"FACT-\d{6}")
_PASSAGE = re.compile(r"^\[(P\d+)\] ", re.MULTILINE)
_CODES_SHARE = 0.85
_SHARE = 0.2  # of a prompt's length that a reply is long
_LEAST = 24  # tokens of a reply


def tokens(text: str) -> int:
    """Tokens of a text."""
    return -(-len(text) // 4)


def extract(prompt: str, most: int, chance: Random) -> str:
    """A digest of the prompt in at most so many tokens."""
    codes = list(dict.fromkeys(CODE.findall(prompt)))[: int(4 * most * _CODES_SHARE - 8) // 12]
    share = _SHARE * tokens(prompt) * chance.uniform(0.8, 1.2)
    room = 4 * int(min(most, max(_LEAST, share, 3 * len(codes) + 2)))
    said = " ".join(["Digest:", *codes])
    place = chance.randrange(len(prompt) or 1)
    while len(said) < room - 40 and (end := prompt.find(". ", place)) >= 0:
        place = prompt.find(". ", end + 2)
        sentence = CODE.sub("", prompt[end + 2 : place + 1 if place > 0 else end + 160])
        said += " " + " ".join(sentence.split())[:220]
        if place < 0:
            break
    return said[:room]


def filled(schema: Mapping[str, Any], prompt: str, most: int, chance: Random) -> Any:
    """A value of the JSON schema, its texts taken from the prompt."""
    passages = _passages(prompt)
    texts = json.dumps(schema).count('"string"')  # a model says its reply once, not once a field
    text = extract(prompt, max(_LEAST, most // max(1, texts)), chance)

    def fill(part: Mapping[str, Any], name: str = "") -> Any:
        if "$ref" in part:
            place: Any = schema
            for step in part["$ref"].lstrip("#/").split("/"):
                place = place[step]
            return fact(passages[name], chance) if name in passages else fill(place, name)
        if "const" in part:
            return part["const"]
        if "enum" in part:  # of two themes it says that they are different
            return "different" if "different" in part["enum"] else chance.choice(part["enum"])
        if "anyOf" in part:
            return fill(next(each for each in part["anyOf"] if each.get("type") != "null"), name)
        match part.get("type"):
            case "object":
                return {each: fill(below, each) for each, below in part["properties"].items()}
            case "array":
                return [fill(part["items"], name)]
            case "integer" | "number":
                return part.get("minimum", 1)
            case "boolean":
                return True
        return text[: part.get("maxLength", len(text))]

    return fill(schema)


def fact(passage: str, chance: Random) -> dict[str, str]:
    """What a model reads in a passage: its complaint, in words that differ as a model's do."""
    sentences = [each.split() for each in re.split(r"(?<=[.?!])\s+", passage) if each.strip()]
    complaint = next((each for each in sentences if len(each) > 7), sentences[0])
    words = [*complaint[-10:], *chance.choice(sentences)[:4]]
    return {
        "kind": "problem",
        "severity": chance.choice(["low", "medium", "high"]),
        "problem": " ".join(words)[:120],
        "quote": " ".join(complaint[-8:])[:200],
        "also": "",
    }


def _passages(prompt: str) -> dict[str, str]:
    """Labelled passages, by label."""
    _, *found = _PASSAGE.split(prompt)
    return dict(zip(found[::2], found[1::2], strict=True))
