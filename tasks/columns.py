"""Which column of a table is the id, the text, the time: named by the user, or recognised."""

import re
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field

from infra.errors import InputError
from tasks.suggestions import did_you_mean

# Usual names, the likeliest first.
# fmt: off
IDS = (
    "id", "ticket_id", "ticket", "ticket_no", "ticket_number", "ticket_key", "case_id",
    "case_number", "case", "issue_id", "issue_key", "issue", "record_id", "message_id",
    "query_id", "conversation_id", "convo_id", "thread_id", "chat_id", "call_id",
    "interview_id", "meeting_id", "key", "number", "doc_id", "document_id", "uuid", "guid",
)
TITLES = ("subject", "title", "headline", "summary", "short_description")
TRANSCRIPTS = ("transcript", "turns", "messages", "conversation", "dialogue", "dialog")
BODIES = (
    "body", "description", "text", "message", "content", "comment", "comments",
    "issue_description", "details", "customer_message", "complaint", "feedback", "review",
    "question", "query", "request", "note", "notes", "utterance", *TRANSCRIPTS,
)
TIMES = (
    "created_at", "created", "created_on", "created_date", "creation_date", "created_time",
    "opened_at", "opened", "opened_on", "date", "datetime", "timestamp", "time", "date_time",
    "submitted_at", "reported_at", "received_at", "sent_at", "started_at", "happened_at",
    "occurred_at",
)
# fmt: on
ROW = "row"  # in place of an id column: number the records


class Columns(BaseModel):
    """The columns of a source. What is left out is recognised by its usual names.

    Without an id column, or with the id ``row``, a record's id is ``row-N``, N counting from 1.
    Several text columns are joined by blank lines, in the order given. Nothing is grouped unless a
    column is named.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str | None = Field(
        default=None, description="Column of the ids, or row to number them. Empty: recognised."
    )
    text: tuple[str, ...] = Field(default=(), description="Columns of the text. Empty: recognised.")
    time: str | None = Field(default=None, description="Column of the time. Empty: recognised.")
    group_by: str | None = Field(default=None, description="Column to group by. Empty: no groups.")


def recognise(named: Columns, names: Sequence[str], source: str) -> Columns:
    """The columns to use, of those that the table has.

    Raises InputError, listing the columns, when a named one is missing or no text is recognised.
    """
    numbered = named.id == ROW and ROW not in names
    require(
        (None if numbered else named.id, *named.text, named.time, named.group_by), names, source
    )
    free = [name for name in names if name not in (named.id, *named.text, named.time)]
    text = named.text or tuple(
        name for usual in (TITLES, BODIES) if (name := first_of(usual, free)) is not None
    )
    if not text:
        raise InputError(
            f"{source}: no column looks like text. {_listed(names)} Name the text's with --text."
        )
    free = [name for name in free if name not in text]
    return Columns(
        id=None if numbered else named.id or first_of(IDS, free),
        text=text,
        time=named.time or first_of(TIMES, free),
        group_by=named.group_by,
    )


def require(wanted: Iterable[str | None], names: Sequence[str], source: str) -> None:
    """Raise InputError, listing the columns, when a named one is missing."""
    for name in wanted:
        if name is not None and name not in names:
            raise InputError(
                f"{source} has no column '{name}'.{did_you_mean(name, names)} {_listed(names)}"
            )


def is_transcript(name: str) -> bool:
    """Whether a column of this name holds transcripts."""
    return _plain(name) in TRANSCRIPTS


def first_of(usual: Sequence[str], names: Sequence[str]) -> str | None:
    """The first of the usual names that is there, however it is written."""
    by_plain = {_plain(name): name for name in reversed(names)}
    return next((by_plain[name] for name in usual if name in by_plain), None)


def _plain(name: str) -> str:
    """``Ticket ID``, ``ticketId`` and ``ticket-id`` are all ``ticket_id``."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip()).casefold()
    return re.sub(r"[\W_]+", "_", words).strip("_")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:40])
    return f"Its columns: {shown}{f' and {len(names) - 40} more' if len(names) > 40 else ''}."
