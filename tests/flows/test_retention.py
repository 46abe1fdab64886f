"""What is old goes, and nothing that somebody still needs."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowFilter,
    FlowFilterName,
)
from prefect.exceptions import ObjectNotFound

from flows.prompt_service import answer_prompt
from flows.retention import apply_retention, our_flows
from infra.postgres import fetch, transaction
from tasks import retention, review_output
from tasks.answers import PromptRequest
from tasks.retention import Dropped, RetentionRequest
from tasks.reviews import reviews
from tasks.runs import charged
from tasks.steps import once
from tests.endpoint import ScriptedEndpoint
from tests.flows.waiting_runs import start

pytestmark = pytest.mark.usefixtures("database")

LABEL = '{"category": "billing", "urgency": "low", "summary": "A refund."}'
ASKED = PromptRequest(prompt="classify_ticket", inputs={"ticket": "Charged twice"})
HELD_BACK = PromptRequest(prompt="classify_ticket", inputs={"ticket": "Charged twice"}, review=True)


@flow(name="of-another-project")
def of_another_project() -> None:
    """A run that is not ours to drop."""


@flow(name="of-a-colleague")
async def of_a_colleague() -> None:
    """A run that fails after a step that lasts, as one of ours might that may be resumed."""

    async def worked() -> str:
        return "done"

    async with charged():
        await once("worked", worked, str)
        raise ArithmeticError


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, endpoint: ScriptedEndpoint) -> None:
    monkeypatch.setattr(review_output, "POLL_SECONDS", 0.1)
    endpoint.answer = lambda body, n: LABEL


@pytest.fixture
def _all_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    monkeypatch.setattr(retention, "_before", lambda days: later)


async def runs_of(name: str) -> list[UUID]:
    named = FlowFilter(name=FlowFilterName(any_=[name]))
    async with get_client() as client:
        return [run.id for run in await client.read_flow_runs(flow_filter=named)]


async def count(table: str) -> int:
    async with transaction() as connection:
        cursor = await connection.execute(f"select count(*) as n from patterns.{table}")  # type: ignore[arg-type]
        row = await cursor.fetchone()
    assert row
    return int(row["n"])


async def test_what_is_young_is_kept() -> None:
    await answer_prompt(ASKED)
    before = await runs_of("answer-prompt")
    dropped = await apply_retention(RetentionRequest())
    assert dropped == Dropped(runs=0, artifacts=0, steps=0, ledger=0, replies=0, reports=0)
    assert await runs_of("answer-prompt") == before
    assert await count("ledger") == 1


@pytest.mark.usefixtures("_all_is_old")
async def test_ended_runs_go_with_their_artifacts_and_ledger_rows_and_other_projects_stay() -> None:
    of_another_project()
    before = set(await runs_of("answer-prompt"))
    await answer_prompt(ASKED)
    [ended] = set(await runs_of("answer-prompt")) - before
    dropped = await apply_retention(RetentionRequest())
    assert dropped.runs >= 1
    assert dropped.artifacts >= 1
    assert dropped.ledger == 1
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[ended]))
    async with get_client() as client:
        with pytest.raises(ObjectNotFound):
            await client.read_flow_run(ended)
        assert await client.read_artifacts(artifact_filter=of_run) == []
    assert await runs_of("of-another-project")


@pytest.mark.usefixtures("_all_is_old")
async def test_a_run_that_waits_for_a_person_goes_on_however_old_it_is() -> None:
    run = start(answer_prompt, HELD_BACK)
    await run.paused("review-1-1")
    kept = await count("steps")
    dropped = await apply_retention(RetentionRequest())
    assert kept > 0
    assert (dropped.steps, await count("steps")) == (0, kept)
    await run.answer("review-1-1", {"decision": "approve", "reviewer": "Ann"})
    assert (await run.task).released_by == "Ann"
    assert (await apply_retention(RetentionRequest())).steps == kept
    assert len(await reviews("all")) == 1


@pytest.mark.usefixtures("_all_is_old")
async def test_the_old_steps_of_a_run_stay_until_it_is_dropped_itself() -> None:
    with pytest.raises(ArithmeticError):
        await of_a_colleague()
    assert (await apply_retention(RetentionRequest())).steps == 0  # it may be resumed
    async with get_client() as client:
        for run in await runs_of("of-a-colleague"):
            await client.delete_flow_run(run)
    assert (await apply_retention(RetentionRequest())).steps == 1


@pytest.mark.usefixtures("_all_is_old")
async def test_the_steps_of_a_run_that_is_gone_stay_while_nobody_has_decided_its_review() -> None:
    run = start(answer_prompt, HELD_BACK)
    await run.paused("review-1-1")
    gone = {"before": datetime.now(UTC) + timedelta(hours=1), "there": []}
    [row] = await fetch("drop_steps", gone)
    assert row["dropped"] == 0
    await run.answer("review-1-1", {"decision": "approve", "reviewer": "Ann"})
    await run.task
    [row] = await fetch("drop_steps", gone)
    assert row["dropped"] > 0


@pytest.mark.usefixtures("_all_is_old")
async def test_reports_go_from_the_data_directory_and_nothing_else_there(
    session_home: Path,
) -> None:
    reports = session_home / "reports"
    shutil.rmtree(reports, ignore_errors=True)  # those of other tests are old here, too
    old, other = reports / "tickets-20250101-030000-000000", reports / "by-hand"
    for folder in (old, other):
        folder.mkdir(parents=True)
        (folder / "report.html").write_text("<p>")
    assert (await apply_retention(RetentionRequest())).reports == 1
    assert not old.exists()
    assert other.exists()


def test_every_flow_that_runs_as_a_deployment_is_ours() -> None:
    from deployments.serve import declarations

    assert {declared.load().name for declared in declarations()} <= {*our_flows()}
