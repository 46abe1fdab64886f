"""What does not scale: one text for everything, and one reply with everything in it.

    system + context + history + rules + jobs + format + examples → LLM → JSON, if all goes well

Nobody can test one of its jobs without the others, and each edit is one of all of them. The prompt
is no prompt of the project: it lies among the samples, and the linter refuses it.
"""

import json
import re
from uuid import UUID

from prefect import task

from tasks.asking import ask
from tasks.progress import Progress
from tasks.prompt_passes import JOBS, Fields, Message, Pass, Replies, passed, sample_prompt
from tasks.prompts import Prompt
from tasks.runs import RETRIED
from tasks.wording import UNUSABLE

_OBJECT = re.compile(r"\{.*\}", re.DOTALL)


def monolith(*, edited: bool = False) -> Prompt:
    """The prompt for everything."""
    return sample_prompt("monolith", edited=edited)


@task(name="ask the monolith", **RETRIED)
async def ask_monolith(
    cases: list[Message], runs: dict[Pass, UUID], following: Progress
) -> Replies:
    """What the one prompt replies to each message: as it is, again, and with a sentence edited."""
    return await passed(_asked, cases, runs, following)


async def _asked(case: Message, edited: bool, attempt: int) -> Fields:
    try:
        prompt = monolith(edited=edited)
        reply = await ask(prompt, {"message": case.message}, attempt=attempt)
    except UNUSABLE:
        return {}
    return fields_of(reply.text)


def fields_of(text: str) -> Fields:
    """The fields of a reply that was to be a JSON object; none where it is not one."""
    found = _OBJECT.search(text)
    try:
        said = json.loads(found[0], strict=False) if found else None
    except ValueError:
        return {}
    if not isinstance(said, dict):
        return {}
    return {job: _text(said[job]) for job in JOBS if job in said}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
