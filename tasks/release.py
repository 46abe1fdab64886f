"""Release of a draft by a person: stored, shown, decided on, and only then given out.

The draft is stored with its hash before the wait, and what is given out are the stored bytes: a
deployed run that waits has no process and may have lost everything else by the time it goes on.
"""

from enum import StrEnum
from itertools import count

from prefect.context import FlowRunContext
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import apause_flow_run, asuspend_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.runtime import flow_run as runtime
from pydantic import BaseModel, ConfigDict, Field

from infra.errors import ReviewRefused
from tasks.decisions import Decision, Kept, open_review, read_review, record, require_unaltered
from tasks.markdown import escaped, quoted
from tasks.steps import current_root_run

POLL_SECONDS = 2
LOCAL_PATIENCE = 24 * 3600  # seconds; a local run waits as a process
DEPLOYED_PATIENCE = 30 * 24 * 3600  # seconds; a deployed one waits as a row


class Verdict(StrEnum):
    """What a reviewer can say."""

    APPROVE = "approve"
    REJECT = "reject"


class Review(RunInput):
    """The form of a paused run. No defaults: nothing is chosen before a person chooses it.

    Its fields are of plain types, and the rules are in `fault_of`: what a stricter form refuses,
    Prefect accepts all the same, and then fails the run.
    """

    decision: Verdict = Field(description="Release this draft, or not.")
    reviewer: str = Field(description="Your name. It is not verified: it is a claim.")
    reason: str = Field("", description="Why. A rejection needs it.")


class Release(BaseModel):
    """A text that a person has released, and the SHA-256 (hex) of its UTF-8."""

    model_config = ConfigDict(frozen=True)

    text: str
    sha256: str
    reviewer: str


async def release(text: str, *, title: str, review_round: int = 1) -> Release:
    """Wait until a person releases the text; called in the body of a top-level flow.

    A local run pauses and its process waits; a deployed run suspends and its process ends. Then the
    flow starts from the top, and here again: whatever ``text`` is by then, what was stored and
    shown the first time is released. An answer that breaks a rule is asked for again, with the
    rule on top. One that breaks none is kept in the chain of decisions before it is obeyed.

    Raises ReviewRefused with the reason when the draft is rejected or nobody decides in time,
    DatabaseError when the stored draft is not the one that was stored.
    """
    draft = await open_review(current_root_run(), f"review-{review_round}", title, text)
    if draft.verdict is None:
        draft = await _decided(draft, review_round)
    if draft.verdict != Verdict.APPROVE:
        raise ReviewRefused(f"{draft.reviewer} rejected the draft: {draft.reason}")
    return Release(text=draft.text, sha256=draft.sha256, reviewer=draft.reviewer or "")


def fault_of(review: Review) -> str | None:
    """The rule that a review breaks, in words for the reviewer."""
    if not review.reviewer.strip():
        return "Say who you are."
    if review.decision is Verdict.REJECT and not review.reason.strip():
        return "A rejection needs a reason."
    return None


def form_text(draft: Kept, fault: str | None) -> str:
    """The Markdown above the form: the draft as it is, and what was wrong with the last answer."""
    warning = f"**The last answer was not accepted. {fault}**\n\n" if fault else ""
    return (
        f"{warning}**{escaped(draft.title)}**\n\n{quoted(draft.text)}\n\n"
        f"Approving releases exactly this text (SHA-256 `{draft.sha256[:16]}…`)."
    )


async def _decided(draft: Kept, review_round: int) -> Kept:
    """The review with the decision that stands in the chain, once a person has made one."""
    fault: str | None = None
    for attempt in count(1):
        form = Review.with_initial_data(description=form_text(draft, fault))
        review = await _wait(form, f"review-{review_round}-{attempt}")
        fault = fault_of(review)
        if fault is None:
            break
    await record(
        Decision(
            review=draft.id,
            verdict=review.decision,
            reviewer=review.reviewer.strip(),
            reason=review.reason.strip(),
            shown_sha256=draft.sha256,
        )
    )
    decided = await read_review(draft.id)
    require_unaltered(decided, draft.sha256)
    return decided


async def _wait(form: type[Review], key: str) -> Review:
    run = FlowRunContext.get()
    if run and run.flow_run and run.flow_run.deployment_id:
        return await asuspend_flow_run(form, timeout=DEPLOYED_PATIENCE, key=key)
    get_run_logger().info("A person has to decide: %s", runtime.ui_url)
    try:
        return await apause_flow_run(
            form, timeout=LOCAL_PATIENCE, poll_interval=POLL_SECONDS, key=key
        )
    except FlowPauseTimeout as error:
        raise ReviewRefused("Nobody decided in time. Run it again to ask once more.") from error
