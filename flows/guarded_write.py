"""Guarded write: a model proposes changes of records, and never writes one.

    request → LLM → typed proposals → rules → rehearsal → review → one transaction → undo
                                                 └ low risk, by policy ┘

Use it where words are to change a database: a ticket that asks for a new address, a list of
corrections. It costs one model call, and a person's minute unless the rules call the change one of
low risk. What may change at all is a file of rules, and PostgreSQL itself refuses the rest.
"""

from functools import partial

from prefect import flow

from tasks.change_report import publish_change
from tasks.change_requests import (
    Changed,
    ChangeRequest,
    apply_once,
    draft_of,
    propose_changes,
    subject_of,
)
from tasks.review_output import review_output
from tasks.runs import charged


@flow(name="change-records", persist_result=True)
async def change_records(request: ChangeRequest) -> Changed:
    """Change records as a request asks for it, within the rules."""
    async with charged():
        proposed, released = await propose_changes(request), None
        if proposed.risky:
            released = await review_output(subject_of(request), partial(draft_of, request))
        changed = await apply_once(request, proposed, released)
        await publish_change(changed.change)
    return changed
