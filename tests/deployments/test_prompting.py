"""`patterns prompts` as a script has it."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from socket import socket

import pytest

from infra.llm import close_door
from tasks import prompts
from tasks.monolithic_prompt import monolith
from tasks.prompt_labels import promote
from tasks.prompts import Prompt, file_prompt, parse_prompt
from tests.deployments.conftest import LABEL, Command, refused
from tests.endpoint import Body, ScriptedEndpoint, user_text

pytestmark = pytest.mark.usefixtures("database")

NAME = "classify_ticket"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of prompts with one good prompt in it, in place of the project's."""
    good, part = file_prompt(NAME).source, prompts.read_part("untrusted")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "untrusted.md").write_text(part, encoding="utf-8")
    (tmp_path / f"{NAME}.md").write_text(good, encoding="utf-8")
    monkeypatch.setattr(prompts, "_FOLDER", tmp_path)
    for kept in (prompts.prompt_names, file_prompt):
        kept.cache_clear()
    yield tmp_path
    for kept in (prompts.prompt_names, file_prompt):
        kept.cache_clear()


def label(category: str) -> str:
    return json.dumps(LABEL | {"category": category, "urgency": "critical", "summary": "export"})


def earlier() -> Prompt:
    """The prompt as it was."""
    return parse_prompt(
        NAME, file_prompt(NAME).source.replace("=== input", "As before.\n=== input")
    )


async def promoted(prompt: Prompt) -> None:
    await promote(prompt, "production", "eve", 1)
    await close_door()


@pytest.fixture
def right(endpoint: ScriptedEndpoint) -> None:
    """A model that says of each case what it expects."""
    cases = file_prompt(NAME).cases

    def answer(body: Body, n: int) -> str:
        asked = user_text(body)
        case = next(case for case in cases if case.inputs["ticket"].strip() in asked)
        old = {"summary": "earlier"} if "As before." in str(body["messages"][0]) else {}
        said = {name: pattern.split("|")[0].strip("^$") for name, pattern in case.expect.items()}
        return json.dumps(
            {"category": "other", "urgency": "low", "summary": "a ticket"} | said | old
        )

    endpoint.answer = answer


@pytest.mark.usefixtures("right")
def test_cases_that_pass_end_with_status_0(patterns: Command) -> None:
    done = patterns("prompts", "test", NAME, "--json")
    result = json.loads(done.out)
    assert (done.status, result["failed"]) == (0, 0)
    assert result["passed"] == len(result["cases"]) > 1
    assert all(case["passed"] for case in result["cases"])


def test_cases_that_fail_end_with_status_1_and_say_why(
    patterns: Command, endpoint: ScriptedEndpoint
) -> None:
    endpoint.answer = lambda body, n: label("other")
    done = patterns("prompts", "test", NAME)
    assert done.status == 1
    assert "which does not match" in done.out


@pytest.mark.usefixtures("right")
def test_a_label_moves_when_the_cases_pass_and_back(patterns: Command) -> None:
    asyncio.run(promoted(earlier()))
    moved = json.loads(patterns("prompts", "promote", NAME, "--by", "ann", "--json").out)
    assert (moved["label"], moved["moved_by"]) == ("production", "ann")
    assert (moved["from_version"], moved["to_version"]) == (
        *(earlier().version, file_prompt(NAME).version),
    )
    again = json.loads(patterns("prompts", "promote", NAME, "--by", "eve", "--json").out)
    assert (moved["moved"], again["moved"], again["moved_by"]) == (True, False, "ann")
    back = json.loads(patterns("prompts", "rollback", NAME, "--json").out)
    assert (back["to_version"], back["rollback"]) == (earlier().version, True)
    told = json.loads(patterns("prompts", "history", NAME, "--json").out)["moves"]
    assert [(move["moved_by"], move["rollback"]) for move in told][:2] == [
        *(("eve", False), ("ann", False)),
    ]
    assert told[-1] == {name: back[name] for name in told[-1]}
    refused(patterns("prompts", "rollback", NAME, "--json"), "named no version")


def test_a_label_stays_when_a_case_does_not_pass(
    patterns: Command, endpoint: ScriptedEndpoint
) -> None:
    endpoint.answer = lambda body, n: label("other")
    refused(patterns("prompts", "promote", NAME, "--json"), "stays where it was")
    assert json.loads(patterns("prompts", "history", NAME, "--json").out)["moves"] == []


@pytest.mark.usefixtures("right")
def test_calls_of_the_ledger_are_asked_again(patterns: Command) -> None:
    assert patterns("prompts", "calls").out == "No calls.\n"
    patterns("prompts", "test", NAME)
    newest = json.loads(patterns("prompts", "calls", "--prompt", NAME, "--json").out)["calls"]
    assert [call["served_by"] for call in newest] == ["model"] * len(file_prompt(NAME).cases)
    assert patterns("prompts", "calls", "--limit", "1").out.startswith(f"row {newest[0]['row']}, ")
    told = json.loads(patterns("prompts", "replay", "--row", "1", "--json").out)
    assert (told["same"], told["changed"], len(told["calls"])) == (1, 0, 1)
    assert patterns("prompts", "replay", "--json").status == 2
    refused(patterns("prompts", "replay", "--row", "99", "--json"), "row 99")
    refused(patterns("prompts", "replay", "--row", "1", "--model", "banana"), "provider:model")


def test_a_service_on_a_port_that_is_taken_says_so_before_it_starts(patterns: Command) -> None:
    with socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        refused(patterns("serve", "--port", port), "Choose another with --port")


@pytest.mark.usefixtures("right")
def test_two_versions_are_shown_side_by_side(patterns: Command) -> None:
    asyncio.run(promoted(earlier()))
    done = json.loads(patterns("prompts", "diff", NAME, "--from", "production", "--json").out)
    assert (done["from"], done["to"]) == (earlier().version, file_prompt(NAME).version)
    assert [case["from"]["version"] for case in done["cases"]] == (
        [done["from"]] * len(file_prompt(NAME).cases)
    )
    assert {json.loads(case["from"]["reply"])["summary"] for case in done["cases"]} == {"earlier"}
    assert "earlier" not in {json.loads(case["to"]["reply"])["summary"] for case in done["cases"]}
    refused(patterns("prompts", "diff", NAME, "--from", "nowhere", "--json"), "'nowhere'")


def test_a_monolith_is_refused_naming_what_it_is_to_be_split_into(
    patterns: Command, folder: Path
) -> None:
    good = json.loads(patterns("prompts", "lint", "--json").out)
    front = file_prompt(NAME).source.split("---\n")[1]
    text = f"---\n{front}---\n{monolith().instructions}\n=== input\n$ticket\n"
    (folder / "monolith.md").write_text(text, encoding="utf-8")
    prompts.prompt_names.cache_clear()

    done = patterns("prompts", "lint")
    assert done.status == 1
    passed, refused, *faults = done.out.splitlines()
    assert passed.startswith(f"✓ {NAME}: ")
    assert refused.startswith("✗ monolith: ")
    assert "its budget is 150" in faults[0]
    for named in (
        '"Context", 346 tokens → an input in the message',
        '"HISTORY OF THE CONVERSATION", 322 tokens → an input in the message',
        '"Rules", 246 tokens → parts/rules.md',
        '"Output format", 156 tokens → `fills`',
        '"Examples", 378 tokens → `examples` in the front matter',
        '"Answering the customer", 98 tokens → a prompt of its own',
    ):
        assert named in done.out
    told = json.loads(patterns("prompts", "lint", "--json").out)["prompts"]
    assert [each for each in told if each["prompt"] == NAME] == good["prompts"]
    assert good["prompts"][0]["faults"] == []


def test_prompts_that_are_small_end_the_lint_with_status_0(patterns: Command) -> None:
    done = patterns("prompts", "lint")
    assert (done.status, "✗" in done.out) == (0, False)


def test_a_part_that_no_prompt_uses_is_refused(patterns: Command, folder: Path) -> None:
    (folder / "parts" / "forgotten.md").write_text("Be kind.", encoding="utf-8")
    done = patterns("prompts", "lint")
    assert done.status == 1
    assert "parts/forgotten.md is used by no prompt" in done.out
