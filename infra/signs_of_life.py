"""Signs of life of runs: Prefect counts one whose process was killed as running for ever.

A run that has ended keeps its last sign, which is soon an old one: in between it stores its result,
and tells Prefect.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from infra.errors import PatternsError
from infra.postgres import fetch
from infra.slots import HOLDER

LEASE = 120.0  # seconds until a run without a sign counts as dead: some beats, and a restart
_HEARTBEAT = 15.0
_log = logging.getLogger(__name__)


class Sign(NamedTuple):
    """The last sign of life of a run. ``fresh``: there may be a next one."""

    at: datetime
    fresh: bool


@asynccontextmanager
async def alive(run: UUID) -> AsyncIterator[None]:
    """Give signs of life of a flow run, the first one before anything is done."""
    mine = {"flow_run": run, "holder": HOLDER}
    await fetch("first_sign_of_life", mine)
    beat = asyncio.create_task(_beat(mine))
    try:
        yield
    finally:
        beat.cancel()
        await asyncio.gather(beat, return_exceptions=True)


async def signs_of_life(runs: Iterable[UUID]) -> dict[UUID, Sign]:
    """The last signs of those of these flow runs that ever gave one."""
    rows = await fetch("signs_of_life", {"runs": list(runs), "lease": LEASE})
    return {row["flow_run"]: Sign(row["seen_at"], row["fresh"]) for row in rows}


async def _beat(mine: dict[str, UUID]) -> None:
    while True:
        await asyncio.sleep(_HEARTBEAT)
        try:
            await fetch("sign_of_life", mine)
        except PatternsError as error:  # the next beat may be heard
            _log.warning("A sign of life could not be given: %s", error)
