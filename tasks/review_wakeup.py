"""Wake a run whose review was decided elsewhere: the run then reads what was decided."""

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from tasks.review_form import ReviewForm
from tasks.review_rules import ReasonCode, Verdict
from tasks.reviews import Review

# An answer that the form takes and no rule: should it ever be taken for one, it is refused.
_NOBODY = ReviewForm(
    decision=Verdict.REJECT, reviewer="", reason_code=ReasonCode.NONE, reason="decided elsewhere"
)


async def wake(review: Review, *, whatever: bool = False) -> bool:
    """Make a run go on that waits for this review, and say whether it does. ``whatever``: also one
    that waits for another of its reviews, so that it drafts anew at once what was rejected."""
    async with get_client() as client:
        try:
            run = await client.read_flow_run(review.root_run)
            key = (run.state and run.state.state_details.pause_key) or ""
            mine = key.rpartition("-")[0] == review.step
            if not (run.state and run.state.is_paused() and (mine or whatever)):
                return False
            said = _NOBODY.model_dump(mode="json")
            answer = await client.resume_flow_run(run.id, run_input=said)
        except (ObjectNotFound, httpx.HTTPError):
            return False
    return answer.status.value == "ACCEPT"


def is_wakeup(form: ReviewForm) -> bool:
    """Whether a form's answer is none of a person's."""
    return form.model_dump() == _NOBODY.model_dump()
