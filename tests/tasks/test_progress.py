import asyncio
from collections.abc import Iterator
from itertools import accumulate
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prefect.context import FlowRunContext

from tasks import progress as module
from tasks.progress import listeners, progress

Told = list[tuple[str, int, int]]


@pytest.fixture
def told() -> Iterator[Told]:
    """What a listener hears."""
    heard: Told = []

    def listen(what: str, done: int, of: int) -> None:
        heard.append((what, done, of))

    listeners.append(listen)
    yield heard
    listeners.remove(listen)


@pytest.fixture
def artifacts(monkeypatch: pytest.MonkeyPatch) -> dict[UUID, list[float]]:
    """Prefect's progress artifacts: the percentages that each was told."""
    shown: dict[UUID, list[float]] = {}

    async def create(share: float, **_: Any) -> UUID:
        shown[made := uuid4()] = [share]
        return made

    async def update(artifact: UUID, share: float) -> None:
        shown[artifact].append(share)

    monkeypatch.setattr(module, "acreate_progress_artifact", create)
    monkeypatch.setattr(module, "aupdate_progress_artifact", update)
    return shown


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.integers(1, 50)))
async def test_a_listener_hears_every_advance_and_that_all_is_done_at_last(
    told: Told, steps: list[int]
) -> None:
    told.clear()
    whole = sum(steps)
    async with progress("Reading", whole) as following:
        for step in steps:
            await following.advance(step)
    done = [0, *accumulate(steps), whole]
    assert told == [("Reading", each, whole) for each in done]


async def test_works_at_the_same_time_are_told_apart(told: Told) -> None:
    async with progress("Reading", 2) as reading, progress("Wording", 1) as wording:
        await reading.advance()
        await wording.advance()
        await reading.advance()
    assert [done for what, done, _ in told if what == "Reading"] == [0, 1, 2, 2]
    assert [done for what, done, _ in told if what == "Wording"] == [0, 1, 1]


async def test_work_that_fails_is_not_told_as_finished(told: Told) -> None:
    async def read() -> None:
        async with progress("Reading", 2) as following:
            await following.advance()
            raise OSError("no paper")

    with pytest.raises(OSError, match="no paper"):
        await read()
    assert told == [("Reading", 0, 2), ("Reading", 1, 2)]


async def test_outside_a_flow_nothing_is_sent_to_the_server(
    told: Told, artifacts: dict[UUID, list[float]]
) -> None:
    async with progress("Reading", 1) as following:
        await following.advance()
    assert told[-1] == ("Reading", 1, 1)
    assert artifacts == {}


async def test_a_flow_shows_one_artifact_which_ends_at_100_percent(
    artifacts: dict[UUID, list[float]],
) -> None:
    with FlowRunContext.model_construct():
        async with progress("Reading", 3) as following:
            for _ in range(3):
                await following.advance()
    [shares] = artifacts.values()
    assert (shares[0], shares[-1]) == (0.0, 100.0)
    assert shares == sorted(shares)


async def test_the_server_is_told_now_and_then_and_the_listeners_always(
    told: Told, artifacts: dict[UUID, list[float]]
) -> None:
    with FlowRunContext.model_construct():
        async with progress("Reading", 2000) as following:
            for _ in range(2000):
                await following.advance()
    [shares] = artifacts.values()
    assert len(told) == 2002
    assert len(shares) < 100


async def test_where_nothing_is_to_be_done_there_is_nothing_to_show(
    told: Told, artifacts: dict[UUID, list[float]]
) -> None:
    with FlowRunContext.model_construct():
        async with progress("Reading", 0):
            pass
    assert set(told) == {("Reading", 0, 0)}
    assert artifacts == {}


async def test_work_that_is_told_twice_is_never_more_than_all(
    told: Told, artifacts: dict[UUID, list[float]]
) -> None:
    with FlowRunContext.model_construct():
        async with progress("Reading", 3) as following:
            await following.advance(2)
            await following.advance(2)
    assert [done for _, done, _ in told] == [0, 2, 3, 3]
    [shares] = artifacts.values()
    assert shares[-1] == 100.0


async def test_work_goes_on_while_the_server_is_away(
    artifacts: dict[UUID, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.0)
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    update = module.aupdate_progress_artifact
    faults = iter([httpx.ConnectError("away"), None])

    async def away(artifact: UUID, share: float) -> UUID:
        fault = next(faults, "back")
        if isinstance(fault, Exception):
            raise fault
        if fault is None:
            await asyncio.sleep(60)
        return await update(artifact, share)

    monkeypatch.setattr(module, "aupdate_progress_artifact", away)
    with FlowRunContext.model_construct():
        async with progress("Reading", 3) as following:
            for _ in range(3):
                await following.advance()
    [shares] = artifacts.values()
    assert shares == [0.0, 100.0, 100.0]
