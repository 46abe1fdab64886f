"""What every task knows of its run: whose calls they are, what they may cost, when to try again."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext, TaskRunContext
from prefect.runtime import flow_run as runtime

from infra.budget import Budget, current_run
from infra.errors import PatternsError
from tasks.prompt_labels import labelled_prompts
from tasks.prompts import labelled, load_prompt

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


@asynccontextmanager
async def charged(
    budget: Budget | None = None, prompts: Iterable[str] = ()
) -> AsyncIterator[Budget]:
    """Model calls made inside are the current flow run's, and count against its budget; prompts
    stay the versions that are in use now. One of ``prompts`` that is not in use is an InputError.

    A flow that is called by another one spends its caller's budget, on its caller's versions.
    """
    run, context = current_run.get(), FlowRunContext.get()
    flow_run = context.flow_run.id if context and context.flow_run else None
    flow = context.flow.name if context and context.flow else None
    if run.root_run is None:
        root = UUID(runtime.root_flow_run_id) if flow_run else None
        run = replace(run, root_run=root, budget=budget or Budget())
    versions = labelled.get()
    if versions is None:
        versions = await labelled_prompts()
    in_use = labelled.set(versions)
    token = current_run.set(replace(run, flow_run=flow_run, flow=flow))
    try:
        for name in prompts:
            load_prompt(name)
        yield run.budget
    finally:
        current_run.reset(token)
        labelled.reset(in_use)


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
    """Prefect's retry condition: only errors after which the same call may succeed."""
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, PatternsError) and error.transient


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
