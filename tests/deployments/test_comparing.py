"""`patterns compare` and `patterns anti-patterns`."""

import json

import pytest

from tests.deployments.conftest import Command, refused
from tests.endpoint import ScriptedEndpoint
from tests.flows.test_anti_patterns import careless, harmless

pytestmark = pytest.mark.usefixtures("database", "prefect_server")


def test_patterns_are_compared_on_a_question(patterns: Command, endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: "Paris, of course."
    question = ("compare", "What is the capital of France?", "--expect", "paris")
    done = json.loads(patterns(*question, "--pattern", "prompt", "--pattern", "rag", "--json").out)
    assert [(row["pattern"], row["cache"], row["right"]) for row in done["rows"]] == [
        ("prompt", False, 1),
        ("prompt", True, 1),
    ]
    assert "no collection was named" in done["not_run"]["rag"]
    told = patterns(*question, "--pattern", "prompt").out.splitlines()
    assert told[1].split()[:5] == ["prompt", "without", "1", "of", "1"]
    refused(patterns("compare", "missing.csv"), "missing.csv cannot be read")


def test_what_does_not_scale_is_shown_beside_what_does(
    patterns: Command, endpoint: ScriptedEndpoint
) -> None:
    endpoint.answer = harmless
    done = json.loads(patterns("anti-patterns", "direct-write", "--limit", "1", "--json").out)
    assert (done["direct"]["requests"], done["direct"]["harmed"]) == (3, 0)
    assert "did no harm" not in done["verdict"]
    assert "none of the 3 requests did harm" in done["verdict"]
    endpoint.answer = careless
    told = patterns("anti-patterns", "monolithic-prompt", "--limit", "1").out
    assert told.splitlines()[1].startswith("monolith")
    assert "One edited sentence has changed" in told
