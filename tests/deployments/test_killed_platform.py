"""Whatever of the platform is killed with -9, idle or at work: `patterns up` again, and nothing is
lost."""

import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prefect.client.orchestration import PrefectClient

from tests.deployments.conftest import Terminal
from tests.deployments.test_platform import DEPLOYMENT, eventually, reached, triggered

SERVICES = ("serve", "prefect", "postgres")


@pytest.fixture
async def client(api: str) -> AsyncIterator[PrefectClient]:
    async with PrefectClient(api) as client:
        yield client


def killed(terminal: Terminal, service: str) -> None:
    os.kill(terminal.pid(service), signal.SIGKILL)
    terminal.result("up")


async def active(client: PrefectClient) -> list[bool]:
    deployment = await client.read_deployment_by_name(DEPLOYMENT)
    return [schedule.active for schedule in deployment.schedules]


async def test_a_review_waits_on_and_schedules_go_on_whatever_was_killed_while_nobody_worked(
    terminal: Terminal, client: PrefectClient
) -> None:
    run = await triggered(client, "Killed while it waits", review=True)
    await reached(client, run, "Suspended", "review-1-1")
    asked = len(terminal.endpoint.calls)
    for service in SERVICES:
        killed(terminal, service)
        await reached(client, run, "Suspended", "review-1-1")
        assert await active(client) == [True]
    [review] = [
        r for r in terminal.result("review", "list")["reviews"] if r["root_run"] == str(run)
    ]
    terminal.result(
        "review", "approve", str(review["id"]), "--by", "Ann", "--sha256", review["sha256"]
    )
    await reached(client, run, "Completed")
    assert len(terminal.endpoint.calls) == asked
    assert terminal.result("review", "verify")["faults"] == []


@pytest.mark.parametrize("service", SERVICES)
async def test_a_run_ends_whole_whatever_was_killed_while_it_worked(
    service: str, terminal: Terminal, client: PrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = len(terminal.endpoint.calls)
    monkeypatch.setattr(terminal.endpoint, "latency", 6)
    run = await triggered(client, f"Killed at work: {service}")

    async def is_at_work() -> bool:
        return len(terminal.endpoint.calls) > asked

    await eventually(is_at_work)
    killed(terminal, service)

    async def has_ended() -> bool:
        state: Any = (await client.read_flow_run(run)).state
        return bool(state and state.is_final())

    await eventually(has_ended)
    found = await client.read_flow_run(run)
    assert found.state
    if not found.state.is_completed():  # what had failed goes on, as doctor and README say
        terminal.result("resume", found.name)
        await reached(client, run, "Completed")
    assert len(terminal.endpoint.calls) - asked <= 2
