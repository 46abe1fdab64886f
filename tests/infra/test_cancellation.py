"""Who is cancelled while something has to be finished leaves after it."""

import asyncio

import pytest

from infra.cancellation import to_its_end


async def test_work_is_finished_before_its_caller_is_cancelled() -> None:
    begun, may_end, finished = asyncio.Event(), asyncio.Event(), list[str]()

    async def work() -> None:
        begun.set()
        await may_end.wait()
        finished.append("work")

    async def caller() -> None:
        try:
            await to_its_end(work())
        finally:
            finished.append("caller")

    calling = asyncio.create_task(caller())
    await begun.wait()
    calling.cancel()
    await asyncio.sleep(0)
    assert finished == []
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert finished == ["work", "caller"]


async def test_what_the_work_returns_or_raises_is_its_callers() -> None:
    async def work(number: int) -> float:
        return 1 / number

    assert await to_its_end(work(2)) == 0.5
    with pytest.raises(ZeroDivisionError):
        await to_its_end(work(0))
