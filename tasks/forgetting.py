"""Forgetting a ticket: what is asked for, what is known of it until nothing is left, what was done.

A text is the last thing that finds itself. So what is being forgotten is one row, written in the
transaction that takes the ticket out of its corpora, and removed at the very end: whoever is killed
in between, the next forgetting of whatever ticket goes on with it.
"""

import hashlib
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect import task
from pydantic import BaseModel, ConfigDict, Field

from infra.errors import InputError, WorkIncomplete
from infra.postgres import alone, fetch, transaction
from infra.sql import queries
from tasks.columns import Columns
from tasks.corpus import load_corpus
from tasks.kept_corpora import list_corpora, read_corpus
from tasks.passages import cut_text
from tasks.quotes import sentences_of
from tasks.runs import RETRIED
from tasks.traces import Traces

_SCHEME = "corpus:"


class ForgetRequest(BaseModel):
    """A ticket whose text is to be in nothing that is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ticket: str = Field(
        min_length=1, description="Id of the ticket.", json_schema_extra={"position": 0}
    )
    source: str | None = Field(
        None,
        description="Where it stands: `corpus:NAME`, or a file, which is left as it is. Empty: in "
        "whichever kept corpus.",
        json_schema_extra={"position": 1},
    )
    columns: Columns = Field(
        default_factory=Columns,
        description="Of a file; recognised where left out.",
        json_schema_extra={"position": 4},
    )
    requester: str = Field("", description="Who asks for it.", json_schema_extra={"position": 2})
    wait_minutes: float = Field(
        10,
        ge=0,
        description="How long to wait for runs that were under way and may know the text.",
        json_schema_extra={"position": 3},
    )


class Forgetting:
    """What is being forgotten. Opaque to Prefect: it holds text.

    ``ids``: of its rows; ``own``: the words of the tickets, but those that others have as well;
    ``said``: what models have said of them; ``runs``: that have read them; ``hashes``: SHA-256
    (hex) of the tickets, their passages and sentences; ``calls``: keys of those that were asked
    with their words.
    """

    __slots__ = ("calls", "hashes", "ids", "own", "requester", "runs", "said", "sources", "tickets")

    def __init__(
        self,
        rows: Sequence[dict[str, Any]],
        own: Traces,
        said: Traces,
        calls: Sequence[bytes] = (),
    ) -> None:
        self.ids = [row["id"] for row in rows]
        self.tickets = sorted({row["ticket"] for row in rows})
        self.sources = sorted({source for row in rows for source in row["sources"]})
        self.hashes = sorted({each for row in rows for each in row["hashes"]})
        self.runs: list[UUID] = sorted({run for row in rows for run in row["runs"]})
        self.requester: str = rows[-1]["requester"]
        self.own, self.said, self.calls = own, said, calls

    @property
    def words(self) -> Traces:
        """All that it is found by, where it is known that the ticket was read."""
        return self.own | self.said

    @property
    def passages(self) -> list[bytes]:
        """The hashes as the database has them."""
        return [bytes.fromhex(each) for each in self.hashes]


class Forgotten(BaseModel):
    """What was removed, in pieces by place, without a word of it. ``tickets``: this one, and those
    whose forgetting had not come to its end; ``sources``: where they stood; ``under_way``: runs
    that may know the text still; ``left``: places in which words of it stand all the same."""

    model_config = ConfigDict(frozen=True)

    tickets: tuple[str, ...]
    sources: tuple[str, ...]
    removed: dict[str, int]
    under_way: tuple[str, ...] = ()
    left: dict[str, int] = Field(default_factory=dict)


def one_at_a_time() -> AbstractAsyncContextManager[None]:
    """Wait until no other forgetting is under way."""
    return alone("forgetting")


@task(name="note what is forgotten", **RETRIED)
async def begin(request: ForgetRequest) -> datetime:
    """Note a ticket as one that is being forgotten, and take it out of its corpora, at once; since
    when tickets are being forgotten.

    Nothing is new where it is noted already, and gone. Raises InputError for a ticket that is
    nowhere, or several in corpora of the same id, saying where was looked.
    """
    found = await _texts_of(request)
    before = await noted()
    if not found and request.ticket in {row["ticket"] for row in before}:
        return _since(before)
    _require_one(request, found, [each.name for each in await list_corpora()])
    sources = sorted(found)
    known = {"ticket": request.ticket, "sources": sources}
    texts = {text: None for whole, kind in found.values() for text in _texts(whole, kind)}
    for row in await fetch("passages_of_ticket", known):
        texts |= {row["text"]: None, f"{row['context']}\n{row['text']}": None}
    pieces = [piece for text in texts for piece in (text, *sentences_of(text))]
    hashes = [hashlib.sha256(piece.encode()).hexdigest() for piece in pieces]
    row = {**known, "requester": request.requester, "texts": [*texts], "hashes": hashes}
    async with transaction() as connection:
        await connection.execute(queries()["note_forgetting"], row)
        await connection.execute(queries()["take_from_corpora"], known)
    return _since(await noted())


async def noted() -> list[dict[str, Any]]:
    """What is being forgotten, as it is noted."""
    return await fetch("forgettings")


@task(name="end forgetting", **RETRIED)
async def end(
    forgetting: Forgetting, removed: dict[str, int], under_way: Sequence[str]
) -> Forgotten:
    """What was done. The note goes once nothing is left, and nobody is under way who may write it
    again."""
    patterns = forgetting.own.patterns()
    left = dict[str, int]()
    for row in await fetch("places_with", {"patterns": patterns}):
        if forgetting.own.are_in(row["said"]):
            left[row["place"]] = left.get(row["place"], 0) + 1
    if not left and not under_way:
        await fetch("end_forgettings", {"ids": forgetting.ids})
    return Forgotten(
        tickets=tuple(forgetting.tickets),
        sources=tuple(forgetting.sources),
        removed={place: count for place, count in removed.items() if count},
        under_way=tuple(under_way),
        left=left,
    )


def require_forgotten(done: Forgotten) -> None:
    """Raise WorkIncomplete naming what is left, or who may write it again."""
    again = "Run the same command again; what was removed stays removed."
    if done.left:
        places = ", ".join(f"{name} ({count})" for name, count in done.left.items())
        raise WorkIncomplete(f"Words of {' and '.join(done.tickets)} are left in {places}. {again}")
    if done.under_way:
        raise WorkIncomplete(
            f"Runs that may have read {' and '.join(done.tickets)} before are under way: "
            f"{', '.join(done.under_way)}. What there was is removed. When they have ended: {again}"
        )


async def _texts_of(request: ForgetRequest) -> dict[str, tuple[str, str]]:
    """Text and kind of the ticket by source."""
    source = request.source
    if source is None or source.startswith(_SCHEME):
        name = source.removeprefix(_SCHEME) if source else None
        if name:
            await read_corpus(name)  # so that an unknown name is told
        rows = await fetch("records_of_ticket", {"ticket": request.ticket, "corpus": name})
        return {f"{_SCHEME}{row['name']}": (row["text"], row["kind"]) for row in rows}
    corpus = await load_corpus(source, request.columns)
    records = corpus.records[corpus.records["id"] == request.ticket]
    texts = list(zip(records["text"], records["kind"], strict=True))
    return dict.fromkeys([corpus.name], texts[0]) if texts else {}


def _require_one(
    request: ForgetRequest, found: dict[str, tuple[str, str]], corpora: Sequence[str]
) -> None:
    if not found:
        looked = request.source or (
            f"the kept corpora ({', '.join(corpora)})" if corpora else "no corpus: none is kept"
        )
        raise InputError(
            f"There is no ticket {request.ticket!r}. Looked in {looked}. If it stands in a file, "
            "name it with --source: its text is needed to find what was made of it."
        )
    if len({text for text, _ in found.values()}) > 1:
        raise InputError(
            f"{' and '.join(sorted(found))} have each a ticket {request.ticket!r}, and another "
            "text. Say which one is meant with --source."
        )


def _since(rows: Sequence[dict[str, Any]]) -> datetime:
    first: datetime = min(row["begun_at"] for row in rows)
    return first


def _texts(whole: str, kind: str) -> list[str]:
    """A ticket's text as it is quoted: as it is, stripped, and cut in each way that there is."""
    return [whole, whole.strip(), *cut_text(whole, kind), *cut_text(whole, "document")]
