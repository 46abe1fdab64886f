"""Processes that ask the model at the same time, each with an event loop and a pool of its own.

ready?  ◀── each, once it is warm ──┐
go      ──▶ all at once             │ a process
waits   ◀── each, when it is done ──┘
"""

import asyncio
import multiprocessing
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Literal
from uuid import UUID

from infra.llm import Reply, close_door, complete, open_door
from infra.providers import model_of
from infra.request import Request
from infra.slots import HOLDER
from tasks.prompts import load_prompt

PROMPT = "classify_ticket"
_AT_ONCE = 16  # misses in flight of one process while entries are made
_WARM = 20  # hits before those that count

Door = Literal["complete", "ask"]
Question = Callable[[], Awaitable[Reply]]
Ready = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Waits:
    """Seconds that each question took, and when the first was asked and the last answered, on a
    clock that all processes of the machine share. ``served_by`` counts who answered."""

    seconds: list[float]
    started: float
    ended: float
    served_by: dict[str, int]


@dataclass(frozen=True)
class Asker:
    """A process that asks; ``holder`` is its name in every lease."""

    process: BaseProcess
    pipe: Connection
    holder: UUID

    def waits(self) -> Waits:
        """What it says when it is done."""
        said: Waits = self.pipe.recv()
        return said


@contextmanager
def asking(
    processes: int, work: Callable[..., Awaitable[Waits]], *args: Any
) -> Iterator[list[Asker]]:
    """Processes of which each does ``work(turn, ready, *args)``, from when all are ready."""
    spawning = multiprocessing.get_context("spawn")
    started = []
    for turn in range(processes):
        ours, theirs = spawning.Pipe()
        process = spawning.Process(target=_run, args=(theirs, work, turn, args), daemon=True)
        process.start()
        theirs.close()  # so that a process that dies is seen to
        started.append((process, ours))
    try:
        askers = [Asker(process, pipe, pipe.recv()) for process, pipe in started]
        for asker in askers:
            asker.pipe.send("go")
        yield askers
        for process, _ in started:
            process.join(30)
    finally:
        for process, _ in started:
            process.kill()


async def hits(turn: int, ready: Ready, door: Door, entries: int, count: int) -> Waits:
    """Kept entries drawn by lot, one after another."""
    drawn = random.Random(turn).choices(range(entries), k=_WARM + count)
    asked = list(_through_ask(drawn) if door == "ask" else _through_complete(drawn))
    await _at_once(asked[:_WARM], 1)
    await ready()
    waits = await _at_once(asked[_WARM:], 1)
    if set(waits.served_by) != {"exact"}:
        raise SystemExit(f"These should be hits, all of them: {waits.served_by}")
    return waits


async def same(turn: int, ready: Ready, entry: int, count: int) -> Waits:
    """One question, so many times at once; the first entry is a kept one, to be warm."""
    await complete(request(0))
    await ready()
    return await _at_once(_through_complete([entry] * count), count)


async def filling(turn: int, ready: Ready, entries: int, processes: int) -> Waits:
    """Every n-th entry, from the model."""
    await ready()
    return await _at_once(_through_complete(range(turn, entries, processes)), _AT_ONCE)


def request(entry: int) -> Request:
    """What `tasks.asking.ask` makes of a ticket."""
    prompt, inputs = load_prompt(PROMPT), _inputs(entry)
    return Request(
        prompt=prompt.name,
        version=prompt.version,
        model=model_of(prompt.model),
        messages=prompt.render(inputs),
        fills=prompt.reply_model,
        max_tokens=prompt.max_tokens,
        inputs=inputs,
    )


def _inputs(entry: int) -> dict[str, str]:
    return {"ticket": f"I was charged twice for the order {entry:06}, please refund one payment."}


def _through_complete(entries: Iterable[int]) -> Iterator[Question]:
    return (partial(complete, request(entry)) for entry in entries)


def _through_ask(entries: Iterable[int]) -> Iterator[Question]:
    from tasks.asking import ask  # Prefect takes seconds to import

    return (partial(ask, PROMPT, _inputs(entry)) for entry in entries)


async def _at_once(questions: Iterable[Question], most: int) -> Waits:
    """Ask, at most so many at once."""
    left, seconds, served_by = iter(questions), list[float](), dict[str, int]()

    async def one_after_another() -> None:
        for question in left:
            asked = time.monotonic()
            reply = await question()
            seconds.append(time.monotonic() - asked)
            served_by[reply.served_by] = served_by.get(reply.served_by, 0) + 1

    started = time.monotonic()
    await asyncio.gather(*(one_after_another() for _ in range(most)))
    return Waits(seconds, started, time.monotonic(), served_by)


def _run(pipe: Connection, work: Callable[..., Awaitable[Waits]], turn: int, args: Any) -> None:
    asyncio.run(_work(pipe, work, turn, args))


async def _work(
    pipe: Connection, work: Callable[..., Awaitable[Waits]], turn: int, args: Any
) -> None:
    async def ready() -> None:
        pipe.send(HOLDER)
        pipe.recv()

    await open_door()
    try:
        pipe.send(await work(turn, ready, *args))
    finally:
        await close_door()
