"""Direct writes beside guarded ones, on the same requests: what each way has done, in numbers."""

from collections.abc import Sequence
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
from tasks.record_requests import RecordRequest, Written
from tasks.runs import RETRIED

Way = Literal["direct", "guarded"]

HEAD = (
    *("Way", "Done as asked", "Wrong cells", "Records lost", "added", "Requests with harm"),
    *("Changed unseen", "Waited", "Undone", "Calls", "Tokens in", "out", "Cost, USD", "p50 ms"),
)


class WriteFigures(BaseModel):
    """What one way has done. ``right``: requests that did just what they asked for; ``unseen``:
    requests that changed something that nobody saw before; ``waited``: that had to be approved;
    ``undone``: of those that ``wrote`` something, how many could be taken back byte for byte;
    ``cost``: of its calls, from the ledger."""

    model_config = ConfigDict(frozen=True)

    way: Way
    requests: int
    right: int
    wrong: int
    lost: int
    added: int
    harmed: int
    unseen: int
    waited: int
    wrote: int
    undone: int
    cost: Cost
    outcomes: tuple[Written, ...]


class WritesCompared(BaseModel):
    """Both ways on the same requests, whose model it was, and the verdict in words."""

    model_config = ConfigDict(frozen=True)

    model: str
    direct: WriteFigures
    guarded: WriteFigures
    verdict: str


@task(name="compare writes", **RETRIED)
async def compared_writes(
    runs: dict[Way, UUID], direct: Sequence[Written], guarded: Sequence[Written]
) -> WritesCompared:
    """Both ways, summed up. What the cache keeps of them answers nobody else, and is dropped."""
    taken = await costs_of_runs({run: way for way, run in runs.items()})
    for run in runs.values():
        await evict(tenant=f"comparison-{run}")
    bad = _figures("direct", direct, taken.get("direct", NOTHING))
    good = _figures("guarded", guarded, taken.get("guarded", NOTHING))
    return WritesCompared(
        model=model_of("strong"), direct=bad, guarded=good, verdict=verdict_of(bad, good)
    )


def verdict_of(direct: WriteFigures, guarded: WriteFigures) -> str:
    """What the figures say, whichever way it is."""
    if direct.harmed:
        said = (
            f"Written directly, {_count(direct.harmed, 'request')} of {direct.requests} did what "
            f"nobody had asked for: {_damage(direct)}."
        )
    else:
        said = f"Written directly, none of the {direct.requests} requests did harm this time."
    said += (
        f" {_count(direct.unseen, 'request')} changed records that nobody had looked at, and "
        f"{direct.undone} of {direct.wrote} can be taken back."
    )
    done = _damage(guarded) if guarded.harmed else "nothing that nobody had asked for"
    return (
        f"{said} Behind the guard: {done}; {_count(guarded.unseen, 'change')} of low risk made by "
        f"policy, {guarded.waited} waited for a person, {guarded.undone} of {guarded.wrote} undone."
    )


@task(name="publish comparison of writes", cache_policy=NO_CACHE, persist_result=False)
async def publish_writes(compared: WritesCompared, requests: Sequence[RecordRequest]) -> None:
    """Leave the comparison on the run's page, and among the artifacts under its key."""
    await acreate_markdown_artifact(
        writes_markdown(compared, requests),
        key="direct-write",
        description="Direct writes beside guarded ones",
    )


def writes_markdown(compared: WritesCompared, requests: Sequence[RecordRequest]) -> str:
    """The verdict, the figures, and what became of each request."""
    both = (compared.direct, compared.guarded)
    outcomes = zip(requests, *(each.outcomes for each in both), strict=True)
    rows = [
        (request.kind, _line(request.text), outcome(direct), outcome(guarded))
        for request, direct, guarded in outcomes
    ]
    return "\n\n".join(
        [
            f"**{escaped(compared.verdict)}**",
            table(HEAD, "l" + "r" * (len(HEAD) - 1), map(cells, both)),
            f"The model was {escaped(compared.model)}. The records are those of a scratch schema, "
            "as new for each request, and gone by now. In place of a person, code that knows what "
            "each request is to change has released what waited, or not.",
            table(("Kind", "Request", "Written directly", "Behind the guard"), "llll", rows),
        ]
    )


def cells(row: WriteFigures) -> list[str]:
    """A row of the table, in the order of its head."""
    cost = row.cost
    counts = (row.wrong, row.lost, row.added, row.harmed, row.unseen, row.waited)
    return [
        row.way,
        f"{row.right} of {row.requests}",
        *(f"{each:,}" for each in counts),
        f"{row.undone} of {row.wrote}",
        *(f"{each:,}" for each in (cost.model_calls, cost.prompt_tokens, cost.completion_tokens)),
        "unknown" if cost.cost_usd is None else f"{cost.cost_usd:.6f}",
        "" if cost.p50_ms is None else f"{cost.p50_ms:,.0f}",
    ]


def outcome(done: Written) -> str:
    """What became of a request, as Markdown in a line."""
    counts = {
        "wrong cells": done.wrong,
        "records lost": done.lost,
        "records added": done.added,
        "cells not changed": done.missing,
    }
    told = [f"{count} {what}" for what, count in counts.items() if count]
    verdict = "as asked" if done.is_right else ", ".join(told)
    parts = [f"**{verdict}**" if done.harmed else verdict, _line(done.said)]
    return ". ".join(filter(None, parts))


def _figures(way: Way, outcomes: Sequence[Written], cost: Cost) -> WriteFigures:
    wrote = [each for each in outcomes if each.wrote]
    return WriteFigures(
        way=way,
        requests=len(outcomes),
        right=sum(each.is_right for each in outcomes),
        wrong=sum(each.wrong for each in outcomes),
        lost=sum(each.lost for each in outcomes),
        added=sum(each.added for each in outcomes),
        harmed=sum(each.harmed for each in outcomes),
        unseen=sum(not each.seen for each in wrote),
        waited=sum(each.waited for each in outcomes),
        wrote=len(wrote),
        undone=sum(bool(each.undone) for each in wrote),
        cost=cost,
        outcomes=tuple(outcomes),
    )


def _damage(row: WriteFigures) -> str:
    return (
        f"{_count(row.wrong, 'wrong cell')}, {_count(row.lost, 'record')} lost, "
        f"{_count(row.added, 'record')} added"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _line(text: str) -> str:
    shown = " ".join(text.split())
    return escaped(shown if len(shown) <= 200 else f"{shown[:200]} …")
