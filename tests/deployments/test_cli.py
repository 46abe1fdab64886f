"""The command line as scripts rely on it."""

import json
from pathlib import Path

import pytest

from tests.deployments.conftest import LABEL, Terminal


@pytest.mark.usefixtures("api")
def test_prompt_prints_one_json_object_and_nothing_else(terminal: Terminal) -> None:
    result = terminal.result("prompt", "classify_ticket", "--input", "ticket=From a script")
    assert result.keys() == {*("reply", "prompt", "version", "served_by", "latency_ms", "cost_usd")}
    assert json.loads(result["reply"]) == LABEL
    assert (result["prompt"], result["cost_usd"]) == ("classify_ticket", None)


@pytest.mark.usefixtures("api")
def test_an_error_is_one_message_without_a_traceback(terminal: Terminal) -> None:
    done = terminal.patterns("prompt", "guess", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "There is no prompt 'guess'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [["prompt"], ["prompt", "classify_ticket", "--input", "ticket"], ["fly"]]
)
def test_wrong_usage_ends_with_status_2(terminal: Terminal, arguments: list[str]) -> None:
    done = terminal.patterns(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: " in done.stderr


def test_a_wrong_setting_is_named(terminal: Terminal) -> None:
    done = terminal.patterns("doctor", PATTERNS_CHAT_MODEL="gpt")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("patterns: PATTERNS_CHAT_MODEL")


@pytest.mark.usefixtures("api")
def test_doctor_names_what_is_broken_and_how_to_mend_it(terminal: Terminal) -> None:
    done = terminal.patterns(
        "doctor", "--json", PATTERNS_DATABASE_URL="postgresql://nobody@127.0.0.1:9/none"
    )
    assert done.returncode == 1
    report = json.loads(done.stdout)
    states = {check["what"]: check["state"] for check in report["checks"]}
    assert report["healthy"] is False
    assert states["PostgreSQL"] == "broken"
    assert states["Prefect's server"] == states["deployments"] == "ok"
    assert all(check["mend"] for check in report["checks"] if check["state"] == "broken")


def test_doctor_says_which_tools_there_are(terminal: Terminal) -> None:
    tools = {
        "PATTERNS_TOOLS": '["tests.tasks.sample_tools"]',
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    said = terminal.patterns("doctor", PATTERNS_HTTP_HOSTS='["api.example.com"]', **tools).stdout
    assert "list_things, look_up" in said
    assert "SQL; HTTP to api.example.com" in said
    broken = terminal.patterns("doctor", PATTERNS_TOOLS='["no.such"]')
    assert "no.such cannot be imported" in broken.stdout
    assert broken.returncode == 1


def test_a_server_that_was_named_and_does_not_answer_is_reported_not_replaced(
    terminal: Terminal,
) -> None:
    address = "http://127.0.0.1:9/api"
    done = terminal.patterns("prompt", "classify_ticket", PREFECT_API_URL=address)
    assert done.returncode == 1
    assert f"{address}, named by PREFECT_API_URL, cannot be reached" in done.stderr


@pytest.mark.usefixtures("api")
def test_a_corpus_is_kept_listed_and_removed(terminal: Terminal, tmp_path: Path) -> None:
    few = tmp_path / "few.csv"
    few.write_text("id,text\nT1,Export hangs.\nT2,Login fails.\n")
    assert terminal.result("corpus", "add", str(few), "few")["added"] == 2
    done = terminal.patterns("corpus", "remove", "few", "--id", "T1", "--id", "T9", "--json")
    assert (done.returncode, json.loads(done.stdout)["removed"]) == (1, ["T1"])
    assert json.loads(done.stdout)["missing"] == ["T9"]
    assert records(terminal)["few"] == 1
    terminal.result("corpus", "remove", "few")
    assert "few" not in records(terminal)


def records(terminal: Terminal) -> dict[str, int]:
    """How many there are, by corpus: another test may have kept the samples."""
    listed = terminal.result("corpus", "list")["corpora"]
    return {kept["name"]: kept["records"] for kept in listed}
