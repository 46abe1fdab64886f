"""Shards as workers of many machines have them: processes of their own, one of which is killed."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pandas as pd
import psycopg
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import WorkPoolStatus
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.serve import register_pooled
from deployments.worker import _require_same_database
from infra.errors import SettingsError
from tasks.shards import POOL, Shard, end_those_that_never_began, start
from tests.deployments.conftest import Terminal
from tests.deployments.test_platform import processes_with
from tests.endpoint import Body, plausible, schema_of

TICKETS = Path(__file__).parents[2] / "examples" / "tickets.csv"
SMALL_PACKS = {
    "PATTERNS_CHAT_CONTEXT_TOKENS": "1250",  # one or two tickets a call
    "PATTERNS_CHAT_TIMEOUT": "600",  # calls wait here until workers have started
}
MARK = "TESTED_WORKER"  # in the environment of a worker and of what it starts
QUICK = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_HEARTBEAT_SECONDS": "1"}


@contextmanager
def worker(terminal: Terminal, name: str, **variables: str) -> Iterator[None]:
    """A worker, which ends with what it has started."""
    command = [Path(sys.executable).with_name("patterns"), "worker", "--limit", "1", "--name", name]
    with (
        (terminal.home / f"{name}.log").open("wb") as log,
        subprocess.Popen(
            command,
            env=terminal.variables | variables | QUICK | {MARK: name},
            cwd=terminal.home,
            stdout=log,
            stderr=log,
        ),
    ):
        try:
            yield
        finally:
            kill(name)


def kill(name: str) -> None:
    """End a worker and the shard that it runs at once, as a machine that breaks down does."""
    for process in processes_with(f"{MARK}={name}"):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def readers(database: str) -> set[UUID]:
    """Runs that are reading now."""
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "select distinct flow_run from patterns.batches_to_read where held_until > now()"
        )
        return {row[0] for row in rows}


def texts_left(database: str) -> int:
    with psycopg.connect(database) as connection:
        [(left,)] = connection.execute("select count(*) from patterns.passages_to_read")
    return int(left)


async def test_a_run_whose_shards_read_for_it_and_die_says_the_same_as_one_without(
    terminal: Terminal, database: str, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads_on = threading.Event()

    def reply(body: Body, n: int) -> str:
        if "P1" in (schema_of(body) or {}).get("properties", {}):
            reads_on.wait()
        return plausible(body)

    monkeypatch.setattr(terminal.endpoint, "answer", reply)
    pd.read_csv(TICKETS, dtype=str).head(60).to_csv(terminal.home / "shards.csv", index=False)
    terminal.result("env")  # the server is there before three processes want it
    shared = {**SMALL_PACKS, "PATTERNS_DATABASE_URL": database}

    def summarize(folder: str, *options: str, **variables: str) -> Any:
        done = terminal.patterns(
            *("summarize", "shards.csv", "--strategy", "read", "--out", folder, *options),
            **variables,
        )
        assert done.returncode == 0, done.stderr
        return (terminal.home / folder / "findings.parquet").read_bytes()

    with (
        worker(terminal, "lives", **shared),
        worker(terminal, "dies", **shared),
        ThreadPoolExecutor() as other,
    ):
        reads_on.set()
        alone = summarize("alone", **SMALL_PACKS, PATTERNS_DATABASE_URL=empty_database)
        reads_on.clear()
        helped = other.submit(summarize, "helped", "--shards", "2", **shared)
        try:
            while len(readers(database)) < 3:
                assert not helped.done(), helped.result()
                time.sleep(0.1)
            kill("dies")
        finally:
            reads_on.set()
        assert helped.result() == alone
    assert texts_left(database) == 0
    async with PrefectClient(str(terminal.result("env")["PREFECT_API_URL"])) as client:
        states = {
            run.name.rpartition("-shard-")[2]: run.state_name
            for run in await client.read_flow_runs()
            if "shard" in run.tags
        }
    assert sorted(map(str, states.values())) == ["Completed", "Crashed"]
    asked = len(terminal.endpoint.calls)
    assert summarize("again", **shared) == alone
    assert len(terminal.endpoint.calls) == asked


async def no_worker_is_known(terminal: Terminal) -> None:
    """Wait until Prefect's server has missed those that were killed."""
    async with PrefectClient(str(terminal.result("env")["PREFECT_API_URL"])) as client:
        with suppress(ObjectNotFound):
            while (await client.read_work_pool(POOL)).status == WorkPoolStatus.READY:
                await asyncio.sleep(0.5)


async def test_where_nobody_serves_the_pool_the_run_says_so_and_reads_alone(
    terminal: Terminal, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await no_worker_is_known(terminal)
    monkeypatch.setattr(terminal.endpoint, "answer", lambda body, n: plausible(body))
    pd.read_csv(TICKETS, dtype=str).head(6).to_csv(terminal.home / "few.csv", index=False)
    done = terminal.patterns(
        *("summarize", "few.csv", "--strategy", "read", "--shards", "2"),
        PATTERNS_DATABASE_URL=database,
    )
    assert done.returncode == 0, done.stderr
    assert "No worker serves the pool patterns" in done.stderr
    assert "6 tickets: 6 covered" in done.stderr
    assert texts_left(database) == 0


@pytest.mark.usefixtures("api")
def test_a_worker_that_a_script_started_in_the_background_ends_when_it_is_told_to(
    terminal: Terminal,
) -> None:
    log = terminal.home / "background.log"
    patterns = Path(sys.executable).with_name("patterns")
    with log.open("wb") as output:
        started = subprocess.Popen(
            ["sh", "-c", f"{patterns} worker >&2 & echo $!; wait"],
            env=terminal.variables | QUICK,
            cwd=terminal.home,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
    with started:
        assert started.stdout is not None
        process = int(started.stdout.readline())
        deadline = time.monotonic() + 90
        while "started!" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.2)
        os.kill(process, signal.SIGTERM)
        try:
            started.communicate(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


async def test_a_run_that_starts_anew_starts_no_shard_twice_and_none_is_left_waiting(
    terminal: Terminal,
) -> None:
    url = str(terminal.result("env")["PREFECT_API_URL"])
    with temporary_settings({PREFECT_API_URL: url}):
        await register_pooled()
        await register_pooled()
        shard = Shard(run=uuid4())
        first = await start(shard, 2)
        assert await start(shard, 2) == first
        await end_those_that_never_began(first)
        async with PrefectClient(url) as client:
            assert {(await client.read_flow_run(run)).state_name for run in first} == {"Cancelled"}
            assert (await client.read_work_pool(POOL)).concurrency_limit == 64
        later = await start(shard, 2)
        assert set(later).isdisjoint(first), "what was cancelled may be started again"
        await end_those_that_never_began(later)


def test_a_worker_for_another_machines_server_needs_a_database_that_both_reach() -> None:
    _require_same_database("http://127.0.0.1:4200/api")
    with pytest.raises(SettingsError, match="PATTERNS_DATABASE_URL is unset"):
        _require_same_database("http://prefect.example.com:4200/api")
