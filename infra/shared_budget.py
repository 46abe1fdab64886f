"""A run's budget of money where several processes work for it.

What was spent is what the ledger says, and what may be spent yet stands in the row of each call
that is in flight. So a process that dies takes nothing along: what it had reserved ends with the
leases of its calls, and what it had paid for is in the ledger.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from infra.budget import Budget, current_run, used_up
from infra.postgres import Connection, repeated
from infra.providers import price_of
from infra.slots import LEASE
from infra.sql import queries

_PAUSE = 0.2  # seconds between two looks at what others have in flight


class SharedBudget(Budget):
    """Most USD that all processes together may spend for the current root run.

    Near the limit calls wait for those in flight, anybody's, so that it is passed by one call at
    most; then every process stops with BudgetSpent.
    """

    def __init__(self, max_cost: float) -> None:
        super().__init__(max_cost=max_cost)
        self._max_cost = max_cost

    @asynccontextmanager
    async def call(
        self, model: str, prompt_tokens: int, reply_tokens: int, key: bytes = b""
    ) -> AsyncIterator[None]:
        """Reserve the most that a call may use, until its reply or its failure is in the ledger."""
        async with super().call(model, prompt_tokens, reply_tokens, key):
            cost = price_of(model, prompt_tokens, reply_tokens) or 0.0
            await self._wait_for_room(key, cost)
            yield

    async def _wait_for_room(self, key: bytes, cost: float) -> None:
        """Wait until the call may be made. Raises BudgetSpent when nothing is left."""
        params = {
            "root_run": current_run.get().root_run,
            "key": key,
            "cost": cost,
            "limit": self._max_cost,
            "lease": LEASE,
        }

        async def reserved(connection: Connection) -> dict[str, Any]:
            await connection.execute(queries()["lock_budget"], params)
            cursor = await connection.execute(queries()["reserve_cost"], params)
            [row] = await cursor.fetchall()
            return row

        while True:
            row = await repeated(reserved)
            if row["spent"] >= self._max_cost:
                raise used_up(self._max_cost, "USD")
            if row["ours"]:
                return
            await asyncio.sleep(_PAUSE)
