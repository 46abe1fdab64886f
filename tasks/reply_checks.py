"""What a reply to a customer has to pass, whoever wrote it."""

import re
from collections.abc import Iterator, Mapping

_LONGEST = 2000  # characters
_PLACEHOLDER = re.compile(
    r"\[[^\]\n]{1,40}\]|\{\{.*?\}\}|<\w[^>\n]{0,40}>|\bx{3,}\b|\blorem ipsum\b|\btodo\b",
    re.IGNORECASE,
)
_LINK = re.compile(r"(?:https?://|www\.)[^\s)\]>\"']+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:[.,:/\u202f\u00a0 -]?\d+)*")
_LIST = re.compile(r"^\s*\d{1,2}[.)]\s", re.MULTILINE)
_FORMULA = ("=", "+", "-", "@")  # a spreadsheet runs what begins so


def reply_faults(text: str, inputs: Mapping[str, str]) -> list[str]:
    """What is wrong with a reply; nothing for a good one.

    ``inputs``: what it was made from: numbers and addresses that stand in none of them are made up.
    """
    return list(_faults(text, " ".join(inputs.values())))


def _faults(text: str, material: str) -> Iterator[str]:
    if not text.strip():
        yield "The reply is empty."
        return
    if len(text) > _LONGEST:
        yield f"The reply is longer than {_LONGEST} characters."
    if text.lstrip().startswith(_FORMULA):
        yield f"The reply begins with {text.lstrip()[0]}, which spreadsheets take for a formula."
    if found := _PLACEHOLDER.search(text):
        yield f"The reply has a placeholder: {found[0]}"
    yield from made_up(text, material)


def made_up(text: str, material: str) -> Iterator[str]:
    """Addresses and numbers of a text that stand nowhere in the material, each with a word."""
    known = material.casefold()
    for link in _LINK.findall(text):
        if link.rstrip(".,;:!?").casefold() not in known:
            yield f"The reply names an address that stands nowhere: {link}"
    told = {_digits(number) for number in _NUMBER.findall(material)}
    for number in dict.fromkeys(_NUMBER.findall(_LIST.sub(" ", _LINK.sub(" ", text)))):
        if _digits(number) not in told:
            yield f"The reply has a number that stands nowhere: {number}"


def _digits(number: str) -> str:
    """A number without what parts its digits: 1,200 and 1200 are one."""
    return re.sub(r"\D", "", number)
