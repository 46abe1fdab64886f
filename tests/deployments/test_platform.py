"""The platform end to end: real server, real PostgreSQL, deployments served, processes killed."""

import asyncio
import json
import os
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from infra import embedded_postgres
from infra.background import running_service, stop_service
from tests.deployments.conftest import LABEL, Terminal

DEPLOYMENT = "answer-prompt/answer-prompt"
SERVICES = ("serve", "prefect", "postgres")
RUN = """
import asyncio
from flows.prompt_service import answer_prompt
from tasks.answers import PromptRequest
request = PromptRequest(prompt="classify_ticket", inputs={"ticket": "from plain Python"})
print(asyncio.run(answer_prompt(request)).reply)
"""
BACKGROUND = """
from tasks.answering import answer_in_background
from tasks.answers import PromptRequest
request = PromptRequest(prompt="classify_ticket", inputs={"ticket": "in the background"})
print(answer_in_background.delay(request).result(timeout=60).reply)
"""
# What a notebook does: its event loop runs already, and a cell may await.
NOTEBOOK = """
import ast, asyncio
cells = [
    "from flows.prompt_service import answer_prompt",
    "request = {'prompt': 'classify_ticket', 'inputs': {'ticket': 'from a notebook'}}",
    "print((await answer_prompt(request)).reply)",
]
async def kernel():
    names = {}
    for cell in cells:
        code = compile(cell, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if (waiting := eval(code, names)) is not None:
            await waiting
asyncio.run(kernel())
"""


@pytest.fixture
async def client(api: str) -> AsyncIterator[PrefectClient]:
    async with PrefectClient(api) as client:
        yield client


async def triggered(client: PrefectClient, ticket: str, *, review: bool = False) -> UUID:
    request = {"prompt": "classify_ticket", "inputs": {"ticket": ticket}, "review": review}
    run = await arun_deployment(
        DEPLOYMENT, parameters={"request": request}, timeout=0, client=client
    )
    return run.id


async def reached(client: PrefectClient, run: UUID, state: str, key: str | None = None) -> FlowRun:
    """The run, once it is in that state (and, where it waits, waits under that key)."""
    async with asyncio.timeout(180):
        while True:
            found = await client.read_flow_run(run)
            now = found.state
            assert now is not None
            if now.name == state and key in (None, now.state_details.pause_key):
                return found
            assert not now.is_final(), now
            await asyncio.sleep(0.2)


async def decided(client: PrefectClient, run: UUID, key: str, review: dict[str, str]) -> str:
    """Answer a run that waits under the key; what it showed above its form."""
    await reached(client, run, "Suspended", key)
    shown: list[str] = []

    async def form_is_there() -> bool:  # Prefect stores it after the state
        stored = await client.filter_flow_run_input(run, f"suspended-{key}-", 10, set())
        shown[:] = [json.loads(i.value) for i in stored if i.key.endswith("-description")]
        return bool(shown)

    await eventually(form_is_there)
    resumed = await client.resume_flow_run(run, run_input=review)
    assert resumed.status.value == "ACCEPT", resumed.details
    return shown[0]


async def artifact(client: PrefectClient, run: UUID) -> str:
    """The one Markdown artifact that a run has left."""
    wanted = {"flow_run_id": {"any_": [str(run)]}, "type": {"any_": ["markdown"]}}
    found = await client._client.post("/artifacts/filter", json={"artifacts": wanted})
    [left] = found.json()
    return str(left["data"])


def forget_replies(terminal: Terminal) -> None:
    """Empty the cache, so that whoever asks again gets another reply."""
    url = embedded_postgres.ensure_running(terminal.home / "data")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("delete from patterns.calls")


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(120):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.2)


def with_printed_environment(terminal: Terminal, source: str) -> str:
    """What plain Python prints when it runs the source with what `patterns env` has printed."""
    path = f"{Path(sys.executable).parent}:{terminal.variables['PATH']}"
    command = f'eval "$(patterns env)" && python -c {shlex.quote(source)}'
    done = terminal.run("sh", "-c", command, PATH=path)
    assert done.returncode == 0, done.stderr
    return done.stdout


def processes_with(text: str) -> list[int]:
    """Processes that carry the text in their environment or command, but this one (Linux)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:  # it ended meanwhile
            continue
        if text.encode() in told and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


async def test_the_server_is_a_quiet_one_on_postgresql_with_room_for_many_task_runs(
    api: str,
) -> None:
    async with httpx.AsyncClient(base_url=api) as http:
        settings = (await http.get("/admin/settings")).json()["server"]
        foreign = await http.get("/health", headers={"Origin": "https://example.org"})
        ui = await http.get(api.removesuffix("/api"))
    assert settings["analytics_enabled"] is False
    assert settings["services"]["task_run_recorder"]["batch_size"] == 100
    assert settings["services"]["event_persister"]["batch_size"] == 200
    assert "access-control-allow-origin" not in foreign.headers
    assert "<html" in ui.text


@pytest.mark.usefixtures("api")
def test_everything_is_in_patterns_home_and_in_its_postgresql(terminal: Terminal) -> None:
    assert not list((terminal.home / "data" / "prefect").glob("*.db"))
    assert (terminal.home / "data" / "tmp" / "runner_storage").is_dir()
    # pip asks rustc for its version, and rustup's makes a folder of its own for that.
    assert {path.name for path in terminal.home.iterdir()} <= {"data", ".cache", ".rustup"}


async def test_a_triggered_run_completes_and_leaves_its_artifact(client: PrefectClient) -> None:
    run = await triggered(client, "Charged twice")
    await reached(client, run, "Completed")
    shown = await artifact(client, run)
    assert r"Wants a \<b\>refund" in shown
    assert "openai:scripted" in shown


async def test_an_unknown_parameter_is_refused(client: PrefectClient) -> None:
    request = {"prompt": "classify_ticket", "inputs": {"ticket": "Help"}, "rewiev": True}
    with pytest.raises(PrefectHTTPStatusError, match="'rewiev' was unexpected"):
        await arun_deployment(DEPLOYMENT, parameters={"request": request}, timeout=0, client=client)


async def test_a_waiting_run_holds_no_process_and_releases_the_bytes_that_were_shown(
    terminal: Terminal, client: PrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def has_no_process() -> bool:
        return not processes_with(str(run))

    run = await triggered(client, "Wait for me", review=True)
    await reached(client, run, "Suspended", "review-1-1")
    await eventually(has_no_process)
    asked = len(terminal.endpoint.calls)

    # Whatever the run could have fallen back on is gone or different when it goes on.
    shutil.rmtree(terminal.home / "data" / "prefect" / "storage", ignore_errors=True)
    forget_replies(terminal)
    other = json.dumps({**LABEL, "summary": "Another reply."})
    monkeypatch.setattr(terminal.endpoint, "answer", lambda body, n: other)

    first = await decided(client, run, "review-1-1", {"decision": "reject", "reviewer": "Ann"})
    second = await decided(client, run, "review-1-2", {"decision": "approve", "reviewer": "Ann"})
    assert r"Wants a \<b\>refund" in first
    refusal = "**The last answer was not accepted.** A rejection needs a reason's code.\n\n"
    assert second == refusal + first

    await reached(client, run, "Completed")
    released = await artifact(client, run)
    assert r"Wants a \<b\>refund" in released
    assert "| Released by | Ann |" in released
    assert len(terminal.endpoint.calls) == asked


async def test_a_rejected_reply_is_made_again_and_can_be_released_at_the_terminal(
    terminal: Terminal, client: PrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await triggered(client, "Reject me", review=True)
    await reached(client, run, "Suspended", "review-1-1")
    better = json.dumps({**LABEL, "summary": "Wants two refunds."})
    monkeypatch.setattr(terminal.endpoint, "answer", lambda body, n: better)
    review = {"decision": "reject", "reviewer": "Ann", "reason_code": "wrong", "reason": "Two."}
    await decided(client, run, "review-1-1", review)
    await reached(client, run, "Suspended", "review-2-1")
    assert "wrong: Two." in json.dumps(terminal.endpoint.calls[-1])
    [waiting] = [
        each
        for each in terminal.result("review", "list")["reviews"]
        if each["root_run"] == str(run)
    ]
    approve = ("review", "approve", str(waiting["id"]), "--by", "Bob")
    unseen = terminal.patterns(*approve)
    assert unseen.returncode == 1
    assert "Say which text you saw" in unseen.stderr
    done = terminal.result(*approve, "--sha256", waiting["sha256"])
    assert (done["verdict"], done["woken"]) == ("approve", True)
    await reached(client, run, "Completed")
    assert "| Released by | Bob |" in await artifact(client, run)
    assert terminal.result("review", "verify")["faults"] == []


@pytest.mark.usefixtures("api")
def test_replies_are_drafted_in_one_terminal_and_released_from_another(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = json.dumps({"passage": "none", "reply": "Hello, we are sorry."})
    monkeypatch.setattr(terminal.endpoint, "answer", lambda body, n: said)
    (terminal.home / "data" / "tickets.csv").write_text("id,text\nT-1,It broke.\nT-2,It hums.\n")
    out = terminal.home / "data" / "released.csv"
    with ThreadPoolExecutor() as other:
        drafting = other.submit(
            terminal.result,
            *("reply", "data/tickets.csv", "--batch", "2", "--by", "Zoe", "--out", str(out)),
        )
        while not (found := terminal.result("review", "list")["reviews"]):
            assert not drafting.done(), drafting.result()
        [review] = found
        number = str(review["id"])
        assert "asked for this draft" in (
            terminal.patterns(
                *("review", "approve", number, "--by", "zoe", "--sha256", review["sha256"])
            ).stderr
        )
        terminal.result("review", "approve", number, "--by", "Ann", "--sha256", review["sha256"])
        done = drafting.result(timeout=60)
    assert (done["released"], done["failed"]) == (2, 0)
    assert 'T-2,"Hello, we are sorry."' in out.read_text()
    examples = terminal.home / "data" / "examples.jsonl"
    written = terminal.result("review", "examples", "--kind", "replies", "--out", str(examples))
    assert (written["examples"], written["approve"]) == (1, 1)


async def test_a_schedule_that_was_switched_off_stays_off_when_the_platform_comes_up_again(
    terminal: Terminal, client: PrefectClient
) -> None:
    deployment = await client.read_deployment_by_name(DEPLOYMENT)
    await client.update_deployment_schedule(deployment.id, deployment.schedules[0].id, active=False)
    stop_service(terminal.home / "data", "serve")
    terminal.result("up")
    [schedule] = (await client.read_deployment_by_name(DEPLOYMENT)).schedules
    await client.update_deployment_schedule(deployment.id, schedule.id, active=True)
    assert (schedule.slug, schedule.active) == ("daily-check", False)


async def test_the_daily_check_is_scheduled(client: PrefectClient) -> None:
    deployment = await client.read_deployment_by_name(DEPLOYMENT)
    [schedule] = deployment.schedules
    assert (schedule.slug, schedule.active) == ("daily-check", True)
    due = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
    scheduled = FlowRunFilter(
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Scheduled"]))
    )

    async def a_run_is_due() -> bool:
        runs = await client.read_flow_runs(deployment_filter=due, flow_run_filter=scheduled)
        return any(run.auto_scheduled for run in runs)

    await eventually(a_run_is_due)


WORKFLOW = """
goal: Put a word down.
params: {word: {}}
steps: [{id: told, tool: write_down, arguments: {text: "It is ${params.word}."}}]
answer: ${told}
"""


async def test_a_saved_workflow_is_a_deployment_that_comes_and_goes_with_its_schedule(
    terminal: Terminal, client: PrefectClient
) -> None:
    (terminal.home / "put-down.yaml").write_text(WORKFLOW)
    terminal.result("workflow", "save", "put-down.yaml")

    async def schedules() -> list[str] | None:
        try:
            found = await client.read_deployment_by_name("run-workflow/put-down")
        except ObjectNotFound:
            return None
        return [each.slug or "" for each in found.schedules]

    async def has(*slugs: str) -> bool:
        return await schedules() == [*slugs]

    await eventually(lambda: has())
    request = {"request": {"name": "put-down", "params": {"word": "blue"}}}
    run = await arun_deployment(
        "run-workflow/put-down", parameters=request, timeout=0, client=client
    )
    await reached(client, run.id, "Completed")
    assert "It is blue." in await artifact(client, run.id)
    terminal.result("workflow", "schedule", "put-down", "--cron", "0 5 * * *", "--param", "word=x")
    await eventually(lambda: has("saved"))
    terminal.result("workflow", "schedule", "put-down", "--off")
    await eventually(lambda: has())


@pytest.mark.usefixtures("api")
def test_plain_python_and_notebooks_run_flows_with_the_printed_environment(
    terminal: Terminal,
) -> None:
    for source in (RUN, NOTEBOOK):
        assert "refund" in with_printed_environment(terminal, source)


def test_without_it_a_flow_fails_loudly_and_starts_no_server(terminal: Terminal) -> None:
    done = terminal.python(RUN)
    assert done.returncode != 0
    assert "PREFECT_API_URL" in done.stderr.splitlines()[-1]
    assert not (terminal.home / ".prefect" / "prefect.db").exists()


@pytest.mark.usefixtures("api")
def test_a_killed_server_is_started_again_once_by_two_terminals_at_once(
    terminal: Terminal,
) -> None:
    killed = terminal.pid("prefect")
    os.kill(killed, signal.SIGKILL)
    with ThreadPoolExecutor() as terminals:
        first, second = terminals.map(lambda _: terminal.result("env"), range(2))
    assert first == second
    assert terminal.pid("prefect") != killed
    ours = {
        pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in processes_with(str(terminal.home))
    }
    assert [pid for pid, command in ours.items() if "prefect\0server" in command] == [
        terminal.pid("prefect")
    ]


@pytest.mark.usefixtures("api")
def test_a_program_is_answered_in_the_background_also_when_the_server_was_killed_meanwhile(
    terminal: Terminal,
) -> None:
    os.kill(terminal.pid("prefect"), signal.SIGKILL)
    assert "refund" in with_printed_environment(terminal, BACKGROUND)


def test_the_server_has_had_no_trouble_in_all_this(terminal: Terminal) -> None:
    logs = list((terminal.home / "data" / "services").glob("prefect.log*"))
    assert logs
    assert not [log.read_text() for log in logs if "Traceback" in log.read_text()]


def test_what_runs_already_is_left_as_it_is(terminal: Terminal, api: str) -> None:
    before = {service: terminal.pid(service) for service in ("prefect", "serve")}
    done = terminal.patterns("up", "--json")
    assert json.loads(done.stdout)["api"] == api
    assert "The deployments are served already" in done.stderr
    assert {service: terminal.pid(service) for service in before} == before


@pytest.mark.usefixtures("api")
def test_down_leaves_no_process_of_ours(terminal: Terminal) -> None:
    data = terminal.home / "data"
    assert all(running_service(data, service) for service in SERVICES)
    assert terminal.result("down") == {"stopped": ["deployments", "Prefect's server", "PostgreSQL"]}
    assert not any(running_service(data, service) for service in SERVICES)
    assert processes_with(str(terminal.home)) == []
    assert terminal.result("down") == {"stopped": []}


async def test_down_also_ends_the_runs_of_a_serving_process_that_was_killed(
    terminal: Terminal, client: PrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal.endpoint, "latency", 300)
    asked = len(terminal.endpoint.calls)

    async def is_at_work() -> bool:
        return len(terminal.endpoint.calls) > asked

    run = await triggered(client, "Take your time")
    await eventually(is_at_work)
    os.kill(terminal.pid("serve"), signal.SIGKILL)
    assert processes_with(str(run))
    assert terminal.result("down") == {"stopped": ["Prefect's server", "PostgreSQL"]}
    assert processes_with(str(terminal.home)) == []
