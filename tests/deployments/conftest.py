"""The platform as its users have it: one for the session, in a data directory of its own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from deployments.platform import SERVE
from infra import embedded_postgres
from infra.background import running_service
from infra.prefect_server import running_url
from tests.endpoint import ScriptedEndpoint

LABEL = {"category": "billing", "urgency": "low", "summary": "Wants a <b>refund</b>."}


@dataclass(frozen=True)
class Terminal:
    """A user's shell: a home directory, a PATTERNS_HOME, a model endpoint."""

    home: Path
    variables: dict[str, str]
    endpoint: ScriptedEndpoint

    def run(self, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            command,
            env=self.variables | variables,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def patterns(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `patterns`."""
        return self.run(Path(sys.executable).with_name("patterns"), *arguments, **variables)

    def result(self, *arguments: str) -> Any:
        """What `patterns … --json` prints, when it succeeds."""
        done = self.patterns(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def python(self, source: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run plain Python."""
        return self.run(sys.executable, "-c", source, **variables)

    def pid(self, service: str) -> int:
        """The process of a background service."""
        return int((self.home / "data" / "services" / f"{service}.lock").read_text())


@pytest.fixture(scope="session")
def terminal() -> Iterator[Terminal]:
    with (
        tempfile.TemporaryDirectory(prefix="patterns-platform-") as folder,
        ScriptedEndpoint(lambda body, n: json.dumps(LABEL)) as endpoint,
    ):
        home = Path(folder)
        home.chmod(0o711)  # as root, PostgreSQL's account has to get through
        others = {
            k: v for k, v in os.environ.items() if not k.startswith(("PATTERNS_", "PREFECT_"))
        }
        variables = {
            **others,
            "HOME": str(home),
            "PATTERNS_HOME": str(home / "data"),
            "PATTERNS_ASSETS": os.environ["PATTERNS_ASSETS"],
            "PATTERNS_CHAT_MODEL": "openai:scripted",
            "PATTERNS_CHAT_BASE_URL": endpoint.base_url,
        }
        terminal = Terminal(home, variables, endpoint)
        yield terminal
        terminal.patterns("down")


@pytest.fixture
def api(terminal: Terminal) -> str:
    """The address of the API of the platform, which is up."""
    home = terminal.home / "data"
    runs = embedded_postgres.status(home).running and running_service(home, SERVE)
    url = running_url(home) if runs else None
    return url or str(terminal.result("up")["api"])  # only then: it is a process of seconds


@pytest.fixture(scope="session")
def chromium() -> str:
    """The program of Chromium, where it can be driven."""
    pytest.importorskip("playwright.async_api")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here")
    return program


@pytest.fixture
async def page(chromium: str) -> AsyncIterator[Any]:
    """A page of headless Chromium, where there is one."""
    from playwright.async_api import async_playwright

    async with async_playwright() as started:
        browser = await started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield await browser.new_page(viewport={"width": 1280, "height": 1080})
        await browser.close()


class Done(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


Command = Callable[..., Done]


def refused(done: Done, message: str) -> None:
    """A command did not do its work, and said so in one message."""
    assert done.status == 1, done
    assert done.out == ""
    assert message in done.err
    assert "Traceback" not in done.err
    assert len([line for line in done.err.splitlines() if line.startswith("patterns: ")]) == 1


@pytest.fixture
def patterns(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], endpoint: ScriptedEndpoint
) -> Command:
    """Run a command in this process: quicker than a process of its own."""
    from deployments.cli import main
    from infra import llm
    from tasks.reading import read_batch
    from tasks.wording import word_branch

    monkeypatch.setattr(llm, "_pause", lambda tries, error: 0.0)
    for task in (read_batch, word_branch):
        monkeypatch.setattr(task, "retry_delay_seconds", 0)

    def run(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["patterns", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        return Done(status, *capfd.readouterr())

    return run
