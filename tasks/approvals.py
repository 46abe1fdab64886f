"""Calls that write: what a person is shown of them, and what may be done when they are approved."""

import json
from collections.abc import Iterable, Mapping

from pydantic import BaseModel

from infra.errors import InputError
from tasks.markdown import escaped, fenced
from tasks.review_output import Refused, Released, Reviewable, require_policies
from tasks.reviews import Draft, Rejection, Subject
from tasks.steps import current_root_run, once
from tasks.tool_calls import OF_THE_CALL, Call, argument_faults
from tasks.tools import Approval, Tool

POLICY = "calls"


def require_reviewable(tools: Iterable[Tool]) -> None:
    """Raise SettingsError now, where one of the tools writes and nobody could approve its calls."""
    if any(tool.writes for tool in tools):
        require_policies([POLICY])


def reviewable(tool: Tool, call: Call, *, author: str, why: str) -> Reviewable:
    """The review of a call; ``why``: the task or goal that it is for."""

    async def make(rejections: tuple[Rejection, ...]) -> Draft:
        if rejections:
            return await _draft(tool, call, why, rejections)
        first = await _first_draft(tool, call, why)
        if first.draft is None:
            raise InputError(first.fault)
        return first.draft

    subject = Subject(title=f"Call of {tool.name}", kind="call", policy=POLICY, author=author)
    # Prefect takes no underscore in the name of what a run waits for.
    step = f"approve-{call.key}".replace("_", "-")
    return Reviewable(subject, make, step, final=tool.drafts is None)


async def undraftable(tool: Tool, call: Call, why: str) -> str | None:
    """Why a call cannot even be shown to a person: its arguments do not fit, or it would be against
    the rules; None where it can. Raises what is no matter of the call."""
    if faults := argument_faults(tool, call.arguments):
        return f"It cannot be done: {'; '.join(faults)}"
    first = await _first_draft(tool, call, why)
    return first.fault or None


def approval_of(call: Call, released: Released) -> Approval:
    """What lets a call be made, once in this run: whoever does it twice knows it by the key."""
    key = f"{current_root_run()}-{call.key}"
    return Approval(key=key, text=released.text, review=released.review)


def refusal(refused: Refused) -> str:
    """Why a call is not made, in words for whoever asked for it."""
    return f"A person did not approve it: {refused.reason}"


def decisions(
    calls: Mapping[str, Call], outcomes: list[Released | Refused]
) -> dict[str, Approval | str]:
    """What was decided on calls, by their keys: an approval, or why not."""
    return {
        key: approval_of(call, each) if isinstance(each, Released) else refusal(each)
        for (key, call), each in zip(calls.items(), outcomes, strict=True)
    }


class _Drafted(BaseModel):
    draft: Draft | None = None
    fault: str = ""


async def _first_draft(tool: Tool, call: Call, why: str) -> _Drafted:
    """What a person is shown at first, or why that cannot be; made once for a run: one that starts
    anew after the call was made must not hold it against what the call itself has changed."""

    async def made() -> _Drafted:
        try:
            return _Drafted(draft=await _draft(tool, call, why, ()))
        except OF_THE_CALL as error:
            return _Drafted(fault=f"It cannot be done: {error}")

    return await once(f"draft-{call.key}", made, _Drafted)


async def _draft(tool: Tool, call: Call, why: str, rejections: tuple[Rejection, ...]) -> Draft:
    if tool.drafts is None:
        return _shown(tool, call, why)
    arguments = dict(tool.arguments.model_validate(call.arguments))
    draft = await tool.drafts(**arguments, rejections=rejections)
    told = dict.fromkeys(filter(None, (why, draft.material)))  # each once
    return draft.model_copy(update={"material": "\n\n".join(told)})


def _shown(tool: Tool, call: Call, why: str) -> Draft:
    """The call itself: the tool's name and each argument."""
    text = json.dumps(call.model_dump(), ensure_ascii=False, indent=1, sort_keys=True)
    lines = [f"**{escaped(tool.name)}**: {escaped(tool.description)}"]
    for name, value in call.arguments.items():
        said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
        lines.append(f"{escaped(name)}:\n\n{fenced(said)}")
    return Draft(text=text, shown="\n\n".join(lines), material=why)
