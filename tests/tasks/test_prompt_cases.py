import json

import pytest

from tasks.prompt_cases import faults_of, run_cases
from tasks.prompts import Case, file_prompt, parse_prompt, prompt_names
from tests.endpoint import ScriptedEndpoint

LABEL = {"category": "billing", "urgency": "high", "summary": "Was charged twice."}


def case(**expect: str) -> Case:
    return Case(inputs={"ticket": "It broke."}, expect=expect)


@pytest.mark.parametrize(
    ("expect", "faults"),
    [
        ({"category": "billing"}, 0),
        ({"category": "BILL"}, 0),
        ({"category": "^bug$"}, 1),
        ({"category": "bug", "urgency": "low", "summary": "twice"}, 2),
        ({"nothing": "."}, 1),
    ],
)
def test_a_reply_passes_when_every_expected_field_matches(
    expect: dict[str, str], faults: int
) -> None:
    found = faults_of(case(**expect), LABEL)
    assert len(found) == faults


def test_a_fault_names_the_field_what_it_is_and_what_was_expected() -> None:
    assert faults_of(case(category="bug"), LABEL) == (
        "category is 'billing', which does not match 'bug'",
    )


@pytest.mark.usefixtures("database")
async def test_every_case_is_asked_and_told_with_its_reply(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: json.dumps(LABEL)
    prompt = file_prompt("classify_ticket")
    results = await run_cases(prompt, (case(category="billing"), case(category="bug")))
    assert [result.case for result in results] == [1, 2]
    assert [result.passed for result in results] == [True, False]
    assert json.loads(results[0].reply) == LABEL
    assert {result.version for result in results} == {prompt.version}


@pytest.mark.usefixtures("database")
async def test_no_usable_reply_is_a_fault_of_the_case(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: "nonsense"
    [result] = await run_cases(file_prompt("classify_ticket"), (case(category="."),))
    assert not result.passed
    assert result.faults[0].startswith("ReplyMalformed: ")


@pytest.mark.usefixtures("database")
async def test_a_prompt_that_fills_no_schema_is_judged_by_its_text(
    endpoint: ScriptedEndpoint,
) -> None:
    endpoint.answer = lambda body, n: "Dear customer"
    source = """---
purpose: Greet.
inputs: [ticket]
model: fast
budget: 50
cases: [{inputs: {ticket: x}, expect: {text: ^dear}}]
---
Greet the customer.
=== input
$ticket
"""
    assert (await run_cases(parse_prompt("greet", source)))[0].passed


@pytest.mark.parametrize("name", prompt_names())
def test_the_cases_of_every_prompt_fail_on_a_reply_that_says_nothing(name: str) -> None:
    for each in file_prompt(name).cases:
        assert faults_of(each, dict.fromkeys(each.expect, "?"))
