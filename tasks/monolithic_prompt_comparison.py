"""One prompt for everything beside small ones, on the same messages: what each costs and breaks."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal
from uuid import UUID

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from infra.providers import model_of
from tasks.cache_upkeep import evict
from tasks.costs import NOTHING, Cost, costs_of_runs
from tasks.markdown import escaped, table
from tasks.monolithic_prompt import monolith as one_for_all
from tasks.prompt_lint import NO_CASES, lint
from tasks.prompt_passes import JOBS, Fields, Message, Pass, Replies, prompt_sample, tenant_of
from tasks.prompts import Prompt
from tasks.runs import RETRIED
from tasks.small_prompts import small_prompts

Way = Literal["monolith", "small prompts"]
WAYS: tuple[Way, ...] = ("monolith", "small prompts")

HEAD = (
    *("Way", "Right", "No usable reply", "Others changed by the edit", "by chance", "Broken"),
    *("Calls", "Tokens in", "out", "Cost, USD", "p50 ms a call", "Calls after the edit"),
)


class PromptFigures(BaseModel):
    """What one way came to. ``right``: of ``checked`` replies of the first pass; ``missing``: jobs
    without a usable reply; ``changed``: replies of jobs that the edit was not for, of ``others``,
    which it has changed all the same; ``by_chance``: that changed without any edit; ``broken``:
    right before the edit, and not after it; ``cost``: of the first pass, ``after``: of the edited
    one, from the ledger; ``tokens``: of the fixed text; ``faults``: what the linter says of it."""

    model_config = ConfigDict(frozen=True)

    way: Way
    checked: int
    right: int
    missing: int
    others: int
    changed: int
    by_chance: int
    broken: int
    cost: Cost
    after: Cost
    tokens: int
    faults: tuple[str, ...]
    replies: Replies


class PromptsCompared(BaseModel):
    """Both ways on the same messages, whose model it was, and the verdict in words."""

    model_config = ConfigDict(frozen=True)

    model: str
    cases: int
    monolith: PromptFigures
    small: PromptFigures
    verdict: str


@task(name="compare prompts", **RETRIED)
async def compared_prompts(
    cases: Sequence[Message],
    runs: Mapping[Way, Mapping[Pass, UUID]],
    monolith: Replies,
    small: Replies,
) -> PromptsCompared:
    """Both ways, summed up. What the cache keeps of them answers nobody else, and is dropped."""
    labels = {run: f"{way}, {each}" for way, some in runs.items() for each, run in some.items()}
    taken = await costs_of_runs(labels)
    for some in runs.values():
        await evict(tenant=tenant_of(some))
    bad = _figures("monolith", [one_for_all()], cases, monolith, taken)
    good = _figures("small prompts", [*small_prompts().values()], cases, small, taken)
    return PromptsCompared(
        model=model_of("strong"),
        cases=len(cases),
        monolith=bad,
        small=good,
        verdict=verdict_of(bad, good),
    )


def verdict_of(bad: PromptFigures, good: PromptFigures) -> str:
    """What the figures say, whichever way it is."""
    harm = max(0, bad.changed - bad.by_chance)
    said = (
        f"One edited sentence has changed {bad.changed} of {bad.others} replies of the monolith's "
        f"other jobs ({bad.by_chance} change without any edit)"
        if harm
        else "One edited sentence did no harm to the monolith's other jobs this time: "
        f"{bad.changed} of {bad.others} replies changed, {bad.by_chance} do without any edit"
    )
    return (
        f"{said}, and {bad.broken} that were right are not any more; of the small prompts "
        f"{good.changed} of {good.others} changed, and {good.broken} broke. Right at first: "
        f"{bad.right} of {bad.checked} replies of the monolith, {good.right} of {good.checked} of "
        f"the small prompts, for {_tokens(bad.cost):,} and {_tokens(good.cost):,} tokens."
    )


@task(name="publish comparison of prompts", cache_policy=NO_CACHE, persist_result=False)
async def publish_prompts(compared: PromptsCompared, cases: Sequence[Message]) -> None:
    """Leave the comparison on the run's page, and among the artifacts under its key."""
    await acreate_markdown_artifact(
        prompts_markdown(compared, cases),
        key="monolithic-prompt",
        description="One prompt for everything beside small ones",
    )


def prompts_markdown(compared: PromptsCompared, cases: Sequence[Message]) -> str:
    """The verdict, the figures, what the linter says, and correctness by case."""
    both, edit = (compared.monolith, compared.small), prompt_sample().edit
    rows = [
        (case.id, job, *(_mark(case, job, each.replies, number) for each in both))
        for number, case in enumerate(cases)
        for job in JOBS
    ]
    return "\n\n".join(
        [
            f"**{escaped(compared.verdict)}**",
            table(HEAD, "l" + "r" * (len(HEAD) - 1), map(cells, both)),
            f"The model was {escaped(compared.model)}. The edit, meant for the job *{edit.job}* "
            f"alone: *{escaped(edit.sentence)}* became *{escaped(edit.becomes)}*",
            *(
                f"The linter of the {each.way}, {each.tokens:,} tokens of fixed text: "
                f"{escaped(each.faults[0]) if each.faults else 'nothing to say'}."
                for each in both
            ),
            table(("Message", "Job", *(each.way for each in both)), "llll", rows),
        ]
    )


def cells(row: PromptFigures) -> list[str]:
    """A row of the table, in the order of its head."""
    cost = row.cost
    return [
        row.way,
        f"{row.right} of {row.checked}",
        f"{row.missing}",
        f"{row.changed} of {row.others}",
        f"{row.by_chance}",
        f"{row.broken}",
        *(f"{each:,}" for each in (cost.model_calls, cost.prompt_tokens, cost.completion_tokens)),
        "unknown" if cost.cost_usd is None else f"{cost.cost_usd:.6f}",
        "" if cost.p50_ms is None else f"{cost.p50_ms:,.0f}",
        f"{row.after.model_calls}",
    ]


def is_right(case: Message, job: str, fields: Fields) -> bool | None:
    """Whether a job's reply is what the sample expects; None where it expects nothing."""
    expected = case.expect.get(job)
    if expected is None:
        return None
    return bool(re.search(expected, fields.get(job, ""), re.IGNORECASE))


def _figures(
    way: Way,
    prompts: Sequence[Prompt],
    cases: Sequence[Message],
    replies: Replies,
    taken: Mapping[str, Cost],
) -> PromptFigures:
    lints = [lint(each) for each in prompts]
    others = [job for job in JOBS if job != prompt_sample().edit.job]
    marks = [
        (is_right(case, job, first), is_right(case, job, edited))
        for case, first, edited in zip(cases, replies.first, replies.edited, strict=True)
        for job in JOBS
    ]
    checked = [mark for mark in marks if mark[0] is not None]
    return PromptFigures(
        way=way,
        checked=len(checked),
        right=sum(bool(first) for first, _ in checked),
        missing=sum(job not in fields for fields in replies.first for job in JOBS),
        others=len(others) * len(cases),
        changed=_changed(replies.first, replies.edited, others),
        by_chance=_changed(replies.first, replies.unedited, others),
        broken=sum(bool(first) and not edited for first, edited in checked),
        cost=taken.get(f"{way}, first", NOTHING),
        after=taken.get(f"{way}, edited", NOTHING),
        tokens=sum(each.total for each in lints),
        # Their cases are in a file of their own, for both ways.
        faults=tuple(fault for each in lints for fault in each.faults if fault != NO_CASES),
        replies=replies,
    )


def _changed(before: Sequence[Fields], after: Sequence[Fields], jobs: Sequence[str]) -> int:
    """How many replies of the jobs are other words."""
    return sum(
        one.get(job, "").split() != other.get(job, "").split()
        for one, other in zip(before, after, strict=True)
        for job in jobs
    )


def _mark(case: Message, job: str, replies: Replies, number: int) -> str:
    before, after = replies.first[number], replies.edited[number]
    words = {None: "not checked", True: "right", False: "**wrong**"}
    if job not in before:
        return "**no usable reply**"
    told = words[is_right(case, job, before)]
    if before.get(job, "").split() == after.get(job, "").split():
        return told
    return f"{told}; changed by the edit: {words[is_right(case, job, after)]}"


def _tokens(cost: Cost) -> int:
    return cost.prompt_tokens + cost.completion_tokens
