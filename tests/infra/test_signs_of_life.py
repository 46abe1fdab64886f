"""Runs whose process lives are told from those that count as running for ever."""

import asyncio
import os
import signal
import subprocess
import sys
from uuid import UUID, uuid4

import pytest

from infra import signs_of_life as life
from infra.postgres import fetch
from infra.signs_of_life import alive, signs_of_life

pytestmark = pytest.mark.usefixtures("database")

DIES = """
import asyncio, os, signal
from uuid import UUID
from infra.signs_of_life import alive
async def main():
    async with alive(UUID({run!r})):
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


async def fresh(run: UUID) -> bool | None:
    sign = (await signs_of_life([run])).get(run)
    return sign and sign.fresh


async def test_a_run_that_never_gave_a_sign_has_none() -> None:
    assert await fresh(uuid4()) is None


async def test_a_run_that_has_ended_is_silent_soon_and_not_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = uuid4()
    async with alive(run):
        assert await fresh(run)
    assert await fresh(run)
    monkeypatch.setattr(life, "LEASE", 0.0)
    assert await fresh(run) is False


async def test_a_run_whose_process_is_killed_gives_no_more_signs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = uuid4()
    code = DIES.format(run=str(run))
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert await fresh(run)
    monkeypatch.setattr(life, "LEASE", 0.0)
    assert await fresh(run) is False


async def test_a_run_that_works_on_gives_signs_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(life, "_HEARTBEAT", 0.05)
    run = uuid4()
    async with alive(run):
        first = (await signs_of_life([run]))[run]
        while (await signs_of_life([run]))[run].at == first.at:
            await asyncio.sleep(0.05)


async def test_who_has_gone_on_with_a_run_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "_HEARTBEAT", 0.02)
    run, other = uuid4(), uuid4()
    async with alive(run):
        await fetch("first_sign_of_life", {"flow_run": run, "holder": other})
        his = (await signs_of_life([run]))[run]
        await asyncio.sleep(0.2)
    assert (await signs_of_life([run]))[run].at == his.at
