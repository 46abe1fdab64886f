"""Calls of tools: checked, timed, bounded in size, made once for a run, never an error of the run.

What a tool makes of a call, be it a result or a failure, is an outcome that is kept: a run that
starts anew goes on with the same. Only what says that no call can succeed just now ends the run.
"""

import asyncio
import hashlib
import json
import time
from typing import Any
from uuid import UUID

from prefect import task
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import (
    ContextOverflow,
    InputError,
    ModelRefused,
    PatternsError,
    ProposalRefused,
    ReplyMalformed,
    ReplyTruncated,
    ReviewRefused,
    WorkIncomplete,
)
from infra.postgres import fetch
from tasks.runs import RETRIED
from tasks.steps import once
from tasks.tools import Approval, Tool

MOST_BYTES = 1_000_000  # of a result
# What a tool may say of this one call; any other error of ours is of the whole run.
OF_THE_CALL = (
    ContextOverflow,
    InputError,
    ModelRefused,
    ProposalRefused,
    ReplyMalformed,
    ReplyTruncated,
    ReviewRefused,
    WorkIncomplete,
)


class Call(BaseModel):
    """A tool and its arguments. Two that are equal are one call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)

    @property
    def key(self) -> str:
        """The call's name among the steps of a run: another request has another, so a kept outcome
        is never given to it."""
        said = json.dumps(self.model_dump(), sort_keys=True, ensure_ascii=False)
        return f"call-{self.tool}-{hashlib.sha256(said.encode()).hexdigest()[:32]}"


class Outcome(BaseModel):
    """What a call came to: its result as JSON, or, with ``failed``, why there is none."""

    model_config = ConfigDict(frozen=True)

    value: Any = None
    failed: str = ""
    seconds: float = 0.0


def argument_faults(tool: Tool, arguments: dict[str, Any]) -> list[str]:
    """What is wrong with the arguments of a call; nothing for good ones."""
    try:
        tool.arguments.model_validate(arguments)
    except ValidationError as error:
        return [f"{_place(e['loc'])}{e['msg']}" for e in error.errors(include_url=False)]
    return []


async def forget_failures(root_run: UUID) -> int:
    """Have a run that goes on after it had ended try again what failed; how many steps. What was
    finished stays, and a write has the same key as before."""
    return len(await fetch("forget_failures", {"root_run": root_run}))


@task(name="call tool", task_run_name="call {call.tool}", **RETRIED)
async def call_tool(tool: Tool, call: Call, approval: Approval | None = None) -> Outcome:
    """The outcome of a call; made once for a run."""
    return await once(call.key, lambda: outcome_of(tool, call.arguments, approval), Outcome)


async def outcome_of(
    tool: Tool, arguments: dict[str, Any], approval: Approval | None = None
) -> Outcome:
    """Call a tool. Raises what says that the run cannot go on now, and RuntimeError for a call that
    would write unapproved."""
    if tool.writes and approval is None:
        raise RuntimeError(f"{tool.name} writes, and nobody has approved it")
    if faults := argument_faults(tool, arguments):
        return Outcome(failed="; ".join(faults))
    given = tool.arguments.model_validate(arguments)
    approved = {"approval": approval} if tool.writes else {}
    started, value, failed = time.perf_counter(), None, ""
    try:
        async with asyncio.timeout(tool.seconds) as limit:
            made = await tool.run(**dict(given), **approved)
        value = json.loads(tool.returns.dump_json(made))
        if (size := len(json.dumps(value))) > MOST_BYTES:
            value, failed = (
                None,
                f"The result has {size:,} bytes. Ask for less.",
            )
    except TimeoutError as error:
        late = f"It took longer than {tool.seconds:g} seconds and was ended."
        failed = late if limit.expired() else f"TimeoutError: {error}"
    except PatternsError as error:
        if not isinstance(error, OF_THE_CALL):
            raise
        failed = str(error)
    except Exception as error:  # noqa: BLE001  (it is the outcome, and whoever asked sees it)
        failed = f"{type(error).__name__}: {error}"
    return Outcome(value=value, failed=failed[:2000], seconds=time.perf_counter() - started)


def _place(loc: tuple[int | str, ...]) -> str:
    return f"{'.'.join(map(str, loc))}: " if loc else ""
