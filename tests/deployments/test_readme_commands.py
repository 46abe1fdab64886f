"""The README's list of commands, run from its first line to its last, as somebody would who reads
it: a model that answers anything, small files of his own, and another terminal for what waits."""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.states import Crashed

from flows.prompt_service import answer_prompt
from infra.fine_tuning import DEFAULT_ENCODER, lacking
from tasks.prompt_labels import promote
from tasks.prompts import file_prompt
from tasks.review_chain import digest
from tasks.reviews import Review, reviews
from tasks.specialist_serving import promoted
from tasks.specialists import read_specialist
from tests.deployments.conftest import Command
from tests.deployments.test_prompting import earlier
from tests.deployments.test_reviewing import apart
from tests.endpoint import Body, ScriptedEndpoint, plausible, schema_of, user_text
from tests.flows.test_guarded_write import PAUSE
from tests.tasks.tiny_specialists import sentences

pytestmark = pytest.mark.usefixtures("database", "prefect_server", "no_specialists")

ROOT = Path(__file__).parents[2]
LINES = [
    line.removeprefix("    patterns ")
    for line in (ROOT / "README.md").read_text("utf-8").split("\n## ")[2].splitlines()
    if line.startswith("    patterns ")
]
# They serve for as long as somebody wants them to, or are of the platform of a machine.
ELSEWHERE = {
    "serve --port 8420": "test_http.py",
    "up": "test_platform.py",
    "worker --limit 2": "test_shards.py",
    "down": "test_platform.py",
    "backup patterns.tar": "test_keeping.py",
    "restore patterns.tar": "test_keeping.py",
}


def answer(body: Body, n: int) -> str:
    """What each prompt's own case expects, one change of a record, else words of the request."""
    asked, fields = user_text(body), (schema_of(body) or {}).get("properties", {})
    if "changes" in fields:
        return json.dumps({"changes": [PAUSE]})
    for case in file_prompt("classify_ticket").cases:
        if case.inputs["ticket"].strip() in asked:
            wanted = {name: said.strip("^$").split("|")[0] for name, said in case.expect.items()}
            return json.dumps({"category": "bug", "urgency": "low", "summary": "None.", **wanted})
    return plausible(body)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands are typed: the examples, and files of the reader's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    known = pd.DataFrame([(e.text, e.label) for e in sentences(60)], columns=["text", "category"])
    known.to_csv("labelled.csv", index=False)
    known[["text"]].head(8).to_csv("tickets.csv", index=False)
    pairs = [(f"Where is box {n}?", f"Where's box {n}?", n % 2) for n in range(40)]
    pd.DataFrame(pairs, columns=["text_a", "text_b", "label"]).to_csv("pairs.csv", index=False)
    Path("edited.txt").write_text("Dear Ann, it is on its way.")
    return tmp_path


class Reader:
    """Who types the commands, one after the other, in one terminal and where it is needed two."""

    def __init__(self, patterns: Command, encoder: Path | None) -> None:
        self._patterns, self._encoder = patterns, encoder
        self._other: list[subprocess.Popen[bytes]] = []

    def type(self, line: str) -> str | None:
        """Run a line; what went wrong."""
        words = shlex.split(line)
        match words[:2]:
            case ["reply", _]:
                return self._in_another_terminal(words)
            case ["review", "approve" | "edit" | "reject" | "show"]:
                words = self._about(apart(reviews())[-1], words)
            case ["collections", "rollback"]:
                self._run("ingest", "examples/interviews", "--collection", "help")
            case ["specialist", *_] | ["route", *_] if lacking():
                return None  # the extra `train` is not there
            case ["specialist", "train"]:
                words += ["--encoder", str(self._encoder), "--teacher", "none"]
                if fault := self._run(*words):
                    return fault
            case ["specialist", "promote"]:
                waits = self._in_another_terminal(words)
                return waits or self.type("review approve 1 --by Ann") or self._ended()
            case ["specialist", "rollback"]:
                apart(promotion(2))
            case ["prompts", "promote"]:
                apart(promote(earlier(), "production", "Eve", 1))
            case ["resume", _]:
                words[1] = apart(crashed())
            case ["route", _]:
                words.append("--no-people")
        return self._run(*words)

    def leave(self) -> None:
        """Decide what still waits, until the other terminals are done, and close them."""
        try:
            for _ in range(600):
                if all(each.poll() is not None for each in self._other):
                    return
                for waiting in apart(reviews()):
                    self._run(*self._about(waiting, ["review", "approve", "1", "--by", "Ann"]))
                time.sleep(0.2)
        finally:
            for each in self._other:
                each.kill()
                each.wait()

    def _run(self, *words: str) -> str | None:
        done = self._patterns(*words)
        return f"{shlex.join(words)}: {done.status} {done.err[-600:]}" if done.status else None

    def _in_another_terminal(self, words: list[str]) -> str | None:
        before = {each.id for each in apart(reviews())}
        program = Path(sys.executable).with_name("patterns")
        self._other.append(subprocess.Popen([program, *words], stdin=subprocess.DEVNULL))
        while not {each.id for each in apart(reviews())} - before:
            if self._other[-1].poll() is not None:
                return f"{shlex.join(words)} ended without a review"
            time.sleep(0.2)
        return None

    def _ended(self) -> str | None:
        status = self._other[-1].wait(120)
        return f"{self._other[-1].args}: {status}" if status else None

    def _about(self, now: Review, words: list[str]) -> list[str]:
        more = ["--sha256", digest(now.text)] if words[1] == "approve" else []
        at = words.index("--sha256") if "--sha256" in words else len(words)
        return [*words[:2], str(now.id), *words[3:at], *more]


async def promotion(number: int) -> None:
    await promoted(await read_specialist(number), "Ann", None)


async def crashed() -> str:
    """The name of a run that has died."""
    asked = {"prompt": "classify_ticket", "inputs": {"ticket": "I was charged twice."}}
    async with get_client() as client:
        run = await client.create_flow_run(answer_prompt, parameters={"request": asked})
        await client.set_flow_run_state(run.id, Crashed(), force=True)
        return run.name


def test_what_is_not_run_here_is_run_elsewhere() -> None:
    assert {*ELSEWHERE} <= {*LINES}
    for line, file in ELSEWHERE.items():
        assert f'"{line.split()[0]}"' in (Path(__file__).parent / file).read_text("utf-8"), line


@pytest.mark.timeout(1800)
def test_every_command_of_the_readme_does_its_work(
    patterns: Command,
    desk: Path,
    endpoint: ScriptedEndpoint,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # `setup` would fetch 440 MB more, of which nothing here has need.
    monkeypatch.setattr("infra.fine_tuning.DEFAULT_TEACHER", DEFAULT_ENCODER)
    endpoint.answer = answer
    reader = Reader(patterns, None if lacking() else request.getfixturevalue("encoder"))
    try:
        wrong = [fault for line in LINES if line not in ELSEWHERE if (fault := reader.type(line))]
    finally:
        reader.leave()
    assert not wrong, "\n\n".join(wrong)
    released = pd.read_csv("released.csv")
    assert len(released) == 5
    assert "Dear Ann, it is on its way." in set(released["reply"])
