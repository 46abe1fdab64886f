"""Replies to tickets, drafted from the knowledge base, checked, and drafted again with reasons."""

import asyncio
from collections.abc import Sequence

from prefect import task
from pydantic import BaseModel, ConfigDict, Field

from infra.errors import ModelError, ModelRateLimited, ModelUnavailable, ReplyMalformed
from tasks.asking import ask
from tasks.columns import Columns
from tasks.corpus import load_corpus
from tasks.document_collections import Name
from tasks.progress import Progress
from tasks.replies import ReplyDraft, Support
from tasks.reply_checks import reply_faults
from tasks.retrieval import Found, search
from tasks.review_chain import digest
from tasks.reviews import Evidence
from tasks.revision import revised
from tasks.runs import RETRIED, together
from tasks.steps import once

PROMPT = "draft_reply"
_PASSAGES = 3  # of the knowledge base, that a reply is made from
_LEAST_SIMILARITY = 0.25  # cosine of a passage that may help
_QUESTION = 1500  # characters of a ticket that are searched with
_TRIES = 2  # of making a reply again
_AT_ONCE = 64  # tickets; how many ask a model at once is decided elsewhere


class RepliesRequest(BaseModel):
    """Tickets to draft replies to, and how they are reviewed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        description="A file of tickets, `corpus:NAME`, `sql:FILE`, `query:SELECT …`.",
        json_schema_extra={"position": 0},
    )
    collection: Name | None = Field(
        None,
        description="Knowledge base that replies rest on. Empty: none.",
        json_schema_extra={"position": 1},
    )
    batch: int = Field(
        1,
        ge=1,
        le=50,
        description="Replies that one review decides on.",
        json_schema_extra={"position": 2},
    )
    limit: int | None = Field(
        None, ge=1, description="Only the first tickets.", json_schema_extra={"position": 3}
    )
    requester: str = Field(
        "",
        description="Who asks for the drafts: somebody else has to release them.",
        json_schema_extra={"position": 4},
    )
    columns: Columns = Field(
        default_factory=Columns,
        description="Recognised where left out.",
        json_schema_extra={"position": 5},
    )
    out: str | None = Field(
        None,
        description="File for the released replies: .csv, .jsonl or .parquet. They are in the "
        "table patterns.released_replies in any case.",
        json_schema_extra={"position": 6},
    )


class Ticket(BaseModel):
    """A ticket to answer."""

    model_config = ConfigDict(frozen=True)

    id: str
    text: str


class Tickets(BaseModel):
    """The tickets of a run, which stay the same however often it starts anew."""

    model_config = ConfigDict(frozen=True)

    tickets: tuple[Ticket, ...]


class Drafted(BaseModel):
    """The first draft of a reply. ``passages``: what it was made from; ``failed``: why there is
    none."""

    model_config = ConfigDict(frozen=True)

    ticket: Ticket
    reply: str = ""
    passages: str = ""
    evidence: tuple[Evidence, ...] = ()
    failed: str | None = None

    @property
    def inputs(self) -> dict[str, str]:
        """What a reply to the ticket is made from."""
        return {"passages": self.passages, "ticket": self.ticket.text}


@task(name="load tickets", **RETRIED)
async def load_tickets(request: RepliesRequest) -> list[Ticket]:
    """The tickets of the source that say anything, in canonical order; read once for a run."""

    async def read() -> Tickets:
        corpus = await load_corpus(request.source, request.columns)
        rows = zip(corpus.records["id"], corpus.records["text"], strict=True)
        found = [Ticket(id=name, text=text) for name, text in rows if text.strip()]
        return Tickets(tickets=tuple(found[: request.limit]))

    return [*(await once("tickets", read, Tickets)).tickets]


@task(name="draft replies", **RETRIED)
async def draft_all(
    tickets: Sequence[Ticket], collection: str | None, following: Progress
) -> list[Drafted]:
    """A draft for each ticket, made once for a run; those that came to nothing say why."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int, ticket: Ticket) -> Drafted:
        async with gate:
            made = await once(f"reply-{number}", lambda: drafted(ticket, collection), Drafted)
            await following.advance()
            return made

    return await together(one(number, ticket) for number, ticket in enumerate(tickets, 1))


async def drafted(ticket: Ticket, collection: str | None) -> Drafted:
    """The draft of a reply to a ticket, from the passages near to it that answer it.

    One that fails its checks is made again with the faults as reasons. A model that has no
    good reply is no error: the draft says why there is none. Raises what says that no call can
    succeed just now: ModelUnavailable, ModelRateLimited, and other errors than the model's.
    """
    first = Drafted(ticket=ticket, passages=_numbered([]))
    try:
        if collection:
            first = _resting_on(await _answering(ticket, collection), ticket)
        reply = await ask(PROMPT, first.inputs, sources=_sources(first))
        assert isinstance(reply.value, ReplyDraft)
        text = reply.value.reply.strip()
        if faults := reply_faults(text, first.inputs):
            text = await redrafted(first, text, (), faults)
    except (ModelUnavailable, ModelRateLimited):
        raise
    except ModelError as error:
        return first.model_copy(update={"failed": str(error)})
    return first.model_copy(update={"reply": text})


async def redrafted(
    first: Drafted, text: str, reasons: Sequence[str], faults: Sequence[str] = ()
) -> str:
    """A reply that heeds why the one before it, ``text``, was not good, and passes the checks.

    ``reasons``: of people; a number that one names is no made-up one. ``faults``: that the checks
    found. Raises ReplyMalformed when it fails them twice, and what `tasks.asking.ask` raises.
    """
    known, told = {**first.inputs, "reasons": " ".join(reasons)}, [*reasons, *faults]
    for _ in range(_TRIES):
        reply = await revised(PROMPT, first.inputs, text, told, sources=_sources(first))
        assert isinstance(reply.value, ReplyDraft)
        text = reply.value.reply.strip()
        if not (found := reply_faults(text, known)):
            return text
        told += found
    raise ReplyMalformed("The reply fails its checks, also when it is made again.")


async def _answering(ticket: Ticket, collection: str) -> list[Found]:
    """The passages near to a ticket that answer it: a small yes-or-no question for each, since a
    small model that is shown others answers from them."""
    found = await search(collection, ticket.text[:_QUESTION], k=_PASSAGES)
    near = [each for each in found if each.similarity >= _LEAST_SIMILARITY]
    tells = await together(_tells(ticket, each) for each in near)
    return [each for each, yes in zip(near, tells, strict=True) if yes]


async def _tells(ticket: Ticket, passage: Found) -> bool:
    inputs = {"question": ticket.text[:_QUESTION], "sentence": passage.text}
    sources = tuple(map(digest, (ticket.text, passage.text)))
    reply = await ask("check_support", inputs, sources=sources)
    assert isinstance(reply.value, Support)
    return reply.value.answers == "yes"


def _resting_on(found: Sequence[Found], ticket: Ticket) -> Drafted:
    return Drafted(
        ticket=ticket,
        passages=_numbered(found),
        evidence=tuple(Evidence(source=_place(each), quote=each.text) for each in found),
    )


def _numbered(found: Sequence[Found]) -> str:
    several = (f"[{n}] {each.context}\n{each.text}" for n, each in enumerate(found, 1))
    return "\n\n".join(several) or "none"


def _place(found: Found) -> str:
    return f"{found.document}: {found.context}" if found.context else found.document


def _sources(first: Drafted) -> tuple[str, ...]:
    return tuple(map(digest, (first.ticket.text, *(each.quote for each in first.evidence))))
