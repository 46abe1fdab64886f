"""A call as the database keeps it: as a claim, as a reply, and as a row of the ledger."""

from typing import Any

from psycopg.types.json import Jsonb

from infra.budget import current_run
from infra.errors import ModelError
from infra.messages import storable
from infra.providers import RawReply, price_of
from infra.request import Request
from infra.settings import get_settings
from infra.slots import HOLDER, LEASE


def claim_row(request: Request) -> dict[str, Any]:
    """A call that this process would make, and the use that is noted when its reply is kept."""
    limits = {"ttl": get_settings().cache_ttl, "holder": HOLDER, "lease": LEASE}
    return {**call_row(request), **use_row(request), **limits}


def call_row(request: Request) -> dict[str, Any]:
    """A call, under its key."""
    return {
        "key": request.key,
        "model": request.model,
        "request": Jsonb(request.content),
        "sources": list(request.sources),
        "inputs": _inputs(request),
        "tenant": request.tenant,
    }


def _inputs(request: Request) -> Jsonb | None:
    if request.inputs is None:
        return None
    return Jsonb({name: storable(text) for name, text in request.inputs.items()})


def ledger_row(request: Request, raw: RawReply, error: ModelError | None = None) -> dict[str, Any]:
    """What a call took, and for whom."""
    return {
        "key": request.key,
        "model": request.model,
        "prompt_tokens": raw.prompt_tokens,
        "completion_tokens": raw.completion_tokens,
        "cost_usd": price_of(request.model, raw.prompt_tokens, raw.completion_tokens),
        "latency_ms": raw.seconds * 1000,
        "error": type(error).__name__ if error else None,
        **use_row(request),
    }


def use_row(request: Request) -> dict[str, Any]:
    """Who uses a call's reply."""
    run = current_run.get()
    return {
        "prompt": request.prompt,
        "version": request.version,
        "root_run": run.root_run,
        "flow_run": run.flow_run,
        "flow": run.flow,
        "task_run": run.task_run,
    }
