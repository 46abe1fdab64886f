"""Several replies as one text that is reviewed as a whole: JSON, a reply for each ticket's id."""

import json
from collections.abc import Mapping
from textwrap import wrap

from tasks.markdown import escaped, table
from tasks.reply_checks import reply_faults

_WIDTH = 48  # characters of a line in a cell


def batch_text(replies: Mapping[str, str]) -> str:
    """The bytes that are approved, in the order of the replies."""
    return json.dumps(replies, ensure_ascii=False, indent=1)


def batch_replies(text: str) -> dict[str, str]:
    """The replies of such a text, by ticket."""
    replies: dict[str, str] = json.loads(text)
    return replies


def batch_markdown(replies: Mapping[str, str]) -> str:
    """The replies as a table that fits into a form."""
    rows = ((escaped(each), _cell(reply)) for each, reply in replies.items())
    return table(("Ticket", "Reply"), "ll", rows)


def batch_material(tickets: Mapping[str, str]) -> str:
    """What the replies answer, by ticket."""
    return "\n\n".join(f"{ticket}:\n{text}" for ticket, text in tickets.items())


def batch_faults(text: str, inputs: Mapping[str, str]) -> list[str]:
    """What is wrong with an edited batch. ``inputs``: what each reply was made from, by ticket."""
    try:
        replies = json.loads(text)
    except json.JSONDecodeError as error:
        return [f"It is no JSON any more: {error}."]
    if not isinstance(replies, dict) or [*replies] != [*inputs]:
        return [f"It has to have the same tickets in the same order: {', '.join(inputs)}."]
    return [
        f"{ticket}: {fault}"
        for ticket, reply in replies.items()
        for fault in (
            reply_faults(reply, {"material": inputs[ticket]})
            if isinstance(reply, str)
            else ["The reply is no text."]
        )
    ]


def _cell(text: str) -> str:
    """A text as a cell: its line breaks are the only HTML in it. Prefect's tables wrap no line."""
    lines = (line for each in text.strip().splitlines() for line in wrap(each, _WIDTH))
    return "<br>".join(map(escaped, lines))
