"""Wake a run whose review was decided elsewhere: the run then reads what was decided."""

from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from tasks.review_rules import ReasonCode, Verdict

# An answer that the form takes and no rule: should it ever be taken for one, it is refused.
_NOBODY = {"decision": Verdict.REJECT.value, "reviewer": "", "reason_code": ReasonCode.NONE.value}


async def wake(run: UUID) -> bool:
    """Make a run that waits for a review go on; whether it does. One that does not wait is left."""
    async with get_client() as client:
        try:
            answer = await client.resume_flow_run(run, run_input=_NOBODY)
        except (ObjectNotFound, httpx.HTTPError):
            return False
    return answer.status.value == "ACCEPT"
