"""`patterns forget`, as a terminal sees it."""

import json
from pathlib import Path

import pytest

from tasks import forgetting_runs
from tests.deployments.conftest import Command, refused

pytestmark = pytest.mark.usefixtures("database", "prefect_server")

TEXT = "The zebraquux lamp of ours hums and flickers in the night, what can we do?"


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    file = tmp_path / "tickets.csv"
    file.write_text(f'id,text\nT-1,"{TEXT}"\nT-2,Where is my order?\n')
    return file


def test_a_ticket_is_forgotten_and_what_was_removed_is_told(
    patterns: Command, tickets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting_runs, "LEASE", 0.0)  # not to wait for runs of other tests
    assert patterns("corpus", "add", tickets, "support").status == 0
    asked = ("prompt", "classify_ticket", "--input", f"ticket={TEXT}")
    assert patterns(*asked).status == 0
    done = patterns("forget", "--ticket", "T-1", "--by", "Zoe", "--json")
    assert done.status == 0, done.err
    said = json.loads(done.out)
    assert (said["tickets"], said["sources"]) == (["T-1"], ["corpus:support"])
    assert said["removed"]["calls"] == 1
    assert "zebraquux" not in done.out + done.err
    refused(patterns("forget", "--ticket", "T-1"), "There is no ticket 'T-1'")
    [kept] = json.loads(patterns("corpus", "list", "--json").out)["corpora"]
    assert kept["records"] == 1
