"""A reviewer's way through Prefect's own UI: a draft, a rejection, the next draft, its release."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient

from tests.deployments.conftest import LABEL, Terminal
from tests.deployments.test_platform import artifact, reached, triggered
from tests.endpoint import Body

pytestmark = pytest.mark.browser

TICKET = "I was charged twice for March. Please refund one payment."
REASON = "Say which month it is about."


def label(body: Body, n: int) -> str:
    """A better summary once the reason is read."""
    month = " for March" if REASON in json.dumps(body) else ""
    return json.dumps({**LABEL, "summary": f"Wants a refund{month}."})


class Reviewer:
    """Somebody at the page of a run. ``pictures``: a folder for what he sees."""

    def __init__(self, page: Any, address: str, pictures: Path | None) -> None:
        self.page, self.address, self.pictures = page, address, pictures

    async def opens_the_form(self) -> str:
        """What stands in the form of the run that waits."""
        await self.page.goto(self.address)
        await self.page.get_by_role("button", name="Resume").first.click()
        await self.page.get_by_text("Approving releases exactly this text").wait_for()
        return str(await self.page.inner_text("[role=dialog]"))

    async def answers(self, picture: str, chosen: dict[str, str], **written: str) -> None:
        """Choose from lists, write into fields, and send the form."""
        for name, value in chosen.items():
            # The UI's lists open by key under headless Chromium, not by click.
            await self._field(name).locator(".p-select-button__control").focus()
            await self.page.keyboard.press("ArrowDown")
            option = self.page.locator(".p-select-option", has_text=re.compile(f"^{value}$"))
            await option.click()
        for name, value in written.items():
            await self._field(name).locator("textarea").fill(value)
        if self.pictures:
            await self.page.screenshot(path=self.pictures / f"{picture}.png")
        submit = self.page.get_by_role("button", name="Submit")
        await submit.click()
        await submit.wait_for(state="detached")

    def _field(self, name: str) -> Any:
        label = self.page.locator(".schema-form-property__label", has_text=re.compile(f"^{name}"))
        return self.page.locator(".schema-form-property", has=label)


@pytest.fixture
def local(terminal: Terminal) -> Iterator[Any]:
    """Starts `patterns prompt --review` in a terminal of its own; it is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start() -> tuple[subprocess.Popen[str], UUID]:
        command = [Path(sys.executable).with_name("patterns"), "prompt", "classify_ticket"]
        process = subprocess.Popen(
            [*command, "--input", f"ticket={TICKET}", "--review", "--json"],
            env=terminal.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stderr
        for line in process.stderr:
            if found := re.search(r"/runs/flow-run/([0-9a-f-]{36})", line):
                return process, UUID(found[1])
        raise AssertionError("the run did not tell its address")

    yield start
    for process in started:
        process.kill()
        process.communicate()


async def artifact_page(client: PrefectClient, api: str, run: UUID) -> str:
    """The address of the Markdown artifact that a run has left."""
    wanted = {"flow_run_id": {"any_": [str(run)]}, "type": {"any_": ["markdown"]}}
    found = await client._client.post("/artifacts/filter", json={"artifacts": wanted})
    return f"{api.removesuffix('/api')}/artifacts/artifact/{found.json()[0]['id']}"


@pytest.mark.parametrize("kind", ["deployed", "local"])
async def test_a_draft_is_rejected_with_a_reason_and_the_next_one_heeds_it_and_is_released(
    kind: str,
    page: Any,
    api: str,
    terminal: Terminal,
    local: Any,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setattr(terminal.endpoint, "answer", label)
    state = "Suspended" if kind == "deployed" else "Paused"
    async with PrefectClient(api) as client:
        if kind == "deployed":
            process, run = None, await triggered(client, TICKET, review=True)
        else:
            process, run = local()
        address = f"{api.removesuffix('/api')}/runs/flow-run/{run}"
        reviewer = Reviewer(page, address, request.config.getoption("--screenshots"))

        await reached(client, run, state, "review-1-1")
        first = await reviewer.opens_the_form()
        assert "Wants a refund." in first
        assert TICKET in first
        await reviewer.answers(
            f"{kind}-1-rejects",
            {"Decision": "reject", "Reason Code": "incomplete"},
            Reviewer="Ann",
            Reason=REASON,
        )

        await reached(client, run, state, "review-2-1")
        second = await reviewer.opens_the_form()
        assert "Wants a refund for March." in second
        assert REASON in second
        await reviewer.answers(f"{kind}-2-approves", {"Decision": "approve"}, Reviewer="Ann")

        await reached(client, run, "Completed")
        assert "Wants a refund for March." in await artifact(client, run)
        await page.goto(await artifact_page(client, api, run))
        await page.get_by_text("Released by").first.wait_for()
        if reviewer.pictures:
            await page.screenshot(path=reviewer.pictures / f"{kind}-3-released.png")
    if process:
        released, _ = process.communicate(timeout=60)
        assert "for March" in json.loads(released)["reply"]
