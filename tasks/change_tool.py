"""A tool that changes records: the model words the request, a person approves the very cells."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from tasks.change_application import apply_changes
from tasks.change_requests import ChangeRequest, draft_of
from tasks.reviews import Draft, Rejection, read_review
from tasks.steps import current_root_run
from tasks.tools import Approval, tool

Words = Annotated[
    str,
    Field(
        min_length=3, max_length=20_000, description="What is to change in which record, in words."
    ),
]


class CellsChanged(BaseModel):
    """A change that was made, without a value of any record; ``change``: its number."""

    model_config = ConfigDict(frozen=True)

    change: int
    cells: list[str]


async def draft(request: str, *, rejections: tuple[Rejection, ...] = ()) -> Draft:
    """The cells that a request would change, rehearsed."""
    return await draft_of(ChangeRequest(request=request), rejections)


@tool(effect="write", model_calls=1, drafts=draft)
async def change_records(request: Words, approval: Approval) -> CellsChanged:
    """Change records in the database as a request in words asks for it. A person approves it."""
    text, review = approval.text, await read_review(approval.review)
    run, asked = current_root_run(), review.author
    done = await apply_changes(run, request, asked, text, review.id, approval.key)
    cells = [f"{each.table}.{each.column} of record {each.key}" for each in done.cells]
    return CellsChanged(change=done.id, cells=cells)
