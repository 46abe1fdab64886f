"""Human-in-the-Loop: nothing leaves before a person has seen exactly what leaves.

    LLM output → human review → APPROVE → output
                        └ REJECT → retry, with the reason

Use it for what must not be wrong: words to customers, changes of records, whatever cannot be taken
back. It costs a person's minute for each draft, and a model call for each that is rejected. The
step itself, `review_output`, fits into any flow; `draft_replies` shows it on tickets.
`tend_reviews` looks after what waits: deadlines, runs that died, and the inbox.
"""

from prefect import flow

from tasks.progress import progress
from tasks.reply_drafting import RepliesRequest, draft_all, load_tickets
from tasks.reply_release import RepliesDone, release_replies, require_drafted, require_ready
from tasks.reply_report import publish_replies
from tasks.reply_reviews import reviews_of
from tasks.review_output import review_all
from tasks.review_upkeep import Inbox, publish_inbox, require_unaltered, tend_all
from tasks.runs import charged


@flow(name="draft-replies", persist_result=True)
async def draft_replies(request: RepliesRequest) -> RepliesDone:
    """Draft replies to tickets from a knowledge base, and release those that people approve."""
    require_ready(request)
    async with charged():
        tickets = await load_tickets(request)
        async with progress("Drafting replies", len(tickets)) as drafting:
            drafts = await draft_all(tickets, request.collection, drafting)
        reviewed = reviews_of(request, drafts)
        outcomes = await review_all([item for _, item in reviewed])
        done = await release_replies(request, drafts, reviewed, outcomes)
        await publish_replies(done)
    require_drafted(done)
    return done


@flow(name="tend-reviews")
async def tend_reviews() -> Inbox:
    """Apply deadlines, wake and mend runs, remind, and leave the inbox of what waits."""
    async with charged():
        inbox = await tend_all()
        await publish_inbox(inbox)
    require_unaltered(inbox)
    return inbox
