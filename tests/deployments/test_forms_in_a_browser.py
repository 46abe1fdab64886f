"""What a user does in Prefect's UI on a platform with the sample data: every deployment's form is
sent, a schedule is switched on and fires, a report is read."""

import asyncio
import csv
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import FlowRunSort

from deployments.declaration import Declaration
from deployments.serve import declarations
from infra.fine_tuning import lacking
from tests.deployments.conftest import Terminal
from tests.deployments.test_review_in_a_browser import artifact_page
from tests.deployments.test_shards import worker
from tests.endpoint import Body, plausible, schema_of
from tests.flows.test_guarded_write import PAUSE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

EXAMPLES = Path(__file__).parents[2] / "examples"
TRAINING = {"train-specialist", "evaluate-specialist", "promote-specialist", "retrain-specialist"}
PATIENCE = 600  # seconds for a run


def answer(body: Body, n: int) -> str:
    """As somebody would answer who has read the request of the form `change-records`."""
    lists = (schema_of(body) or {}).get("properties", {})
    return json.dumps({"changes": [PAUSE]}) if "changes" in lists else plausible(body)


@pytest.fixture(scope="module")
def _samples(chromium: str, terminal: Terminal) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terminal.endpoint, "answer", answer)
        terminal.result("up")
        terminal.result("samples", str(EXAMPLES))
        yield


@pytest.fixture
async def client(_samples: None, api: str) -> AsyncIterator[PrefectClient]:
    async with PrefectClient(api) as client:
        yield client


@pytest.fixture
def shoot(page: Any, request: pytest.FixtureRequest) -> Any:
    """Takes a picture, where a folder for pictures is named."""
    folder = request.config.getoption("--screenshots")

    async def taken(name: str) -> None:
        if folder:
            await page.screenshot(path=folder / f"{name}.png")

    return taken


async def newest_run(client: PrefectClient, deployment: UUID) -> FlowRun | None:
    of_it = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    runs = await client.read_flow_runs(
        deployment_filter=of_it, sort=FlowRunSort.EXPECTED_START_TIME_DESC
    )
    sent = [run for run in runs if not run.auto_scheduled]
    return max(sent, key=lambda run: str(run.created), default=None)


async def sent_after(before: FlowRun | None, client: PrefectClient, deployment: UUID) -> UUID:
    """The run that a form has made since."""
    async with asyncio.timeout(60):
        while (run := await newest_run(client, deployment)) is None or (
            before is not None and run.id == before.id
        ):
            await asyncio.sleep(0.2)
    return run.id


async def settled(client: PrefectClient, run: UUID) -> str:
    """The name of the state in which a run has ended, or waits for a person."""
    async with asyncio.timeout(PATIENCE):
        while True:
            state = (await client.read_flow_run(run)).state
            if state and (state.is_final() or state.is_paused()):
                return state.name if not state.is_failed() else f"{state.name}: {state.message}"
            await asyncio.sleep(0.5)


@pytest.mark.parametrize("declared", declarations(), ids=lambda declared: declared.name)
async def test_a_deployments_form_is_sent_and_its_run_completes_or_waits_for_a_person(
    declared: Declaration,
    page: Any,
    client: PrefectClient,
    api: str,
    terminal: Terminal,
    shoot: Any,
) -> None:
    if declared.name in TRAINING and lacking():
        pytest.skip("training needs the extra `train`")
    flow = declared.load().name
    deployment = await client.read_deployment_by_name(f"{flow}/{declared.name}")
    await page.goto(f"{api.removesuffix('/api')}/deployments/deployment/{deployment.id}/run")
    send = page.get_by_role("button", name="Submit")
    await send.wait_for()
    if declared.load().parameters.properties:
        await page.get_by_text("Parameters").first.wait_for()
    if declared.name == "read-shard":  # made for the run of a summary, which is over here
        await page.get_by_role("textbox").nth(1).fill(str(uuid4()))
    await shoot(f"form-{declared.name}")
    before = await newest_run(client, deployment.id)
    await send.click()
    run = await sent_after(before, client, deployment.id)
    with worker(terminal, "forms") if declared.work_pool else nullcontext():
        state = await settled(client, run)
    assert state in ("Completed", "Suspended"), state
    await page.goto(f"{api.removesuffix('/api')}/runs/flow-run/{run}")
    await page.get_by_text("Artifacts").first.wait_for()
    await shoot(f"run-{declared.name}")
    if declared.name == "promote-specialist":  # so that what follows has a champion
        [review] = [
            each
            for each in terminal.result("review", "list")["reviews"]
            if each["root_run"] == str(run)
        ]
        told = ("--by", "Ann", "--sha256", review["sha256"])
        terminal.result("review", "approve", str(review["id"]), *told)
        assert await settled(client, run) == "Completed"


async def test_a_report_is_read_on_the_page_of_its_artifact(
    page: Any, client: PrefectClient, api: str, terminal: Terminal, shoot: Any
) -> None:
    deployment = await client.read_deployment_by_name("summarize-corpus/summarize-corpus")
    run = await client.create_flow_run_from_deployment(deployment.id)
    assert await settled(client, run.id) == "Completed"
    await page.goto(await artifact_page(client, api, run.id))
    [kept] = terminal.result("corpus", "list")["corpora"]
    await page.get_by_text(f"what {kept['records']} tickets say").first.wait_for()
    await shoot("report")


async def test_a_schedule_that_is_switched_on_fires(
    page: Any, client: PrefectClient, api: str, shoot: Any
) -> None:
    deployment = await client.read_deployment_by_name("report-costs/report-costs")
    every_minute = DeploymentScheduleCreate(
        schedule=CronSchedule(cron="* * * * *"), active=False, slug="every-minute"
    )
    [made] = await client.create_deployment_schedules(deployment.id, [every_minute])
    try:
        await page.goto(f"{api.removesuffix('/api')}/deployments/deployment/{deployment.id}")
        row = page.locator("[class*=schedule-card]", has_text="minute")
        await row.get_by_role("switch").or_(row.locator("[class*=toggle]")).first.click()
        await shoot("schedule")

        async def fired() -> bool:
            of_it = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
            runs = await client.read_flow_runs(deployment_filter=of_it)
            return any(
                run.auto_scheduled and run.state and run.state.is_completed() for run in runs
            )

        async with asyncio.timeout(PATIENCE):
            while not await fired():
                await asyncio.sleep(1)
    finally:
        await client.delete_deployment_schedule(deployment.id, made.id)


async def test_no_ticket_of_the_corpus_stands_in_a_log_or_in_a_runs_parameters(
    terminal: Terminal, client: PrefectClient
) -> None:
    with (EXAMPLES / "tickets.csv").open(encoding="utf-8", newline="") as file:
        said = [row["body"][:50] for row in csv.DictReader(file) if len(row["body"]) > 50]
    told = [
        path.read_text(encoding="utf-8", errors="replace")
        for path in (terminal.home / "data" / "services").glob("*.log*")
    ]
    start = 0
    while logs := await client.read_logs(limit=200, offset=start):
        told += [log.message for log in logs]
        start += len(logs)
    told += [json.dumps(run.parameters) for run in await client.read_flow_runs()]
    assert len(said) > 50
    assert len(told) > 100
    assert not [text for text in said for log in told if text in log]
