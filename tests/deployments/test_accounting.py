import json

import pytest

from tests.deployments.conftest import Command


@pytest.mark.usefixtures("database", "prefect_server")
def test_what_a_run_has_cost_is_told_by_its_flow(patterns: Command) -> None:
    assert patterns("cost").out == "No calls.\n"
    patterns("prompt", "classify_ticket", "--input", "ticket=Export hangs")
    told = json.loads(patterns("cost", "--by", "flow", "--json").out)
    [row] = told["rows"]
    assert (told["by"], row["flow"], row["model_calls"]) == ("flow", "answer-prompt", 1)
    line = patterns("cost", "--by", "model").out.splitlines()[1]
    assert line.split()[:4] == ["openai:scripted", "1", "0", "0"]
    assert json.loads(patterns("cost", "--since", "2999-01-01", "--json").out)["rows"] == []
