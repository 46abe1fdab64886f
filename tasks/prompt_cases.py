"""A prompt's cases: inputs, and what the reply to them must look like."""

import re
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from tasks.asking import ask
from tasks.prompts import Case, Prompt
from tasks.runs import together
from tasks.wording import UNUSABLE


class CaseResult(BaseModel):
    """The reply of one version to one case. ``faults``: what is not as it should be."""

    model_config = ConfigDict(frozen=True)

    prompt: str
    version: str
    case: int
    reply: str
    faults: tuple[str, ...]
    served_by: str | None = None
    latency_ms: float | None = None
    cost_usd: float | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


async def run_cases(prompt: Prompt, cases: tuple[Case, ...] | None = None) -> list[CaseResult]:
    """Ask the cases, the prompt's own if no others are given, all at once."""
    asked = prompt.cases if cases is None else cases
    return await together(_run(prompt, number, case) for number, case in enumerate(asked, 1))


async def _run(prompt: Prompt, number: int, case: Case) -> CaseResult:
    place = {"prompt": prompt.name, "version": prompt.version, "case": number}
    try:
        reply = await ask(prompt, case.inputs)
    except UNUSABLE as error:
        return CaseResult(**place, reply="", faults=(f"{type(error).__name__}: {error}",))
    fields = reply.value.model_dump() if reply.value else {"text": reply.text}
    return CaseResult(
        **place,
        reply=reply.text,
        faults=faults_of(case, fields),
        served_by=reply.served_by,
        latency_ms=reply.latency_ms,
        cost_usd=reply.cost_usd,
    )


def faults_of(case: Case, fields: Mapping[str, object]) -> tuple[str, ...]:
    """What a reply's fields lack of what the case expects."""
    return tuple(
        f"{field} is {str(fields.get(field))!r}, which does not match {expected!r}"
        for field, expected in case.expect.items()
        if not re.search(expected, str(fields.get(field, "")), re.IGNORECASE)
    )
