"""The calls that an event loop has in flight: alone on their key, on leased slots, kept alive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from weakref import WeakValueDictionary

from infra.cancellation import to_its_end
from infra.errors import PatternsError
from infra.notices import notice
from infra.postgres import fetch
from infra.providers import slots_of
from infra.slots import HEARTBEAT, HOLDER, LEASE, Slots

_AHEAD = 64  # calls that may be looked up while all slots are in use: hits need none
_POLL = 2.0  # seconds, beneath LISTEN, while another holder works on the same request


async def wait_for_call(key: bytes) -> None:
    """Wait for the holder of a call to have its reply, or to give it up; for `_POLL` at most."""
    if await fetch("wait_for_call", {"key": key, "lease": LEASE}):
        await notice(key.hex(), _POLL)


class CallsInFlight:
    """What one event loop shares: slots, calls in flight and the heartbeat that keeps both."""

    def __init__(self) -> None:
        self._slots: dict[str, Slots] = {}
        self._places: dict[str, asyncio.Semaphore] = {}
        self._readied: dict[str, asyncio.Semaphore] = {}
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

    def place(self, model: str) -> asyncio.Semaphore:
        """A place among the calls that are looked up or asked: 64 more than the model has slots.

        The others wait without a claim: of thousands, none would be sent before all had theirs.
        """
        return self._places.setdefault(model, asyncio.Semaphore(slots_of(model) + _AHEAD))

    def readied(self, model: str) -> asyncio.Semaphore:
        """A place among the calls that are made ready: twice as many as are looked up."""
        most = 2 * (slots_of(model) + _AHEAD)
        return self._readied.setdefault(model, asyncio.Semaphore(most))

    @asynccontextmanager
    async def holding(self, key: bytes) -> AsyncIterator[None]:
        """Keep the lease of a claimed call alive; give it back if no reply was kept."""
        self._held.add(key)
        if self._beat is None or self._beat.done():
            self._beat = asyncio.create_task(self._heartbeat())
        try:
            yield
        except BaseException:
            await to_its_end(fetch("release_call", {"key": key, "holder": HOLDER}))
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
