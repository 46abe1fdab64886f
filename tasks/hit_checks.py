"""Semantic hits checked against the model: was the stored reply the right one?"""

from typing import Any

from prefect import task

from infra.errors import InputError, ModelRejected
from infra.postgres import fetch
from tasks.asking import ask
from tasks.prompt_labels import find_version
from tasks.prompts import Prompt, file_prompt
from tasks.runs import RETRIED, charged
from tasks.semantic_cache import observe, same_answer
from tasks.wording import UNUSABLE

_AT_ONCE = 20  # checks that are taken
_LEASE = 600.0  # seconds for which they are: a slow model answers twenty in them


async def make_checks() -> int:
    """Ask the model what noted hits should have said; how many were checked.

    What it says is kept as that question's own reply. A hit whose question the model cannot answer
    stays unchecked. Raises what the call of a check raises, after giving back the rest; what a
    process that dies had taken is taken again by another.
    """
    made = 0
    async with charged():
        while checks := await fetch("take_checks", {"most": _AT_ONCE, "lease": _LEASE}):
            try:
                for check in checks:
                    made += await _check(check)
            except BaseException:
                await fetch("give_back_checks", {"checks": [check["id"] for check in checks]})
                raise
    return made


@task(name="check hits", **RETRIED)
async def check_hits() -> int:
    """`make_checks` as a task."""
    return await make_checks()


async def _check(check: dict[str, Any]) -> bool:
    [lesson] = await fetch("lesson_state", {"lesson": check["lesson"]})
    try:
        reply = await ask(
            await _version(check["prompt"], lesson["version"]),
            check["inputs"],
            model=lesson["model"],
            tenant=check["tenant"],
            corpus=check["corpus"],
            sources=tuple(check["sources"]),
            similar=False,
        )
    except (InputError, ModelRejected, *UNUSABLE):
        await fetch("drop_check", {"check": check["id"]})
        return False
    right = await same_answer(check["reply"], reply.text)
    await observe(check["lesson"], check["similarity"], right, "check", check["id"])
    return True


async def _version(name: str, version: str) -> Prompt:
    try:
        prompt = file_prompt(name)
    except InputError:
        prompt = None
    return prompt if prompt and prompt.version == version else await find_version(name, version)
