"""Who serves is decided by a person, who sees the figures; only a better one is proposed.

What is approved names whom it replaces: should another serve by then, nobody is replaced.
"""

import json
from functools import partial

from prefect import task
from pydantic import BaseModel, ConfigDict

from tasks.review_output import Released, require_policies, review_output
from tasks.reviews import Draft, Rejection, Subject
from tasks.runs import RETRIED
from tasks.specialist_comparison import Comparison, require_champion
from tasks.specialist_report import comparison_markdown
from tasks.specialist_serving import promoted_after
from tasks.specialists import read_specialist, require_files

POLICY = "specialists"


class PromotionDone(BaseModel):
    """That a specialist serves now, in whose place: who approved it, in which review."""

    model_config = ConfigDict(frozen=True)

    name: str
    specialist: int
    replaced: int | None
    reviewers: tuple[str, ...]
    review: int


def require_approvable() -> None:
    """Raise SettingsError now, where nobody could approve a promotion."""
    require_policies([POLICY])


async def approved(found: Comparison, requester: str) -> Released:
    """Wait until a person approves that the challenger serves: the very files. Raises ReviewRefused
    with the reason, InputError where it was held against another than who serves; called in the
    body of a flow."""
    require_champion(found)
    place = f" in the place of {found.replaces}" if found.replaces else ""
    title = f"Let specialist {found.challenger.specialist} serve{place}"
    subject = Subject(title=title, kind="specialist", policy=POLICY, author=requester)
    return await review_output(subject, partial(_draft, found), step="promote", final=True)


@task(name="promote specialist", **RETRIED)
async def promote(released: Released) -> PromotionDone:
    """Let the specialist serve that was approved: the very files, in the place of whom they were
    held against. Raises AssetError for others, InputError where another serves by now."""
    said = json.loads(released.text)
    specialist = await read_specialist(said["specialist"])
    require_files(specialist.model_copy(update={"files": said["files"]}))
    actor = " and ".join(released.reviewers)
    await promoted_after(said["replaces"], specialist, actor, released.review)
    return PromotionDone(
        name=specialist.name,
        specialist=specialist.id,
        replaced=said["replaces"],
        reviewers=released.reviewers,
        review=released.review,
    )


async def _draft(found: Comparison, rejections: tuple[Rejection, ...]) -> Draft:
    specialist = await read_specialist(found.challenger.specialist)
    said = {
        "specialist": specialist.id,
        "replaces": found.replaces,
        "name": specialist.name,
        "files": specialist.files,
    }
    text = json.dumps(said, indent=1, sort_keys=True)
    return Draft(text=text, shown=comparison_markdown(found), material=specialist.source)
