"""`patterns prompts` as a script has it."""

import asyncio
import json

import pytest

from infra.llm import close_door
from tasks.prompt_labels import promote
from tasks.prompts import Prompt, file_prompt, parse_prompt
from tests.deployments.conftest import LABEL, Command, refused
from tests.endpoint import Body, ScriptedEndpoint, user_text

pytestmark = pytest.mark.usefixtures("database")

NAME = "classify_ticket"


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
    patterns("prompts", "test", NAME)
    told = json.loads(patterns("prompts", "replay", "--row", "1", "--json").out)
    assert (told["same"], told["changed"], len(told["calls"])) == (1, 0, 1)
    assert patterns("prompts", "replay", "--json").status == 2
    refused(patterns("prompts", "replay", "--row", "99", "--json"), "row 99")


@pytest.mark.usefixtures("right")
def test_two_versions_are_shown_side_by_side(patterns: Command) -> None:
    asyncio.run(promoted(earlier()))
    done = json.loads(patterns("prompts", "diff", NAME, "--from", "production", "--json").out)
    assert (done["from"], done["to"]) == (earlier().version, file_prompt(NAME).version)
    assert [case["from"]["version"] for case in done["cases"]] == [done["from"]] * 2
    assert {json.loads(case["from"]["reply"])["summary"] for case in done["cases"]} == {"earlier"}
    assert "earlier" not in {json.loads(case["to"]["reply"])["summary"] for case in done["cases"]}
    refused(patterns("prompts", "diff", NAME, "--from", "nowhere", "--json"), "'nowhere'")
