"""Ask a model with a prompt file: every model call of every pattern goes through here."""

from collections.abc import Mapping

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel

from infra.llm import Reply, Request, complete
from infra.providers import model_of
from tasks.prompt_labels import keep_version
from tasks.prompts import Prompt, load_prompt
from tasks.runs import charged_to_task, is_transient

_stored_versions: set[str] = set()


async def ask(
    prompt: str | Prompt,
    inputs: Mapping[str, str],
    *,
    fills: type[BaseModel] | None = None,
    sources: tuple[str, ...] = (),
    attempt: int = 0,
    model: str | None = None,
) -> Reply:
    """The reply to a prompt with these inputs.

    ``prompt``: its name, or a version of it that is not the one in use. ``fills`` replaces the
    reply's model where it depends on the inputs. ``sources``: SHA-256 of the texts that the inputs
    quote. ``attempt``: another number asks for another sample. ``model``: provider:model in place
    of that of the prompt's role. Raises InputError for inputs that do not fit, and what
    `infra.llm.complete` raises.
    """
    if isinstance(prompt, str):
        prompt = load_prompt(prompt)
    messages = prompt.render(inputs)
    await _store_version(prompt)
    request = Request(
        prompt=prompt.name,
        version=prompt.version,
        model=model or model_of(prompt.model),
        messages=messages,
        fills=fills or prompt.reply_model,
        max_tokens=prompt.max_tokens,
        sources=sources,
        attempt=attempt,
        inputs=inputs,
    )
    with charged_to_task():
        return await complete(request)


@task(
    name="ask",
    task_run_name="ask {name}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=is_transient,
)
async def ask_prompt(name: str, inputs: Mapping[str, str], attempt: int = 0) -> Reply:
    """`ask` as a task of its own."""
    return await ask(name, inputs, attempt=attempt)


async def _store_version(prompt: Prompt) -> None:
    """Keep the whole version on first use: replay outlives the file."""
    if prompt.version not in _stored_versions:
        await keep_version(prompt)
        _stored_versions.add(prompt.version)
