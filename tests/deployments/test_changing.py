"""`patterns change`, `undo` and `changes`."""

import json
from pathlib import Path

import pytest

from tests.deployments.conftest import Command, refused
from tests.endpoint import ScriptedEndpoint
from tests.flows.test_guarded_write import PAUSE
from tests.tasks.guarded_records import CRM, records

pytestmark = pytest.mark.usefixtures("database", "prefect_server")

RULES = ("changes", "rules", CRM / "rules.yaml", "--setup", CRM / "schema.sql", "--by", "Zoe")


def test_the_sample_is_set_up_by_one_command(patterns: Command) -> None:
    done = patterns(*RULES)
    assert done.status == 0
    assert "crm.customers.credit may be changed" in done.out


def test_a_script_that_does_not_run_leaves_nothing(patterns: Command, tmp_path: Path) -> None:
    script = tmp_path / "wrong.sql"
    script.write_text("create schema crm; create table crm.customers (id nonsense);")
    done = patterns("changes", "rules", CRM / "rules.yaml", "--setup", script, "--by", "Zoe")
    refused(done, "Nothing of it was kept.")
    refused(patterns("changes", "rules", CRM / "rules.yaml", "--by", "Zoe"), "there is no table")


def test_a_change_is_made_listed_shown_and_undone(
    patterns: Command, endpoint: ScriptedEndpoint, database: str
) -> None:
    patterns(*RULES)
    before = records(database, "crm.subscriptions")
    endpoint.answer = lambda body, n: json.dumps({"changes": [PAUSE]})
    done = json.loads(patterns("change", "Please pause 101", "--by", "Zoe", "--json").out)
    cell = {"table": "crm.subscriptions", "key": "101", "column": "paused"}
    assert done["cells"] == [{**cell, "before": "false", "after": "true"}]
    number = str(done["id"])
    assert "low risk" in patterns("changes", "list").out
    assert "Please pause 101" in patterns("changes", "show", number).out
    back = json.loads(patterns("undo", number, "--by", "Ann", "--json").out)
    assert back["undo_of"] == done["id"]
    assert records(database, "crm.subscriptions") == before
    refused(patterns("undo", number, "--by", "Ann"), "was undone by Ann already")
    assert "undone by Ann" in patterns("changes", "list").out


def test_what_is_none_is_refused(patterns: Command) -> None:
    refused(patterns("changes", "show", "7"), "There is no change 7")
    refused(patterns("change", " "), "The request says nothing")
    assert patterns("changes", "list").out == "Nothing was changed yet.\n"
