"""A sample of messages, asked of one prompt for everything or of a small one for each job: as the
prompts are, once more without any change, and with one sentence edited."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Literal
from uuid import UUID

import yaml
from pydantic import BaseModel, ConfigDict, Field

from infra.budget import Budget
from tasks.progress import Progress
from tasks.prompts import Prompt, parse_prompt
from tasks.record_requests import SAMPLES
from tasks.runs import apart

JOBS = ("category", "urgency", "hand_over", "answer", "note")
Pass = Literal["first", "unedited", "edited"]
PASSES: tuple[Pass, ...] = ("first", "unedited", "edited")
Fields = Mapping[str, str]
"""The reply of each job, by its name; a job without a usable one is missing."""


class Message(BaseModel):
    """A customer's message. ``expect``: what each job's reply must match; those that are left out
    cannot be checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    message: str
    expect: dict[str, str]


class Edit(BaseModel):
    """A sentence of the prompts, what becomes of it, and the job that it is for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    sentence: str
    becomes: str


class PromptSample(BaseModel):
    """The sample: an edit, facts that answers may use, and messages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    edit: Edit
    facts: str
    cases: tuple[Message, ...]


class PromptsRequest(BaseModel):
    """How much of the sample to compare prompts on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: int | None = Field(
        None, ge=1, description="Most messages, the first ones. Empty: all of the sample."
    )


class Replies(BaseModel):
    """What was replied in each pass, in the order of the messages."""

    model_config = ConfigDict(frozen=True)

    first: tuple[dict[str, str], ...]
    unedited: tuple[dict[str, str], ...]
    edited: tuple[dict[str, str], ...]


AskCase = Callable[[Message, bool, int], Awaitable[Fields]]
"""Ask the jobs of a message, of edited prompts or not, for a sample of that number."""


@cache
def prompt_sample() -> PromptSample:
    """The sample, as it stands in its file."""
    text = SAMPLES.joinpath("prompt_cases.yaml").read_text(encoding="utf-8")
    return PromptSample.model_validate(yaml.safe_load(text))


def sample_prompt(name: str, *, edited: bool = False) -> Prompt:
    """A prompt of the sample, with the edit where it has the sentence."""
    source = SAMPLES.joinpath(f"{name}.md").read_text(encoding="utf-8")
    edit = prompt_sample().edit
    return parse_prompt(name, source.replace(edit.sentence, edit.becomes) if edited else source)


async def passed(
    ask_case: AskCase, cases: Sequence[Message], runs: Mapping[Pass, UUID], following: Progress
) -> Replies:
    """Ask all messages in each pass; what an edit does not touch is served by the cache."""
    found = dict[Pass, tuple[dict[str, str], ...]]()
    tenant = tenant_of(runs)
    for each in PASSES:
        replies = list[dict[str, str]]()
        with apart(runs[each], Budget(), tenant):
            for case in cases:
                fields = await ask_case(case, each == "edited", int(each == "unedited"))
                replies.append(dict(fields))
                await following.advance()
        found[each] = tuple(replies)
    return Replies(**found)


def tenant_of(runs: Mapping[Pass, UUID]) -> str:
    """Whose replies those of the passes are."""
    return f"comparison-{runs['first']}"
