"""Replay: calls of the ledger again, on another version of their prompt or another model."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from infra.errors import InputError
from infra.postgres import fetch
from infra.providers import model_of
from tasks.asking import ask
from tasks.prompt_labels import earlier_version
from tasks.prompts import Prompt, load_prompt
from tasks.replies import like
from tasks.runs import together
from tasks.wording import UNUSABLE


class Use(BaseModel):
    """One row of the ledger: a call, or a hit. ``run``: the root run, None outside of one.

    ``error``: class of what went wrong; ``cost_usd``: None when the price is unknown.
    """

    model_config = ConfigDict(frozen=True)

    row: int
    at: datetime
    prompt: str
    version: str
    model: str
    served_by: str
    error: str | None
    flow: str | None
    run: UUID | None
    cost_usd: float | None
    latency_ms: float


class Side(BaseModel):
    """A reply, with the version and the model that it comes from. ``failed``: why there is none."""

    model_config = ConfigDict(frozen=True)

    version: str
    model: str
    reply: str
    failed: str | None = None


class Replayed(BaseModel):
    """One call, as it was answered then and now."""

    model_config = ConfigDict(frozen=True)

    row: int
    prompt: str
    then: Side
    now: Side

    @property
    def same(self) -> bool:
        """Whether both say the same."""
        return self.then.reply == self.now.reply


async def newest_uses(
    prompt: str | None = None, run: UUID | None = None, most: int = 20
) -> list[Use]:
    """The newest rows of the ledger, the newest first: of a prompt, of a root run, or of all."""
    params = {"prompt": prompt, "run": run, "most": most}
    return [Use.model_validate(row) for row in await fetch("newest_uses", params)]


async def replay(
    row: int | None = None,
    run: UUID | None = None,
    version: str | None = None,
    model: str | None = None,
) -> list[Replayed]:
    """The calls of a ledger row or of a root run again, each once, all at the same time.

    ``version``: a label, the beginning of a version, or a Git revision; without it, the one in use.
    Calls of prompts that have no such version are left out.
    ``model``: provider:model; without it, that of the prompt's role. Raises InputError when there
    is nothing to replay.
    """
    calls = await fetch("calls_to_replay", {"row": row, "run": run})
    if not calls:
        what = f"row {row}" if run is None else f"run {run}"
        if await fetch("ledger_has", {"row": row, "run": run}):
            raise InputError(f"What was asked in {what} is gone: it was dropped with its reply.")
        raise InputError(f"The ledger has no {what}.")
    lacking = sorted({call["prompt"] for call in calls if call["inputs"] is None})
    if lacking:
        raise InputError(f"The inputs of calls of {', '.join(lacking)} were not kept.")
    prompts = await _prompts({call["prompt"] for call in calls}, version)
    return await together(
        _again(call, prompts[call["prompt"]], model) for call in calls if call["prompt"] in prompts
    )


async def _prompts(names: set[str], version: str | None) -> dict[str, Prompt]:
    """The versions by prompt; a reference that names one prompt's version leaves out the others."""
    if version is None:
        return {name: load_prompt(name) for name in names}
    found: dict[str, Prompt] = {}
    for name in sorted(names):
        try:
            found[name] = await earlier_version(name, version)
        except InputError:
            if len(names) == 1:
                raise
    if not found:
        raise InputError(f"{version!r} names no version of {', '.join(sorted(names))}.")
    return found


async def _again(call: dict[str, Any], prompt: Prompt, model: str | None) -> Replayed:
    place = {"version": prompt.version, "model": model or model_of(prompt.model)}
    try:
        reply = await ask(
            prompt,
            call["inputs"],
            fills=like(call["schema"]),
            sources=tuple(call["sources"]),
            attempt=call["attempt"],
            model=model,
            tenant=call["tenant"],
            corpus=call["corpus"],
            similar=False,
            max_tokens=call["max_tokens"] if call["version"] == prompt.version else None,
        )
        now = Side(**place, reply=reply.text)
    except (InputError, *UNUSABLE) as error:
        now = Side(**place, reply="", failed=f"{type(error).__name__}: {error}")
    then = Side.model_validate({name: call[name] for name in Side.model_fields if name in call})
    return Replayed(row=call["row"], prompt=prompt.name, then=then, now=now)
