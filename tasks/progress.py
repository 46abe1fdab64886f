"""Progress of long work: a progress artifact in Prefect's UI, and whoever else listens.

Work never ends because its progress cannot be shown, nor waits long: Prefect's server may be away
for a while.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.context import FlowRunContext

Listener = Callable[[str, int, int], None]

listeners: list[Listener] = []  # called with (what, done, of): the terminal's bars
_PAUSE = 2.0  # seconds between two updates of the artifact: each is a request to the server
_PATIENCE = 5.0  # seconds that work waits for the server to take one
_log = logging.getLogger(__name__)


class Progress:
    """How much of some work is done."""

    def __init__(self, what: str, of: int) -> None:
        self.what, self.of, self.done = what, of, 0
        self._artifact: UUID | None = None
        self._told_at = float("-inf")
        self._telling = asyncio.Lock()

    async def advance(self, by: int = 1) -> None:
        """So much more is done; a task that is tried again may tell the same twice."""
        self.done = min(self.done + by, self.of)
        await self.tell(finished=False)

    async def tell(self, *, finished: bool) -> None:
        """Tell the listeners now, and the server now and then."""
        for listener in listeners:
            listener(self.what, self.done, self.of)
        if FlowRunContext.get() is None or not self.of:
            return
        if not finished and (self._telling.locked() or time.monotonic() - self._told_at < _PAUSE):
            return
        async with self._telling:
            self._told_at = time.monotonic()
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._show(100.0 * self.done / self.of)
            except (TimeoutError, httpx.HTTPError) as error:
                _log.warning("The progress of %s cannot be shown now: %r", self.what, error)

    async def _show(self, share: float) -> None:
        if self._artifact is None:
            made = await acreate_progress_artifact(share, description=self.what)
            self._artifact = made if isinstance(made, UUID) else made.id
        else:
            await aupdate_progress_artifact(self._artifact, share)


@asynccontextmanager
async def progress(what: str, of: int) -> AsyncIterator[Progress]:
    """Follow ``of`` pieces of work."""
    following = Progress(what, of)
    await following.tell(finished=False)
    yield following
    await following.tell(finished=True)
