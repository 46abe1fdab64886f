"""What the calls of a run took when they were paid for, by the ledger, whichever run paid."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID, uuid4

from infra.budget import current_run
from infra.postgres import transaction

_PAID = """
select count(*) as calls, coalesce(sum(p.prompt_tokens), 0)::int as prompt_tokens,
       coalesce(sum(p.completion_tokens), 0)::int as completion_tokens,
       coalesce(sum(p.latency_ms), 0)::float8 / 1000 as seconds
from (select distinct call_key from patterns.ledger where root_run = %s) as used
join patterns.ledger as p on p.call_key = used.call_key and p.served_by = 'model'
"""


class Spent(NamedTuple):
    """Calls of the model, its tokens, and the seconds that the calls took, one after the other."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float

    def cost(self, price: tuple[float, float]) -> float:
        """USD at so many USD for a million tokens read and written."""
        return (self.prompt_tokens * price[0] + self.completion_tokens * price[1]) / 1e6

    @property
    def line(self) -> str:
        return (
            f"{self.calls} calls, {self.prompt_tokens} + {self.completion_tokens} tokens, "
            f"{self.seconds:.0f} s in calls"
        )


@contextmanager
def counted() -> Iterator[UUID]:
    """The id of a run to which the calls made inside belong."""
    run = uuid4()
    token = current_run.set(replace(current_run.get(), root_run=run))
    try:
        yield run
    finally:
        current_run.reset(token)


async def spent_by(run: UUID) -> Spent:
    """What the calls that a run used took when they were made, in this run or an earlier one."""
    async with transaction() as connection:
        row = await (await connection.execute(_PAID, [run])).fetchone()
    return Spent(**row)  # type: ignore[arg-type]
