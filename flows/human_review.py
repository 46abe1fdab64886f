"""Human-in-the-Loop: nothing leaves before a person has seen exactly what leaves.

    LLM output → human review → APPROVE → output
                        └ REJECT → retry, with the reason

Use it for what must not be wrong: words to customers, changes of records, whatever cannot be taken
back. It costs a person's minute for each draft, and a model call for each that is rejected. The
step itself, `review_output`, fits into any flow; `draft_replies` shows it on tickets.
`tend_reviews` looks after what waits: deadlines, runs that died, and the inbox.
"""

from prefect import flow

from tasks.review_upkeep import Inbox, publish_inbox, tend_all
from tasks.runs import charged


@flow(name="tend-reviews")
async def tend_reviews() -> Inbox:
    """Apply deadlines, wake and mend runs, remind, and leave the inbox of what waits."""
    async with charged():
        inbox = await tend_all()
        await publish_inbox(inbox)
    return inbox
