"""The calls that an event loop has in flight: alone on their key, on leased slots, kept alive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from weakref import WeakValueDictionary

from infra.errors import PatternsError
from infra.notices import notice
from infra.postgres import fetch
from infra.slots import HEARTBEAT, HOLDER, LEASE, Slots

_POLL = 2.0  # seconds, beneath LISTEN, while another holder works on the same request


async def wait_for_call(key: bytes) -> None:
    """Wait for the holder of a call to have its reply, or to give it up; for `_POLL` at most."""
    if await fetch("wait_for_call", {"key": key, "lease": LEASE}):
        await notice(key.hex(), _POLL)


class CallsInFlight:
    """What one event loop shares: slots, calls in flight and the heartbeat that keeps both.

    ``answered``: replies so far, by model.
    """

    def __init__(self) -> None:
        self.answered: dict[str, int] = {}
        self._slots: dict[str, Slots] = {}
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        self._held: set[bytes] = set()
        self._beat: asyncio.Task[None] | None = None

    def slots(self, model: str) -> Slots:
        """This process's slots of a model."""
        return self._slots.setdefault(model, Slots(model))

    @asynccontextmanager
    async def alone(self, key: bytes) -> AsyncIterator[None]:
        """Single flight within the process: equal requests go one after another."""
        async with self._locks.setdefault(key, asyncio.Lock()):
            yield

    @asynccontextmanager
    async def holding(self, key: bytes) -> AsyncIterator[None]:
        """Keep the lease of a claimed call alive; give it back if no reply was kept."""
        self._held.add(key)
        if self._beat is None or self._beat.done():
            self._beat = asyncio.create_task(self._heartbeat())
        try:
            yield
        except BaseException:
            await asyncio.shield(fetch("release_call", {"key": key, "holder": HOLDER}))
            raise
        finally:
            self._held.discard(key)

    async def _heartbeat(self) -> None:
        busy = True
        while busy:
            await asyncio.sleep(HEARTBEAT)
            busy = bool(self._held)
            # A database that is away for a moment is no reason to stop: leases outlive some beats.
            with suppress(PatternsError):
                params = {"keys": list(self._held), "holder": HOLDER, "lease": LEASE}
                await fetch("renew_calls", params)
                for slots in self._slots.values():
                    await slots.lease()

    def stop(self) -> None:
        """End the heartbeat."""
        if self._beat:
            self._beat.cancel()
