"""Work that has to be finished, whoever is cancelled meanwhile."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """What the work returns. Who is cancelled while he waits for it goes on waiting, and is
    cancelled then: `asyncio.shield` alone would leave the work behind, unfinished."""
    doing = asyncio.ensure_future(work)
    try:
        await asyncio.wait([doing])
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        raise
    return doing.result()
