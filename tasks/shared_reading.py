"""The map of a run, shared by several processes: its batches lie in PostgreSQL, and whoever is free
takes one.

A text lies there until it is read, or its run ends. Passages are in the packs that they would be in
otherwise, so the same is asked and the same comes out. A batch is taken under a lease: where its
reader dies, another one takes it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run as runtime
from prefect.states import Crashed

from infra.cancellation import to_its_end
from infra.errors import PatternsError, SettingsError
from infra.postgres import Connection, Jsonb, fetch, repeated
from infra.slots import HEARTBEAT, HOLDER, LEASE
from infra.sql import queries
from tasks.facts import extractor_of
from tasks.progress import Progress
from tasks.reading import Batch, read_batch
from tasks.runs import merged, together

SHARD = "shard"  # tag of the runs that help
AT_ONCE = 8  # batches that one process reads
_PAUSE = 1.0  # seconds between two looks at what others do
_log = logging.getLogger(__name__)


async def share(run: UUID, batches: Sequence[Batch]) -> None:
    """Put a run's batches where others find them, in place of what it may have put there before."""
    extractor = extractor_of("read")

    async def put(connection: Connection) -> None:
        await connection.execute(queries()["drop_batches"], {"root_run": run})
        rows = []
        for batch in batches:
            row = {"root_run": run, "number": batch.number, "extractor": extractor}
            found = await connection.execute(
                queries()["put_batch"], {**row, "passages": batch.size}
            )
            [put] = await found.fetchall()
            rows += [
                (put["id"], n, place, bytes.fromhex(sha256), text)
                for n, pack in enumerate(batch.packs)
                for place, (sha256, text) in enumerate(pack)
            ]
        async with connection.cursor().copy(queries()["copy_passages_to_read"]) as copy:
            copy.set_types(["int8", "int4", "int4", "bytea", "text"])
            for each in rows:
                await copy.write_row(each)

    await repeated(put)


async def unshare(run: UUID) -> None:
    """Leave nothing of a run's batches. Who is reading one keeps what he reads."""
    await fetch("drop_batches", {"root_run": run})


async def read_shared(run: UUID, *, to_the_end: bool = False) -> int:
    """Read a run's batches as long as there is one that nobody reads; how many passages that were.

    ``to_the_end``: also wait for those that others read, and take over what they leave. Raises
    SettingsError where other settings or another program than the run's would read otherwise, and
    what `read_batch` raises; what was taken is given back then.
    """
    async with _kept_up() as held:
        read = (_read_one_by_one(run, held, to_the_end) for _ in range(AT_ONCE))
        return sum(await together(read))


async def given_up(run: UUID) -> dict[str, str]:
    """Passages of a run's batches that were given up -> why."""
    return merged(row["given_up"] for row in await fetch("given_up_passages", {"root_run": run}))


@asynccontextmanager
async def followed(run: UUID, following: Progress) -> AsyncIterator[None]:
    """Tell of the progress of a run's batches, whoever reads them."""

    async def follow() -> None:
        while True:
            await asyncio.sleep(_PAUSE)
            [row] = await fetch("batches_of_run", {"root_run": run})
            await following.advance(row["read"] - following.done)

    async with _beside(follow()):
        yield
    await following.advance(following.of - following.done)


async def _read_one_by_one(run: UUID, held: set[int], to_the_end: bool) -> int:
    read = 0
    while True:
        if taken := await _take(run, held):
            read += taken
        elif to_the_end and (await fetch("batches_of_run", {"root_run": run}))[0]["unread"]:
            await asyncio.sleep(_PAUSE)
        else:
            return read


async def _take(run: UUID, held: set[int]) -> int:
    """Read one batch, if there is one that nobody reads; how many passages it had."""
    me = UUID(runtime.id) if runtime.id else None
    mine = {"root_run": run, "holder": HOLDER, "lease": LEASE, "flow_run": me}
    taking = asyncio.create_task(fetch("take_batch", mine))
    try:
        rows = await asyncio.shield(taking)
    except asyncio.CancelledError:
        await to_its_end(_untaken(taking))
        raise
    if not rows:
        return 0
    [taken] = rows
    held.add(taken["id"])
    try:
        _require_same(taken["extractor"])
        if taken["left_by"] not in (None, me):
            with passing("That a shard is dead cannot be said now"):
                await _say_dead(taken["left_by"])
        batch = await _batch(taken["id"], taken["number"])
        failed = await read_batch(batch, Progress("Reading passages", 0))
        await fetch("finish_batch", {"id": taken["id"], "given_up": Jsonb(failed)})
    except BaseException:
        await to_its_end(_give_back(taken["id"]))
        raise
    finally:
        held.discard(taken["id"])
    return batch.size


async def _untaken(taking: asyncio.Task[list[dict[str, Any]]]) -> None:
    """Give back what was being taken when nobody wanted it any more."""
    with suppress(PatternsError):  # nothing was taken, or the lease runs out
        for taken in await taking:
            await _give_back(taken["id"])


async def _give_back(batch: int) -> None:
    with suppress(PatternsError):  # the lease runs out
        await fetch("give_back_batch", {"id": batch, "holder": HOLDER})


async def _batch(id_: int, number: int) -> Batch:
    rows = await fetch("passages_of_batch", {"id": id_})
    packs = [
        [(row["passage"], row["text"]) for row in pack]
        for _, pack in groupby(rows, key=itemgetter("pack"))
    ]
    return Batch(number, packs)


def _require_same(extractor: str) -> None:
    """Raise SettingsError where the run's passages would be read in another way here."""
    if (ours := extractor_of("read")) != extractor:
        raise SettingsError(
            f"The run reads its passages as {extractor}, this worker would as {ours}: give it the "
            "run's program, PATTERNS_CHAT_MODEL, PATTERNS_FAST_MODEL and PATTERNS_PROMPT_LABEL. "
            "What it took was given back, and is read by others."
        )


async def _say_dead(run: UUID) -> None:
    """Mark a shard whose lease has run out: Prefect would count it as running for ever, and among
    the runs that its pool allows."""
    async with get_client() as client:
        found = await client.read_flow_run(run)
        if SHARD in found.tags and found.state and found.state.is_running():
            told = "Its process is gone. What it was reading is read by others."
            await client.set_flow_run_state(run, Crashed(message=told), force=True)


@contextmanager
def passing(what: str) -> Iterator[None]:
    """Go on where Prefect's server cannot be reached, or knows no more of a run: it shows what is
    read, and reads nothing. ``what`` is the warning."""
    try:
        yield
    except (httpx.HTTPError, ObjectNotFound) as error:
        _log.warning("%s: %r", what, error)


@asynccontextmanager
async def _kept_up() -> AsyncIterator[set[int]]:
    """Batches, whose leases are kept up as long as they are in the set."""
    held = set[int]()

    async def renew() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            # A database that is away for a moment is no reason to stop: leases outlive some beats.
            with suppress(PatternsError):
                mine = {"ids": list(held), "holder": HOLDER, "lease": LEASE}
                await fetch("renew_batches", mine)

    async with _beside(renew()):
        yield held


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    running = asyncio.create_task(work)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
