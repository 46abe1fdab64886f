"""Bounded concurrency over all processes: a model's slots are leased in blocks with an expiry.

A process leases what it wants of a model's slots and hands them out itself, without asking the
database per call. Every few seconds it renews the lease; a killed process's slots come back when
its lease runs out. Rates are token buckets with debt: a caller is told how long to wait, so nobody
polls and nobody starves. Within its slots a process keeps to the pace that the endpoint bears.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from infra.errors import ModelRateLimited
from infra.pace import Pace
from infra.postgres import Connection, fetch, repeated
from infra.providers import slots_of
from infra.settings import get_settings
from infra.sql import queries

HOLDER = uuid4()  # this process, in every lease
LEASE = 15.0  # seconds until the slots of a silent process are free again
HEARTBEAT = 3.0
IMPATIENCE = 0.5  # seconds between askings while calls wait for slots of other processes
_UNLIMITED = 1e12
_BURST = 5.0  # seconds' worth of the rate that may be used at once


class Slots:
    """This process's slots of one model. Bound to one event loop."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.pace = Pace()
        self.allowed = 0
        self.in_use = 0
        self.waiting = 0
        self._wanted = 0
        self._asked_at = float("-inf")
        self._turn = asyncio.Lock()
        self._freed = asyncio.Condition()
        self._asking = asyncio.Lock()

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """One slot, for the length of one request."""
        self.waiting += 1
        try:
            async with self._turn:  # only the first in line looks; a thousand would be busy with it
                await self._wait_for_one()
                self.in_use += 1
        finally:
            self.waiting -= 1
        silence = self.pace.silence
        try:
            yield
            self.pace.answered()
        except ModelRateLimited as error:
            self.pace.refused(self.in_use, silence, error.retry_after)
            raise
        finally:
            self.in_use -= 1
            async with self._freed:
                self._freed.notify(2)  # its own place, and the one that its answer may have added

    async def lease(self) -> None:
        """Lease what the calls in flight and waiting want, as far as the others leave it."""
        async with self._asking:
            total = slots_of(self.model)
            demand = self.in_use + self.waiting
            # Twice the demand and some more, so that a starting run asks a few times, not per call.
            self._wanted = min(total, 2 * demand + 8) if demand else 0
            params = {
                "model": self.model,
                "holder": HOLDER,
                "wanted": self._wanted,
                "in_use": self.in_use,
                "total": total,
                "lease": LEASE,
            }

            async def leased(connection: Connection) -> int:
                await connection.execute(queries()["lock_model"], params)
                cursor = await connection.execute(queries()["lease_slots"], params)
                row = await cursor.fetchone()
                return row["slots"] if row else 0

            self.allowed = await repeated(leased)
            self._asked_at = asyncio.get_running_loop().time()
        async with self._freed:
            self._freed.notify_all()

    async def _wait_for_one(self) -> None:
        while self.in_use >= self.allowed or not self.pace.admits(self.in_use):
            if self._should_ask():
                await self.lease()
                continue
            async with self._freed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(IMPATIENCE, self.pace.closed_for() or math.inf)):
                        await self._freed.wait()

    def _should_ask(self) -> bool:
        enough = self.in_use < self.allowed or self.allowed >= slots_of(self.model)
        if enough or self._asking.locked():
            return False
        grown = self.in_use + self.waiting > self._wanted
        return grown or asyncio.get_running_loop().time() - self._asked_at >= IMPATIENCE


async def return_slots() -> None:
    """Give back what this process has leased, rather than let it run out."""
    await fetch("return_slots", {"holder": HOLDER})


async def wait_for_rate(model: str, tokens: int) -> None:
    """Wait until the endpoint's rates, shared by all processes, admit that many tokens."""
    settings = get_settings()
    requests, rate = settings.chat_requests_per_minute, settings.chat_tokens_per_minute
    if requests is None and rate is None:
        return
    params = {
        "model": model,
        "tokens": tokens,
        "burst": _BURST,
        "requests_per_minute": float(requests or _UNLIMITED),
        "tokens_per_minute": float(rate or _UNLIMITED),
    }
    [row] = await fetch("take_rate", params)
    await asyncio.sleep(row["seconds"])
