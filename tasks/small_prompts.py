"""What stands in the monolith's place: a small prompt for each job, with a schema of its own.

message → category · urgency · hand over · answer · note
           └ each a prompt, a schema, a budget, a version ┘
"""

from typing import Any, Literal
from uuid import UUID

from prefect import task
from pydantic import BaseModel, ConfigDict, Field, create_model

from tasks.asking import ask
from tasks.progress import Progress
from tasks.prompt_passes import (
    JOBS,
    Fields,
    Message,
    Pass,
    Replies,
    passed,
    prompt_sample,
    sample_prompt,
)
from tasks.prompts import Prompt
from tasks.runs import RETRIED, together
from tasks.wording import UNUSABLE

_KINDS: dict[str, Any] = {
    "category": (Literal["access", "billing", "map", "export", "app", "other"], ...),
    "urgency": (Literal["low", "medium", "high", "critical"], ...),
    "hand_over": (Literal["true", "false"], ...),
    "answer": (str, Field(max_length=900)),
    "note": (str, Field(max_length=500)),
}
_REPLIES: dict[str, type[BaseModel]] = {
    job: create_model(job, __config__=ConfigDict(extra="forbid"), **{job: kind})
    for job, kind in _KINDS.items()
}


def small_prompts(*, edited: bool = False) -> dict[str, Prompt]:
    """The prompt of each job."""
    return {job: sample_prompt(f"small_{job}", edited=edited) for job in JOBS}


@task(name="ask small prompts", **RETRIED)
async def ask_small_prompts(
    cases: list[Message], runs: dict[Pass, UUID], following: Progress
) -> Replies:
    """What a prompt for each job replies to each message: as it is, again, and with a sentence
    edited."""
    return await passed(_asked, cases, runs, following)


async def _asked(case: Message, edited: bool, attempt: int) -> Fields:
    async def one(job: str, prompt: Prompt) -> tuple[str, str] | None:
        known = {"message": case.message, "facts": prompt_sample().facts}
        inputs = {name: known[name] for name in prompt.inputs}
        try:
            reply = await ask(prompt, inputs, fills=_REPLIES[job], attempt=attempt)
        except UNUSABLE:
            return None
        return job, str(getattr(reply.value, job))

    prompts = small_prompts(edited=edited)
    return dict(filter(None, await together(one(job, each) for job, each in prompts.items())))
