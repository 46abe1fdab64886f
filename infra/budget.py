"""Whose a model call is, and what its run may use."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import UUID

from infra.errors import BudgetSpent
from infra.providers import price_of


class Budget:
    """What a run may use. Near a limit, calls wait for those in flight, so that it is passed by one
    call at most; then the run stops with BudgetSpent."""

    def __init__(
        self,
        max_calls: int | None = None,
        max_tokens: int | None = None,
        max_cost: float | None = None,
    ) -> None:
        limits = {"model calls": max_calls, "tokens": max_tokens, "USD": max_cost}
        self._limits = {unit: limit for unit, limit in limits.items() if limit is not None}
        self._spent = dict.fromkeys(limits, 0.0)
        self._reserved = dict.fromkeys(limits, 0.0)
        self._in_flight = 0
        self._settled = asyncio.Event()

    @asynccontextmanager
    async def call(
        self, model: str, prompt_tokens: int, reply_tokens: int, key: bytes = b""
    ) -> AsyncIterator[None]:
        """Reserve the most that a call may use, for as long as it is in flight. ``key``: the
        call's, by which other processes know it."""
        cost = price_of(model, prompt_tokens, reply_tokens)
        if "USD" in self._limits and cost is None:
            raise BudgetSpent(
                f"The run has a limit of money, but the price of {model} is unknown: "
                "add it to PATTERNS_PRICES."
            )
        most = {"model calls": 1, "tokens": prompt_tokens + reply_tokens, "USD": cost or 0.0}
        while self._in_flight and self._would_pass(most):
            self._settled.clear()
            await self._settled.wait()
        for unit, limit in self._limits.items():
            if self._spent[unit] >= limit:
                raise used_up(limit, unit)
        self._in_flight += 1
        self._add(self._reserved, most, 1)
        try:
            yield
        finally:
            self._in_flight -= 1
            self._add(self._reserved, most, -1)
            self._add(self._spent, {"model calls": 1}, 1)
            self._settled.set()

    def spend(self, tokens: int, cost: float | None) -> None:
        """Count what a call used."""
        self._add(self._spent, {"tokens": tokens, "USD": cost or 0.0}, 1)

    def _would_pass(self, more: Mapping[str, float]) -> bool:
        return any(
            self._spent[unit] + self._reserved[unit] + more[unit] > limit
            for unit, limit in self._limits.items()
        )

    @staticmethod
    def _add(to: dict[str, float], what: Mapping[str, float], sign: int) -> None:
        for unit, amount in what.items():
            to[unit] += sign * amount


def used_up(limit: float, unit: str) -> BudgetSpent:
    """The error of a run that has used up what it may."""
    return BudgetSpent(
        f"The run's budget of {limit:g} {unit} is spent. What was done is kept: run again with a "
        "larger budget, and it goes on from there."
    )


@dataclass(frozen=True)
class RunContext:
    """Whose call it is: set in the tasks layer, read by the door to the models."""

    root_run: UUID | None = None
    flow_run: UUID | None = None
    flow: str | None = None
    task_run: UUID | None = None
    tenant: str = ""  # whose replies nobody else is given, where a call names none
    budget: Budget = field(default_factory=Budget)


current_run: ContextVar[RunContext] = ContextVar("current_run", default=RunContext())  # noqa: B039
