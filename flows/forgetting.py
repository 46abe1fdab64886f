"""Forgetting: a ticket's text is in nothing that is kept any more, nor what was said of it.

    ticket → noted → out of its corpus → who has read it → calls, facts, steps, reviews, documents,
    specialists, Prefect's runs, reports → nothing left → note removed

Use it when a customer's words have to go. It calls no model. What was counted stays counted; what
was worded from the text is worded anew by the next run, which costs those few calls again. Killed
at any moment, the next forgetting goes on with it.
"""

from prefect import flow

from tasks.forgetting import (
    ForgetRequest,
    Forgotten,
    begin,
    end,
    one_at_a_time,
    require_forgotten,
)
from tasks.forgetting_documents import forget_in_documents
from tasks.forgetting_report import publish_forgotten
from tasks.forgetting_reports import forget_in_reports
from tasks.forgetting_reviews import forget_in_reviews
from tasks.forgetting_rows import forget_calls, forget_in_runs
from tasks.forgetting_runs import forget_in_events, forget_in_prefect, wait_for_runs
from tasks.forgetting_specialists import forget_in_specialists
from tasks.forgetting_traces import trace
from tasks.runs import charged, merged


@flow(name="forget-ticket")
async def forget_ticket(request: ForgetRequest) -> Forgotten:
    """Take a ticket's text, and what was made of it, out of everything that is kept."""
    async with charged(), one_at_a_time():
        since = await begin(request)
        under_way = await wait_for_runs(since, request.wait_minutes)
        forgetting = await trace()
        kept = [
            await forget_in_runs(forgetting),
            await forget_in_reviews(forgetting),
            await forget_in_specialists(forgetting),
        ]
        runs = await forget_in_prefect(forgetting)
        reports = await forget_in_reports(forgetting, runs.folders)
        documents = await forget_in_documents(forgetting, reports)
        calls = await forget_calls(forgetting)
        events = await forget_in_events(forgetting)
        removed = merged([*kept, runs.removed, {"reports": len(reports)}, documents, calls, events])
        done = await end(forgetting, removed, under_way)
        await publish_forgotten(done)
    require_forgotten(done)
    return done
