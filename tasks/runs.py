"""What every task knows of its run: whose calls they are, what they may cost, when to try again."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext, TaskRunContext
from prefect.runtime import flow_run as runtime

from infra.budget import Budget, current_run
from infra.errors import PatternsError
from infra.signs_of_life import alive
from tasks.prompt_labels import labelled_prompts
from tasks.prompts import labelled, load_prompt

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


@asynccontextmanager
async def charged(
    budget: Budget | None = None, prompts: Iterable[str] = (), root_run: UUID | None = None
) -> AsyncIterator[Budget]:
    """Model calls made inside are the current flow run's, and count against its budget; prompts
    stay the versions that are in use now. One of ``prompts`` that is not in use is an InputError.

    A flow that is called by another one spends its caller's budget, on its caller's versions.
    ``root_run``: the run that this one, which is none of its subflows, works for.
    """
    run, context = current_run.get(), FlowRunContext.get()
    flow_run = context.flow_run.id if context and context.flow_run else None
    flow = context.flow.name if context and context.flow else None
    outermost = run.root_run is None
    if outermost:
        if root_run is None and flow_run:
            root_run = UUID(runtime.root_flow_run_id)
        run = replace(run, root_run=root_run, budget=budget or Budget())
    versions = labelled.get()
    if versions is None:
        versions = await labelled_prompts()
    in_use = labelled.set(versions)
    token = current_run.set(replace(run, flow_run=flow_run, flow=flow))
    try:
        for name in prompts:
            load_prompt(name)
        async with alive(flow_run) if flow_run and outermost else nullcontext():
            yield run.budget
    finally:
        current_run.reset(token)
        labelled.reset(in_use)


@contextmanager
def apart(run: UUID, budget: Budget, tenant: str) -> Iterator[None]:
    """Model calls and steps made inside are those of a run of its own, with a budget of its own,
    and only what the same ``tenant`` has asked answers them: what is measured is held apart."""
    other = replace(current_run.get(), root_run=run, budget=budget, tenant=tenant)
    token = current_run.set(other)
    try:
        yield
    finally:
        current_run.reset(token)


@contextmanager
def charged_to_task() -> Iterator[None]:
    """Model calls made inside are the current task run's."""
    context = TaskRunContext.get()
    task_run = context.task_run.id if context else None
    token = current_run.set(replace(current_run.get(), task_run=task_run))
    try:
        yield
    finally:
        current_run.reset(token)


async def is_transient(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """Prefect's retry condition: only errors after which the same call may succeed; also that
    Prefect's own server cannot be reached."""
    error = await state.aresult(raise_on_failure=False)
    if isinstance(error, PatternsError):
        return error.transient
    return isinstance(error, httpx.TransportError)


RETRIED: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": 2,
    "retry_delay_seconds": 10,
    "retry_condition_fn": is_transient,
}
"""Of a task that waits on a model or the database: tried again after what may pass."""


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all at once, in order; the first error ends the others and is raised itself."""
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(each) for each in work]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from several
    return [each.result() for each in running]


def merged(parts: Iterable[dict[K, V]]) -> dict[K, V]:
    """Dicts with keys of their own as one."""
    return {key: value for part in parts for key, value in part.items()}
