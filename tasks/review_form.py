"""The form of a run that waits for a reviewer, and what stands above it."""

from collections.abc import Sequence
from uuid import UUID

from prefect.input import RunInput
from pydantic import BaseModel, ConfigDict, Field

from infra.postgres import fetch
from tasks.markdown import escaped, fenced, quoted
from tasks.review_chain import digest
from tasks.review_rules import ReasonCode, ReviewAnswer, Verdict
from tasks.reviews import Rejection, Review

_EXPIRY = {
    "reject": "it is not released",
    "escalate": "others are asked",
    "approve": "it is released",
}


class ReviewForm(RunInput):
    """What a reviewer fills in. Nothing is chosen before a person chooses it.

    Its fields are of plain types, and the rules are applied after the answer: what a stricter form
    refuses, Prefect accepts all the same, and then fails the run.
    """

    decision: Verdict = Field(description="Release this text, release it edited, or do not.")
    reviewer: str = Field(description="Your name.")
    reason_code: ReasonCode = Field(
        ReasonCode.NONE, description="Why it is rejected. A rejection needs it."
    )
    reason: str = Field("", description="Why, in words. The next draft is made with them.")
    text: str = Field("", description="The whole text as it should be, for an edit.")
    code: str = Field("", description="Your one-time code, where the policy asks for it.")


class Spent(BaseModel):
    """What a run has taken so far; ``cost_usd`` is None when a price is unknown."""

    model_config = ConfigDict(frozen=True)

    model_calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None


async def spent(root_run: UUID) -> Spent:
    """What a run has taken so far, from the ledger."""
    [row] = await fetch("run_totals", {"root_run": root_run})
    return Spent.model_validate(row)


def answer_of(form: ReviewForm, review: Review) -> ReviewAnswer:
    """What was said in the form that the review showed."""
    return ReviewAnswer(
        verdict=form.decision,
        reviewer=form.reviewer,
        reason_code=form.reason_code,
        reason=form.reason,
        text=form.text,
        code=form.code,
        shown_sha256=review.form_sha256 or digest(review.text),
    )


def form_text(review: Review, history: Sequence[Rejection], taken: Spent) -> str:
    """The Markdown above the form: what was wrong with the last answer, the text as it is, what it
    answers, what it rests on, what came before, what it cost, and what approving it means."""
    warning = (
        f"**The last answer was not accepted.** {escaped(review.fault)}" if review.fault else ""
    )
    parts = (
        warning,
        f"**{escaped(review.title)}**" + (f", round {review.round}" if history else ""),
        _titled("The draft", _shown(review)),
        _titled("It answers", quoted(review.draft.material) if review.draft.material else ""),
        _titled("It rests on", _evidence(review)),
        _titled("Rejected before", _history(history)),
        _titled("The bytes that are released", _bytes(review)),
        _terms(review, taken),
    )
    return "\n\n".join(part for part in parts if part)


def _shown(review: Review) -> str:
    edited = review.text != review.draft.text
    return quoted(review.text) if edited or not review.draft.shown else review.draft.shown


def _bytes(review: Review) -> str:
    """The text itself, where something more readable was shown in its place."""
    return fenced(review.text) if _shown(review) == review.draft.shown else ""


def _evidence(review: Review) -> str:
    quotes = (f"- {escaped(e.source)}\n{_indented(e.quote)}" for e in review.draft.evidence)
    return "\n".join(quotes)


def _indented(quote: str) -> str:
    return "\n".join(f"  {line}" for line in quoted(quote).split("\n"))


def _history(history: Sequence[Rejection]) -> str:
    return "\n".join(
        f"- {escaped(each.reviewer)}, *{escaped(each.reason_code)}*: "
        f"{escaped(' '.join(each.reason.split()))}"
        for each in history
    )


def _terms(review: Review, taken: Spent) -> str:
    policy, cost = review.policy, "cost unknown"
    if taken.cost_usd is not None:
        cost = f"{taken.cost_usd:.6f} USD"
    name = "A one-time code proves your name." if policy.codes else "Your name is a claim."
    approved = escaped(" and ".join(review.approved_by)) or "nobody"
    people = f" {policy.people} people have to approve; so far {approved} did."
    roles = f" Roles that may: {escaped(', '.join(review.roles))}." if review.roles else ""
    return (
        f"Review {review.id}. The run so far: {taken.model_calls} model calls, "
        f"{taken.prompt_tokens + taken.completion_tokens} tokens, {cost}. "
        f"Until {review.deadline:%Y-%m-%d %H:%M} UTC, then: {_EXPIRY[review.expiry]}.\n\n"
        f"Approving releases exactly this text (SHA-256 `{digest(review.text)[:16]}…`). "
        f"{name}{people if policy.people > 1 else ''}{roles}"
    )


def _titled(title: str, text: str) -> str:
    return f"{title}:\n\n{text}" if text else ""
