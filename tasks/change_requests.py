"""Requests to change records: proposed by a model, checked and rehearsed, before a person sees
them and before anything is written."""

import hashlib

from prefect import task
from pydantic import BaseModel, ConfigDict, Field

from tasks.change_application import apply_changes, rehearse
from tasks.change_checks import needs_review
from tasks.change_proposals import ChangeSet, propose
from tasks.change_report import change_markdown
from tasks.change_rules import current_rules
from tasks.review_output import Released, require_policies
from tasks.reviews import Draft, Rejection, Subject
from tasks.runs import RETRIED
from tasks.steps import current_root_run, once

_POLICY = "changes"


class ChangeRequest(BaseModel):
    """A request, in words, to change records."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    request: str = Field(
        min_length=3,
        max_length=20_000,
        description="What is to change in which record.",
        json_schema_extra={"position": 0},
    )
    requester: str = Field(
        "",
        description="Who asks for it: somebody else has to approve it.",
        json_schema_extra={"position": 1},
    )

    @property
    def digest(self) -> str:
        """The request's own name among the steps of a run, which may make several."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class Proposed(BaseModel):
    """What a request comes to. ``text``: the bytes that are approved; ``risky``: whether a person
    has to approve them."""

    model_config = ConfigDict(frozen=True)

    text: str
    risky: bool


class Changed(BaseModel):
    """What was changed, without a value of any record: number of the change, cells, the review that
    approved it (None: low risk, by policy), and who did."""

    model_config = ConfigDict(frozen=True)

    change: int
    records: int
    cells: tuple[str, ...]
    review: int | None
    approved_by: tuple[str, ...]


def subject_of(request: ChangeRequest) -> Subject:
    """What is reviewed of a request."""
    return Subject(
        title="Changes of records", kind="changes", policy=_POLICY, author=request.requester
    )


async def draft_of(request: ChangeRequest, rejections: tuple[Rejection, ...]) -> Draft:
    """The changes that a request asks for, rehearsed, for a person to decide on."""
    change = await _proposed_once(request, rejections)
    effects = await rehearse(change, await current_rules())
    return Draft(
        text=change.text,
        shown=change_markdown(change.proposals, effects),
        material=request.request,
        inputs={"request": request.request},
    )


@task(name="propose changes", **RETRIED)
async def propose_changes(request: ChangeRequest) -> Proposed:
    """The changes that a request asks for, checked and rehearsed; once for a run: one that has
    applied them, and was killed then, must not find them stale."""

    require_policies([_POLICY])

    async def rehearsed() -> Proposed:
        change, rules = await _proposed_once(request, ()), await current_rules()
        await rehearse(change, rules)
        return Proposed(text=change.text, risky=needs_review(change.proposals, rules))

    return await once(f"proposed-{request.digest}", rehearsed, Proposed)


@task(name="apply changes", **RETRIED)
async def apply_once(
    request: ChangeRequest, proposed: Proposed, released: Released | None
) -> Changed:
    """Apply what was released, or what needs no release: once for a run."""
    text, review = (released.text, released.review) if released else (proposed.text, None)
    done = await apply_changes(current_root_run(), request.request, request.requester, text, review)
    return Changed(
        change=done.id,
        records=len({(cell.table, cell.key) for cell in done.cells}),
        cells=tuple(f"{cell.table}.{cell.column} of record {cell.key}" for cell in done.cells),
        review=done.review,
        approved_by=released.reviewers if released else (),
    )


async def _proposed_once(request: ChangeRequest, rejections: tuple[Rejection, ...]) -> ChangeSet:
    async def from_model() -> ChangeSet:
        reasons = [rejection.words for rejection in rejections]
        return await propose(request.request, await current_rules(), reasons)

    return await once(f"changes-{request.digest}-{len(rejections)}", from_model, ChangeSet)
