"""What a routing came to: kept, written to a file, and told with what each stage took."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from infra.errors import WorkIncomplete
from infra.postgres import fetch, transaction
from infra.sql import queries
from tasks.corpus import Corpus
from tasks.markdown import escaped, table
from tasks.result_files import write_table
from tasks.routing import Routed, RouteRequest
from tasks.runs import RETRIED
from tasks.specialists import Specialist
from tasks.steps import current_root_run

_SHOWN = 12  # labels that the artifact names


class Stage(BaseModel):
    """What one stage took, by the ledger. ``cost_usd``: None where a price is unknown."""

    model_config = ConfigDict(frozen=True)

    stage: str
    calls: int
    cost_usd: float | None
    p50_ms: float
    p95_ms: float


class RoutingDone(BaseModel):
    """How many texts each has decided on, without a word of them; ``labels``: how often each was
    given; ``failed``: texts that a model gave no answer to, and why, by id."""

    model_config = ConfigDict(frozen=True)

    specialist: int
    texts: int
    by_specialist: int
    by_model: int
    by_person: int
    by_nobody: int
    labels: dict[str, int]
    stages: tuple[Stage, ...]
    failed: dict[str, str]
    file: str | None


@task(name="keep decisions", **RETRIED)
async def keep_decisions(
    request: RouteRequest, specialist: Specialist, corpus: Corpus, routed: Sequence[Routed]
) -> RoutingDone:
    """Keep what was decided, in the table and the file."""
    run = current_root_run()
    times = dict(zip(corpus.records["id"], corpus.records["happened_at"], strict=True))
    rows = [
        {
            **{"root_run": run, "record": each.id, "source": corpus.name},
            **{"specialist": specialist.id, "guess": each.guess, "label": each.label},
            **{"confidence": each.confidence, "decided_by": each.by},
            "happened_at": None if (at := times[each.id]) is None or at != at else at,
        }
        for each in routed
    ]
    async with transaction() as connection, connection.cursor() as cursor:
        await cursor.executemany(queries()["keep_decision"], rows)
    if request.out:
        await asyncio.to_thread(write, routed, Path(request.out))
    stages = await fetch("stages", {"root_run": run})
    count = Counter(each.by for each in routed)
    return RoutingDone(
        specialist=specialist.id,
        texts=len(routed),
        by_specialist=count["specialist"],
        by_model=count["model"],
        by_person=count["person"],
        by_nobody=count["nobody"],
        labels=dict(Counter(each.label for each in routed if each.label).most_common()),
        stages=tuple(Stage(**row) for row in stages),
        failed={each.id: each.why for each in routed if each.why and each.by == "nobody"},
        file=request.out,
    )


def write(routed: Sequence[Routed], path: Path) -> None:
    """Write id, label, confidence, decided_by and abstained as CSV, JSON lines or Parquet, by the
    name's ending; the file appears whole. The label of what nobody decided is the specialist's
    guess, and ``abstained`` says so. Raises StorageError."""
    import pandas as pd

    rows = [
        (each.id, each.label or each.guess, each.confidence, each.by, each.by == "nobody")
        for each in routed
    ]
    names = ["id", "label", "confidence", "decided_by", "abstained"]
    write_table(pd.DataFrame(rows, columns=names), path)


@task(name="publish routing", cache_policy=NO_CACHE, persist_result=False)
async def publish_routing(done: RoutingDone) -> None:
    """Leave on the run's page who decided how much, and what it took."""
    await acreate_markdown_artifact(
        routing_markdown(done), key="routing", description="Who decided"
    )


def routing_markdown(done: RoutingDone) -> str:
    """Counts, cost and latency by stage, and the commonest labels."""
    taken = {each.stage: each for each in done.stages}
    rows = [
        (who, f"{count:,}", f"{count / max(1, done.texts):.1%}", *_taken(taken.get(stage)))
        for who, stage, count in (
            (f"Specialist {done.specialist}", "specialist", done.by_specialist),
            ("General model", "model", done.by_model),
            ("People", "people", done.by_person),
            ("Nobody", "nobody", done.by_nobody),
        )
    ]
    head = ("Decided by", "Texts", "Share", "Calls", "Cost, USD", "p50 ms", "p95 ms")
    labels = [(escaped(name), f"{count:,}") for name, count in [*done.labels.items()][:_SHOWN]]
    parts = [table(head, "lrrrrrr", rows), table(("Label", "Texts"), "lr", labels)]
    if done.failed:
        named = "\n".join(f"- {escaped(i)}: {escaped(w)}" for i, w in [*done.failed.items()][:20])
        parts.append(f"A model gave no answer to {len(done.failed)} texts:\n\n{named}")
    if done.file:
        parts.append(f"The labels are in {escaped(done.file)}.")
    return "\n\n".join(parts) + "\n"


def require_answered(done: RoutingDone) -> None:
    """Raise WorkIncomplete where a model gave no answer and nobody else decided."""
    if done.failed:
        named = "; ".join(f"{i} ({why})" for i, why in [*done.failed.items()][:5])
        raise WorkIncomplete(
            f"A model gave no answer to {len(done.failed)} of {done.texts} texts: {named}. What "
            "was decided is kept. Run it again, or let people decide."
        )


def _taken(stage: Stage | None) -> tuple[str, str, str, str]:
    if stage is None:
        return ("", "", "", "")
    cost = "unknown" if stage.cost_usd is None else f"{stage.cost_usd:.6f}"
    return (f"{stage.calls:,}", cost, f"{stage.p50_ms:.1f}", f"{stage.p95_ms:.1f}")
