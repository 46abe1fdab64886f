"""PostgreSQL's LISTEN for this process: one connection of its own, opened when first waited on."""

import asyncio
from contextlib import suppress

import psycopg

from infra.postgres import database_url

CHANNEL = "patterns_calls"

_waiters: dict[str, set[asyncio.Future[None]]] = {}
_listeners: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}


async def notice(payload: str, patience: float) -> None:
    """Return when the payload is notified, or after ``patience`` seconds: look again then."""
    loop = asyncio.get_running_loop()
    if loop not in _listeners or _listeners[loop].done():
        _listeners[loop] = loop.create_task(_listen())
    future = loop.create_future()
    _waiters.setdefault(payload, set()).add(future)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await future
    finally:
        _waiters[payload].discard(future)
        if not _waiters[payload]:
            del _waiters[payload]


async def stop_listening() -> None:
    """End this loop's listener, when there is one."""
    listener = _listeners.pop(asyncio.get_running_loop(), None)
    if listener:
        listener.cancel()
        await asyncio.wait([listener])


async def _listen() -> None:
    # A lost connection ends the listener: waiters look again after their patience, and the next
    # of them starts a new one.
    with suppress(psycopg.OperationalError):
        url = await asyncio.to_thread(database_url)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(f"listen {CHANNEL}")
            async for notification in connection.notifies():
                for future in _waiters.get(notification.payload, ()):
                    if not future.done():
                        future.set_result(None)
