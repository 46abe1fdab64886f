"""Tickets that are forgotten, taken out of reviews: an event of the chain says so, and vouches for
what is left."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from prefect import task

from infra.postgres import Connection, Jsonb, fetch, transaction
from infra.sql import queries
from tasks.forgetting import Forgetting
from tasks.forgetting_rows import where, words_for
from tasks.review_chain import Event, append, beside_sha256, digest, lock_chain
from tasks.reviews import TEXT, Review, read_review
from tasks.runs import RETRIED
from tasks.traces import FORGOTTEN

_BESIDE = "beside"  # reason code: words went that stood beside the text, which is as it was
_COLUMNS = ("title", "text", "material", "shown", "inputs", "evidence")


@task(name="forget in reviews", **RETRIED)
async def forget_in_reviews(forgetting: Forgetting) -> dict[str, int]:
    """Take words out of drafts, of what people made of them, and of their reasons. A review whose
    text had some ends, if it waits: nobody may release what is left. How many had some."""
    rows = await fetch("reviews_with", where(forgetting))
    done = [await _emptied(forgetting, row["id"], row["root_run"]) for row in rows]
    return {"reviews": sum(done)}


async def _emptied(forgetting: Forgetting, number: int, run: Any) -> bool:
    words = words_for(forgetting, run)
    async with transaction() as connection:
        await lock_chain(connection)
        review = await read_review(number, connection)
        draft = review.draft.model_dump(mode="json") | {"title": review.title}
        left = words.taken_from({name: draft[name] for name in _COLUMNS})
        if left["material"] != draft["material"]:
            is_all = words.make_up(draft["material"])
            left["text"] = _said_to(left["text"], forgetting.tickets, is_all=is_all)
        changed = [name for name in _COLUMNS if left[name] != draft[name]]
        all_of_it = "text" in changed  # what people made of it are the ticket's words, or on it
        said = [
            event
            for event in review.events
            if event.text or (event.reason and event.kind in ("edit", "reject", "refused"))
            if all_of_it or words.are_in(event.text or "") or words.are_in(event.reason)
        ]
        if not changed and not said:
            return False
        row = await _replaced(connection, number, left)
        for event in said:
            await connection.execute(
                queries()["empty_event"], {"id": event.id, "with_reason": True}
            )
        in_text = "text" in changed or any(event.text for event in said)
        await append(connection, _event(forgetting, review, row, in_text=in_text))
    return True


def _said_to(text: str, tickets: Sequence[str], *, is_all: bool) -> str:
    """What is left of a draft that answers tickets which are forgotten: of several replies, those
    to others; of a single one, where the ticket is all that it answers, nothing."""
    try:
        replies = json.loads(text)
    except ValueError:
        replies = None
    if isinstance(replies, dict) and {*tickets} & replies.keys():
        left = {name: FORGOTTEN if name in tickets else said for name, said in replies.items()}
        return json.dumps(left, ensure_ascii=False, indent=1)
    return FORGOTTEN if is_all else text


async def _replaced(connection: Connection, number: int, left: dict[str, Any]) -> dict[str, Any]:
    written = {**left, **{name: Jsonb(left[name]) for name in ("inputs", "evidence")}}
    asked = await connection.execute(queries()["replace_draft"], {**written, "id": number})
    [row] = await asked.fetchall()
    return row


def _event(forgetting: Forgetting, review: Review, row: dict[str, Any], *, in_text: bool) -> Event:
    return Event(
        review=review.id,
        kind="forgotten",
        actor=forgetting.requester or "unknown",
        reason_code=TEXT if in_text else _BESIDE,
        shown_sha256=digest(row["text"]),
        text_sha256=beside_sha256(row),
        policy=review.policy.version,
        final=in_text and review.outcome is None,
        at=datetime.now(UTC),
    )
