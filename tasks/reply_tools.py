"""Tools for one ticket: where it belongs, and a reply to it, which nobody gets before a person has
released it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from infra.errors import WorkIncomplete
from tasks.asking import ask
from tasks.json_schemas import KEPT
from tasks.replies import TicketLabel
from tasks.reply_drafting import Ticket, drafted
from tasks.review_chain import digest
from tasks.tools import tool

TicketText = Annotated[str, Field(description="The text of one ticket.")]


class ReplyMade(BaseModel):
    """A draft of a reply, and the documents that it rests on."""

    model_config = ConfigDict(frozen=True)

    reply: str
    documents: list[str]


@tool(model_calls=1)
async def classify(text: TicketText) -> TicketLabel:
    """Sort a ticket: its category, its urgency, and a summary in a sentence."""
    reply = await ask("classify_ticket", {"ticket": text}, sources=(digest(text),))
    assert isinstance(reply.value, TicketLabel)
    return reply.value


@tool(model_calls=4)
async def draft_reply(
    text: TicketText,
    collection: Annotated[
        str | None,
        Field(
            description="Collection of documents to answer from. null: none.",
            json_schema_extra={KEPT: "collection"},
        ),
    ] = None,
) -> ReplyMade:
    """Draft a reply to a ticket from the documents of a collection. It is not sent."""
    made = await drafted(Ticket(id="", text=text), collection)
    if made.failed:
        raise WorkIncomplete(f"No good reply could be drafted: {made.failed}")
    return ReplyMade(reply=made.reply, documents=[each.source for each in made.evidence])
