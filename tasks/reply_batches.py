"""Several replies as one text that is reviewed as a whole: JSON, a reply for each ticket's id."""

import json
from collections.abc import Mapping

from tasks.markdown import escaped, table
from tasks.reply_checks import reply_faults


def batch_text(replies: Mapping[str, str]) -> str:
    """The bytes that are approved, in the order of the replies."""
    return json.dumps(replies, ensure_ascii=False, indent=1)


def batch_replies(text: str) -> dict[str, str]:
    """The replies of such a text, by ticket."""
    replies: dict[str, str] = json.loads(text)
    return replies


def batch_markdown(replies: Mapping[str, str], tickets: Mapping[str, str]) -> str:
    """The replies beside what they answer, as a table."""
    rows = ((_cell(each), _cell(tickets[each]), _cell(reply)) for each, reply in replies.items())
    return table(("Ticket", "It says", "Reply"), "lll", rows)


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
    """A text as a cell: its line breaks are the only HTML in it."""
    lines = (escaped(line.strip()) for line in text.strip().splitlines())
    return "<br>".join(line for line in lines if line)
