"""Semantic hits checked against the model: was the stored reply the right one?"""

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.errors import InputError, ModelRejected
from infra.postgres import Jsonb, fetch
from tasks.asking import ask
from tasks.prompt_labels import find_version
from tasks.prompts import Prompt, file_prompt
from tasks.runs import charged, is_transient
from tasks.semantic_cache import observe, same_answer
from tasks.wording import UNUSABLE


async def make_checks(most: int = 20) -> int:
    """Ask the model what up to ``most`` noted hits should have said; how many were checked.

    What it says is kept as that question's own reply. A hit whose question the model cannot answer
    stays unchecked. Raises what the call of a check raises, after noting the rest again.
    """
    noted = await fetch("take_checks", {"most": most})
    done = 0
    async with charged():
        for number, check in enumerate(noted):
            try:
                done += await _check(check)
            except BaseException:
                for rest in noted[number:]:
                    await fetch("note_check", {**rest, "inputs": Jsonb(rest["inputs"])})
                raise
    return done


@task(
    name="check hits",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=is_transient,
)
async def check_hits() -> int:
    """`make_checks` as a task, until none is noted any more that can be made."""
    done = 0
    while made := await make_checks():
        done += made
    return done


async def _check(check: dict[str, Any]) -> bool:
    [lesson] = await fetch("lesson_state", {"lesson": check["lesson"]})
    try:
        reply = await ask(
            await _version(check["prompt"], lesson["version"]),
            check["inputs"],
            model=lesson["model"],
            tenant=check["tenant"],
            corpus=check["corpus"],
            similar=False,
        )
    except (InputError, ModelRejected, *UNUSABLE):
        return False
    right = await same_answer(check["reply"], reply.text)
    await observe(check["lesson"], check["similarity"], right, "check")
    return True


async def _version(name: str, version: str) -> Prompt:
    try:
        prompt = file_prompt(name)
    except InputError:
        prompt = None
    return prompt if prompt and prompt.version == version else await find_version(name, version)
