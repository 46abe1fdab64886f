"""What is served is what `prefect.yaml` declares, and the background tasks, or nothing."""

import asyncio
import signal
import subprocess
import sys

import pytest
from pydantic import ValidationError

from deployments import serve
from deployments.serve import Declaration, declarations, deployment_of

DECLARED = {
    "name": "x",
    "entrypoint": "flows.prompt_service.answer_prompt",
    "description": "What it is for.",
    "tags": [],
}


async def test_a_deployment_is_found_by_its_module_path() -> None:
    for declared in declarations():
        deployment = await deployment_of(declared)
        assert deployment.entrypoint == declared.entrypoint
        assert {s.slug: s.active for s in deployment.schedules} == {
            s.slug: s.active for s in declared.schedules
        }


async def test_a_schedule_stays_as_a_person_has_put_it() -> None:
    schedules = [{"slug": "on", "cron": "0 6 * * *"}, {"slug": "new", "cron": "0 6 * * *"}]
    declared = Declaration.model_validate({**DECLARED, "schedules": schedules})
    deployment = await deployment_of(declared, {"on": False})
    assert {s.slug: s.active for s in deployment.schedules} == {"on": False, "new": True}


def test_an_entrypoint_that_does_not_import_stops_everything() -> None:
    broken = Declaration.model_validate({**DECLARED, "entrypoint": "flows.nowhere.answer"})
    with pytest.raises(ModuleNotFoundError, match=r"flows\.nowhere"):
        broken.load()


def test_a_field_that_nobody_reads_is_refused() -> None:
    with pytest.raises(ValidationError, match="schedule"):
        Declaration.model_validate({**DECLARED, "schedule": {"cron": "0 6 * * *"}})


def test_a_background_task_that_does_not_import_stops_everything() -> None:
    broken = "import sys; sys.modules['tasks.answering'] = None; import deployments.serve"
    done = subprocess.run(
        [sys.executable, "-c", broken], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "import of tasks.answering halted" in done.stderr


async def test_a_task_worker_that_breaks_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    starts, goes_on = [], asyncio.Event()

    class Breaking:
        def __init__(self, *tasks: object, limit: int) -> None:
            starts.append(tasks)

        async def astart(self) -> None:
            if len(starts) < 3:
                raise ExceptionGroup("of the worker", [ConnectionResetError()])
            goes_on.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(serve, "BackgroundWorker", Breaking)
    monkeypatch.setattr(serve, "_PAUSE", 0)
    serving = asyncio.create_task(serve.serve_tasks())
    await asyncio.wait_for(goes_on.wait(), 10)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert starts == [serve.BACKGROUND_TASKS] * 3


@pytest.mark.usefixtures("prefect_server")
async def test_a_task_worker_leaves_sigterm_to_who_heard_it_before_and_exits_by_itself() -> None:
    heard = list[int]()
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        first = serve.BackgroundWorker(*serve.BACKGROUND_TASKS, limit=1)
        signal.signal(signal.SIGTERM, first.handle_sigterm)
        again = serve.BackgroundWorker(*serve.BACKGROUND_TASKS, limit=1)
        signal.signal(signal.SIGTERM, again.handle_sigterm)
        signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM]
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with pytest.raises(SystemExit):
            serve.BackgroundWorker(*serve.BACKGROUND_TASKS, limit=1).handle_sigterm(15, None)
    finally:
        signal.signal(signal.SIGTERM, before)
