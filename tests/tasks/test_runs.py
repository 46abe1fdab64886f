import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.context import FlowRunContext, TaskRunContext
from prefect.states import Completed, Failed

from infra.budget import Budget, current_run
from infra.errors import (
    BudgetSpent,
    DatabaseError,
    DatabaseUnavailable,
    InputError,
    ModelRateLimited,
    ModelRejected,
    ModelUnavailable,
    ReplyMalformed,
)
from tasks.runs import charged, charged_to_task, is_transient, merged, together


@contextmanager
def in_flow(parent_task: UUID | None = None) -> Iterator[UUID]:
    """As inside a flow run; with ``parent_task``, one that another flow has called."""
    run = FlowRun(flow_id=uuid4(), parent_task_run_id=parent_task)
    with FlowRunContext.model_construct(flow_run=run):
        yield run.id


@given(st.lists(st.integers(0, 5)))
async def test_results_come_in_the_order_of_the_work_whatever_ends_first(turns: list[int]) -> None:
    ended: list[int] = []

    async def work(number: int) -> int:
        for _ in range(turns[number]):
            await asyncio.sleep(0)
        ended.append(number)
        return number

    assert await together(map(work, range(len(turns)))) == list(range(len(turns)))
    assert ended == sorted(ended, key=lambda number: turns[number]), "all at once"


async def test_the_first_error_ends_the_others_and_is_raised_itself() -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ModelUnavailable("nobody answers")

    with pytest.raises(ModelUnavailable, match="nobody answers"):
        await together([wait(), together([wait(), fail()]), wait()])
    assert ended == ["cancelled"] * 3


async def test_what_others_raise_while_they_are_ended_does_not_hide_the_first_error() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ModelUnavailable("nobody answers")

    async def break_off() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise InputError("half a file") from None

    with pytest.raises(ModelUnavailable, match="nobody answers"):
        await together([break_off(), fail(), break_off()])


async def test_who_is_cancelled_cancels_what_it_waits_for() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    waiting = asyncio.create_task(together([work()]))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()


def test_dicts_with_keys_of_their_own_become_one_in_their_order() -> None:
    assert list(merged([{3: "c", 1: "a"}, {}, {2: "b"}]).items()) == [(3, "c"), (1, "a"), (2, "b")]


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ModelUnavailable("503"), True),
        (ModelRateLimited("429"), True),
        (DatabaseUnavailable("shutting down"), True),
        (DatabaseError("refused"), False),
        (ModelRejected("wrong key"), False),
        (ReplyMalformed("no JSON"), False),
        (BudgetSpent("1 USD"), False),
        (httpx.ConnectError("Prefect's server is away"), True),
        (OSError("not ours"), False),
    ],
)
async def test_a_task_is_tried_again_only_after_a_transient_error(
    error: Exception, again: bool
) -> None:
    assert await is_transient(*cast("Any", (None, None, Failed(data=error)))) is again


async def test_what_came_to_a_result_is_not_tried_again() -> None:
    assert await is_transient(*cast("Any", (None, None, Completed(data="words")))) is False


async def test_a_flow_spends_its_own_budget_and_leaves_nothing_behind() -> None:
    before, own = current_run.get(), Budget(max_calls=3)
    with in_flow() as flow:
        async with charged(own) as budget:
            assert budget is own
            inside = current_run.get()
            assert (inside.root_run, inside.flow_run, inside.budget) == (flow, flow, own)
    assert current_run.get() is before


async def test_a_flow_that_is_called_by_another_spends_its_callers_budget() -> None:
    async with AsyncExitStack() as flows:
        root = flows.enter_context(in_flow())
        callers = await flows.enter_async_context(charged(Budget(max_calls=3)))
        outer = current_run.get()
        with in_flow(uuid4()) as nested:
            async with charged(Budget(max_calls=99)) as budget:
                assert budget is callers
                assert (current_run.get().root_run, current_run.get().flow_run) == (root, nested)
        assert current_run.get() is outer


async def test_a_flow_that_fails_leaves_nothing_behind_either() -> None:
    before = current_run.get()
    with pytest.raises(InputError), in_flow():
        async with charged(Budget()):
            raise InputError("no such file")
    assert current_run.get() is before


async def test_calls_of_a_task_are_its_own_and_its_flows() -> None:
    task = TaskRun(flow_run_id=None, task_key="ask", dynamic_key="0")
    with in_flow() as flow:
        async with charged(Budget()):
            with TaskRunContext.model_construct(task_run=task), charged_to_task():
                assert (current_run.get().flow_run, current_run.get().task_run) == (flow, task.id)
            assert current_run.get().task_run is None
