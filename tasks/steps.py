"""Durable steps: what a run has made once, it finds again, whoever died in between.

A run that is suspended, retried or killed starts its flow from the top. A step under a key that the
same code always gives it is made the first time and read from PostgreSQL ever after, so the run
does not depend on Prefect's stored results, which may lie on another machine or be gone.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from prefect.context import FlowRunContext
from prefect.runtime import flow_run as runtime
from pydantic import TypeAdapter

from infra.budget import current_run
from infra.errors import DatabaseError
from infra.postgres import fetch

T = TypeVar("T")


async def once(
    key: str, make: Callable[[], Awaitable[T]], kind: type[T], root_run: UUID | None = None
) -> T:
    """The result of ``make``, made at most once for a run and ``key``, and kept as JSON.

    ``key`` must be the same whenever the run passes here, and no other step's. Of several who make
    it at the same time one wins, and all get his result. What is given back is always what was
    stored, read as ``kind``. ``root_run`` is the run that owns the step; without it, the current
    one.

    Raises DatabaseError when the stored result is not the one that was stored; RuntimeError outside
    a run when ``root_run`` is missing; whatever ``make`` raises, and then nothing is kept.
    """
    run = root_run or current_root_run()
    adapter: TypeAdapter[T] = TypeAdapter(kind)
    place = {"root_run": run, "key": key}
    rows = await fetch("read_step", place)
    if not rows:
        result = adapter.dump_json(await make()).decode()
        await fetch("keep_step", {**place, "result": result})
        rows = await fetch("read_step", place)
    if not rows[0]["intact"]:
        raise DatabaseError(
            f"The stored step {key} of run {run} was altered after it was made: its SHA-256 is no "
            "longer the recorded one. Find out who writes to patterns.steps, and start a new run."
        )
    return adapter.validate_python(rows[0]["result"])


def current_root_run() -> UUID:
    """The top-level flow run that this code works for, also inside its subflows.

    Raises RuntimeError outside a run.
    """
    if run := current_run.get().root_run:
        return run
    if FlowRunContext.get() is None:
        raise RuntimeError("A step belongs to a run: call this in a flow, or pass root_run.")
    return UUID(runtime.root_flow_run_id)
