"""Drafted replies as people review them: one by one, or several in a table."""

from collections.abc import Sequence
from functools import partial

from tasks.reply_batches import (
    batch_markdown,
    batch_material,
    batch_replies,
    batch_text,
)
from tasks.reply_drafting import Drafted, RepliesRequest, redrafted
from tasks.review_output import Refused, Released, Reviewable
from tasks.reviews import Draft, Evidence, Rejection, Subject
from tasks.runs import together
from tasks.steps import once

POLICY = "replies"

Reviewed = tuple[tuple[Drafted, ...], Reviewable]


def reviews_of(request: RepliesRequest, drafts: Sequence[Drafted]) -> list[Reviewed]:
    """What there is to review, with the drafts that each review decides on."""
    good = [each for each in drafts if each.failed is None]
    packs = [tuple(good[i : i + request.batch]) for i in range(0, len(good), request.batch)]
    return [(pack, _reviewable(pack, number, request)) for number, pack in enumerate(packs, 1)]


def replies_of(pack: Sequence[Drafted], outcome: Released | Refused) -> dict[str, str]:
    """The replies that a review has released, by ticket."""
    if isinstance(outcome, Refused):
        return {}
    if len(pack) == 1:
        return {pack[0].ticket.id: outcome.text}
    return batch_replies(outcome.text)


def _reviewable(pack: tuple[Drafted, ...], number: int, request: RepliesRequest) -> Reviewable:
    single = len(pack) == 1
    what = f"Reply to {pack[0].ticket.id}" if single else f"Replies to {len(pack)} tickets"
    subject = Subject(
        title=what,
        kind="reply" if single else "replies",
        policy=POLICY,
        author=request.requester,
    )
    make = partial(_single, pack[0], number) if single else partial(_several, pack, number)
    return Reviewable(subject, make, step=f"replies-{number}")


async def _single(first: Drafted, number: int, rejections: tuple[Rejection, ...]) -> Draft:
    reply = await _reply(first, number, first.reply, rejections)
    return Draft(
        text=reply,
        material=first.ticket.text,
        inputs=first.inputs,
        evidence=first.evidence,
    )


async def _several(
    pack: tuple[Drafted, ...], number: int, rejections: tuple[Rejection, ...]
) -> Draft:
    """All of a batch again: what was rejected is the whole."""
    before = batch_replies(rejections[-1].text) if rejections else {}
    replies = await together(
        _reply(each, number, before.get(each.ticket.id, each.reply), rejections) for each in pack
    )
    by_ticket = {each.ticket.id: reply for each, reply in zip(pack, replies, strict=True)}
    return Draft(
        text=batch_text(by_ticket),
        shown=batch_markdown(by_ticket),
        material=batch_material({each.ticket.id: each.ticket.text for each in pack}),
        inputs={each.ticket.id: "\n\n".join(each.inputs.values()) for each in pack},
        evidence=_without_doubles(pack),
    )


async def _reply(first: Drafted, number: int, text: str, rejections: tuple[Rejection, ...]) -> str:
    """The reply as it was drafted, or the next one; made once for a run."""
    if not rejections:
        return first.reply
    words = [rejection.words for rejection in rejections]
    step = f"reply-{first.ticket.id}-{number}-{len(rejections)}"
    return await once(step, lambda: redrafted(first, text, words), str)


def _without_doubles(pack: Sequence[Drafted]) -> tuple[Evidence, ...]:
    return tuple(dict.fromkeys(evidence for each in pack for evidence in each.evidence))
