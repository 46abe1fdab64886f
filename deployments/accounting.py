"""`patterns cost`: what the model calls took, from the ledger."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.terminal import AsJson, run_async, show, table_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.costs import Cost


class By(StrEnum):
    """What the ledger is summed up by."""

    prompt = "prompt"
    flow = "flow"
    model = "model"
    day = "day"


def cost(
    by: Annotated[By, typer.Option(help="Sum up by this.")] = By.prompt,
    since: Annotated[
        datetime | None, typer.Option(help="Only calls from this time on (UTC).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Calls, tokens, cost and latency, by prompt, flow, model or day."""
    from tasks.costs import costs

    start = since.replace(tzinfo=UTC) if since else None
    found = run_async(costs(by.value, start))
    rows = [each.model_dump(exclude={"of"}) | {by.value: each.of} for each in found]
    show({"by": by.value, "rows": rows}, _table(by.value, found), as_json=as_json)


def _table(by: str, found: "Sequence[Cost]") -> str:
    names = ("calls", "hits", "failed", "tokens in", "out", "USD", "saved", "p50 ms", "p95 ms")
    return table_text((by, *names), map(_cells, found)) if found else "No calls."


def _cells(each: "Cost") -> list[str]:
    numbers = (each.model_calls, each.cache_hits, each.failures, each.prompt_tokens)
    money = [f"{usd:.4f}" if usd is not None else "?" for usd in (each.cost_usd, each.saved_usd)]
    times = [f"{ms:,.0f}" if ms is not None else "" for ms in (each.p50_ms, each.p95_ms)]
    counts = [f"{n:,}" for n in (*numbers, each.completion_tokens)]
    return [each.of, *counts, *money, *times]
