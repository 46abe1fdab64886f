"""What model calls cost, from the ledger: by prompt, flow, model or day."""

from datetime import datetime
from typing import Literal

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


async def costs(by: By, since: datetime | None = None) -> list[Cost]:
    """The ledger since a time, summed up; days are those of UTC."""
    return [Cost(**row) for row in await fetch("costs", {"by": by, "since": since})]
