"""Prompts answered in the background: this process asks, a worker of its own process answers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import flow

from infra.errors import InputError, ModelRejected, ModelUnavailable, PatternsError
from tasks import answering
from tasks.answering import answer_in_background
from tasks.answers import Answer, PromptRequest, answer_of
from tasks.asking import ask
from tasks.costs import costs
from tests.endpoint import Fault, ScriptedEndpoint, user_text

pytestmark = pytest.mark.usefixtures("prefect_server", "database")

WORKER = "import asyncio; from deployments.serve import serve_tasks; asyncio.run(serve_tasks())"
PATIENCE = 90  # seconds; the worker is at its start when it is first asked


def request(ticket: str = "Charged twice") -> PromptRequest:
    return PromptRequest(prompt="classify_ticket", inputs={"ticket": ticket})


async def answered(wanted: object) -> Answer:
    return await answer_in_background.delay(wanted).result_async(timeout=PATIENCE)  # type: ignore[arg-type]


@flow(name="asks-in-background")
async def asks_in_background() -> Answer:
    return await answered(request("Charged three times"))


@pytest.fixture
def worker_log(endpoint: ScriptedEndpoint, tmp_path: Path) -> Iterator[Path]:
    """What a worker says while it serves, all that Prefect logs of its runs included."""
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PREFECT_LOGGING_LEVEL": "DEBUG"},
        )
        yield log
        worker.terminate()
        worker.wait(20)


async def test_an_answer_in_the_background_is_what_asking_gives(
    worker_log: Path, endpoint: ScriptedEndpoint
) -> None:
    first, second = await answered(request()), await answered(request().model_dump())
    asked = answer_of(request(), await ask("classify_ticket", {"ticket": "Charged twice"}))
    assert (first.served_by, second.served_by, asked.served_by) == ("model", "exact", "exact")
    own = {"served_by", "prompt_tokens", "completion_tokens", "cost_usd", "latency_ms"}
    assert first.model_dump(exclude=own) == asked.model_dump(exclude=own)
    assert second.model_dump(exclude={"latency_ms"}) == asked.model_dump(exclude={"latency_ms"})
    assert len(endpoint.calls) == 1

    await asks_in_background()
    calls = {each.of: (each.model_calls, each.cache_hits) for each in await costs("flow")}
    assert calls == {"no flow": (1, 2), "asks-in-background": (1, 0)}


async def test_an_error_comes_back_as_what_it_is_and_no_log_tells_what_the_ticket_says(
    worker_log: Path, endpoint: ScriptedEndpoint
) -> None:
    secret = "Ann-Miller-4711"
    endpoint.answer = lambda body, n: Fault(401) if "refuse" in user_text(body) else secret
    with pytest.raises(InputError, match=r"inputs\.ticket: Input should be a valid string"):
        await answered({"prompt": "classify_ticket", "inputs": {"ticket": [secret]}})
    with pytest.raises(ModelRejected):
        await answered(request(f"{secret}: refuse this"))
    with pytest.raises(PatternsError, match="never fitted"):
        await answered(request(f"{secret}: say nonsense"))
    said = worker_log.read_text()
    assert "Finished in state Failed" in said
    assert secret not in said


@pytest.mark.parametrize(
    ("error", "tries"), [(ModelUnavailable("It is away."), 3), (ModelRejected("Wrong key."), 1)]
)
async def test_only_after_a_transient_error_it_is_asked_again(
    error: PatternsError, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def ask(prompt: str, inputs: object, tenant: str) -> None:
        asked.append((prompt, tenant))
        raise error

    monkeypatch.setattr(answering, "ask", ask)
    with pytest.raises(type(error)):
        await answer_in_background.with_options(retry_delay_seconds=0)(
            request().model_copy(update={"tenant": "acme"})
        )
    assert asked == [("classify_ticket", "acme")] * tries


async def test_a_review_is_refused_before_a_model_is_asked(endpoint: ScriptedEndpoint) -> None:
    with pytest.raises(InputError, match="A review is a step of a flow"):
        await answer_in_background(request().model_copy(update={"review": True}))
    assert endpoint.calls == []
