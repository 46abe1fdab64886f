"""What model calls cost, from the ledger: by prompt, flow, model or day, or of some runs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from infra.postgres import fetch

By = Literal["prompt", "flow", "model", "day"]


class Cost(BaseModel):
    """What one prompt, flow, model or day took.

    ``cost_usd`` is None when a price is unknown, ``saved_usd`` what cache hits would have cost;
    ``p50_ms`` and ``p95_ms`` are of the calls that a model answered, None without any.
    """

    model_config = ConfigDict(frozen=True)

    of: str
    model_calls: int
    cache_hits: int
    failures: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    saved_usd: float | None
    p50_ms: float | None
    p95_ms: float | None


NOTHING = Cost(
    of="",
    model_calls=0,
    cache_hits=0,
    failures=0,
    prompt_tokens=0,
    completion_tokens=0,
    cost_usd=0.0,
    saved_usd=0.0,
    p50_ms=None,
    p95_ms=None,
)


async def costs(by: By, since: datetime | None = None) -> list[Cost]:
    """The ledger since a time, summed up; days are those of UTC."""
    params = {"by": by, "since": since, "runs": None, "labels": None}
    return [Cost(**row) for row in await fetch("costs", params)]


async def costs_of_runs(labels: Mapping[UUID, str]) -> dict[str, Cost]:
    """What runs have taken, by the label of each; without those that have asked nothing."""
    runs = {"runs": [*labels], "labels": [*labels.values()]}
    rows = await fetch("costs", {"by": "label", "since": None, **runs})
    return {row["of"]: Cost(**row) for row in rows}
