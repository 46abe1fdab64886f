"""`patterns prompts` as a script has it."""

import json

import pytest

from tests.deployments.conftest import LABEL, Command, refused
from tests.endpoint import Body, ScriptedEndpoint, user_text

pytestmark = pytest.mark.usefixtures("database")

NAME = "classify_ticket"


def label(category: str) -> str:
    return json.dumps(LABEL | {"category": category, "urgency": "critical", "summary": "export"})


@pytest.fixture
def right(endpoint: ScriptedEndpoint) -> None:
    """A model that says of each case what it expects."""
    from tasks.prompts import file_prompt

    cases = file_prompt(NAME).cases

    def answer(body: Body, n: int) -> str:
        asked = user_text(body)
        case = next(case for case in cases if case.inputs["ticket"].strip() in asked)
        said = {name: pattern.split("|")[0].strip("^$") for name, pattern in case.expect.items()}
        return json.dumps({"category": "other", "urgency": "low", "summary": "a ticket"} | said)

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
    moved = json.loads(patterns("prompts", "promote", NAME, "--by", "ann", "--json").out)
    assert (moved["label"], moved["from_version"], moved["moved_by"]) == ("production", None, "ann")
    refused(patterns("prompts", "rollback", NAME, "--json"), "named no version")


def test_a_label_stays_when_a_case_does_not_pass(
    patterns: Command, endpoint: ScriptedEndpoint
) -> None:
    endpoint.answer = lambda body, n: label("other")
    refused(patterns("prompts", "promote", NAME, "--json"), "stays where it was")
    refused(patterns("prompts", "rollback", NAME, "--json"), "named no version")


@pytest.mark.usefixtures("right")
def test_two_versions_are_shown_side_by_side(patterns: Command) -> None:
    version = json.loads(patterns("prompts", "promote", NAME, "--json").out)["to_version"]
    done = json.loads(patterns("prompts", "diff", NAME, "--from", "production", "--json").out)
    assert (done["from"], done["to"]) == (version, version)
    assert all(case["from"]["reply"] == case["to"]["reply"] for case in done["cases"])
    refused(patterns("prompts", "diff", NAME, "--from", "nowhere", "--json"), "'nowhere'")
