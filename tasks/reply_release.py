"""Released replies: kept in a table, written to a file, byte for byte as people released them."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

from prefect import task
from pydantic import BaseModel, ConfigDict

from infra.errors import WorkIncomplete
from infra.postgres import transaction
from infra.sql import queries
from tasks.reply_drafting import Drafted, RepliesRequest
from tasks.reply_reviews import POLICY, Reviewed, replies_of
from tasks.result_files import require_writable, write_table
from tasks.review_chain import digest
from tasks.review_output import Refused, Released, require_policies
from tasks.runs import RETRIED
from tasks.steps import current_root_run

_SHOWN = 5  # tickets that a message names


class ReleasedReply(BaseModel):
    """A reply as it was released by a review; ``sha256`` (hex): of its UTF-8."""

    model_config = ConfigDict(frozen=True)

    ticket: str
    reply: str
    sha256: str
    reviewers: tuple[str, ...]
    review: int
    released_at: datetime


class TicketOutcome(BaseModel):
    """What became of one ticket: released, edited, rejected or failed; the review that decided."""

    model_config = ConfigDict(frozen=True)

    ticket: str
    outcome: str
    review: int | None
    why: str = ""


class RepliesDone(BaseModel):
    """What became of all tickets of a run, without a word of them. ``released``: as drafted."""

    model_config = ConfigDict(frozen=True)

    tickets: int
    released: int
    edited: int
    rejected: int
    failed: int
    outcomes: tuple[TicketOutcome, ...]
    file: str | None


def require_ready(request: RepliesRequest) -> None:
    """Raise now, not after drafts were made and reviewed: InputError for a file that cannot be
    written, SettingsError for a policy that nobody could decide by."""
    require_policies([POLICY])
    require_writable(request.out)


@task(name="release replies", **RETRIED)
async def release_replies(
    request: RepliesRequest,
    drafts: Sequence[Drafted],
    reviewed: Sequence[Reviewed],
    outcomes: Sequence[Released | Refused],
) -> RepliesDone:
    """Keep what was released in the table and the file, and say what became of each ticket."""
    found = [
        each
        for (pack, _), outcome in zip(reviewed, outcomes, strict=True)
        for each in _outcomes(pack, outcome)
    ]
    failed = [
        TicketOutcome(ticket=each.ticket.id, outcome="failed", review=None, why=each.failed)
        for each in drafts
        if each.failed
    ]
    rows = await keep(current_root_run(), reviewed, outcomes)
    if request.out:
        await asyncio.to_thread(write, rows, Path(request.out))
    counts = {
        name: sum(each.outcome == name for each in (*found, *failed))
        for name in ("released", "edited", "rejected", "failed")
    }
    return RepliesDone(tickets=len(drafts), **counts, outcomes=(*found, *failed), file=request.out)


async def keep(
    root_run: UUID, reviewed: Sequence[Reviewed], outcomes: Sequence[Released | Refused]
) -> list[ReleasedReply]:
    """Keep the released replies of a run, all or none; those that are kept stay as they are."""
    async with transaction() as connection:
        for (pack, _), outcome in zip(reviewed, outcomes, strict=True):
            for ticket, reply in replies_of(pack, outcome).items():
                assert isinstance(outcome, Released)
                row = {
                    "root_run": root_run,
                    **{"ticket": ticket, "reply": reply, "sha256": digest(reply)},
                    **{"review": outcome.review, "reviewers": [*outcome.reviewers]},
                }
                await connection.execute(queries()["keep_released_reply"], row)
        asked = await connection.execute(queries()["released_replies"], {"root_run": root_run})
        return [ReleasedReply.model_validate(row) for row in await asked.fetchall()]


def write(rows: Sequence[ReleasedReply], path: Path) -> None:
    """Write replies as a table. Raises StorageError."""
    import pandas as pd

    told = [
        row.model_dump(mode="json") | {"reviewers": " and ".join(row.reviewers)} for row in rows
    ]
    write_table(pd.DataFrame(told, columns=[*ReleasedReply.model_fields]), path)


def require_drafted(done: RepliesDone) -> None:
    """Raise WorkIncomplete naming tickets without a draft: what was released is kept."""
    failed = [each for each in done.outcomes if each.outcome == "failed"]
    if failed:
        named = "; ".join(f"{each.ticket} ({each.why})" for each in failed[:_SHOWN])
        more = f" and {len(failed) - _SHOWN} others" if len(failed) > _SHOWN else ""
        raise WorkIncomplete(
            f"{len(failed)} of {done.tickets} tickets have no reply: {named}{more}. "
            "What was released is kept. Answer these by hand, or run it again."
        )


def _outcomes(pack: Sequence[Drafted], outcome: Released | Refused) -> list[TicketOutcome]:
    if isinstance(outcome, Refused):
        word, why = "rejected", outcome.reason
    else:
        word, why = ("edited" if outcome.edited else "released"), ""
    return [
        TicketOutcome(ticket=each.ticket.id, outcome=word, review=outcome.review, why=why)
        for each in pack
    ]
