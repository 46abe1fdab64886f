"""A run of change-records that is killed at each of its steps in turn, and started again."""

import json

from prefect.client.orchestration import get_client

from flows.guarded_write import change_records
from tasks.change_application import changes
from tasks.change_requests import ChangeRequest
from tests.endpoint import ScriptedEndpoint
from tests.flows.killed_runs import AT, NEVER, attempt
from tests.flows.test_guarded_write import CREDIT
from tests.tasks.guarded_records import everything, guarded

FLOW = "flows.guarded_write.change_records"
REQUEST = ChangeRequest(request="Give Brackenfield 65", requester="Zoe")
STEPS = [
    ("tasks.change_proposals", "ask"),
    ("tasks.change_requests", "propose"),
    ("tasks.change_requests", "rehearse"),
    ("tasks.review_output", "open_review"),
    ("tasks.review_output", "apause_flow_run"),
    ("tasks.change_requests", "apply_changes"),
    ("tasks.change_report", "read_change"),
]


async def test_a_run_that_is_killed_at_each_step_in_turn_changes_its_records_once(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    await guarded(database)
    untouched = everything(database)
    endpoint.answer = lambda body, n: json.dumps({"changes": [CREDIT]})
    async with get_client() as client:
        run = await client.create_flow_run(
            change_records, parameters={"request": REQUEST.model_dump()}
        )
    for where, name in STEPS:
        for when in ("before", "after"):
            assert not await attempt(run.id, FLOW, AT, where, name, when), (name, when)
            applied = name == "read_change" or (name, when) == ("apply_changes", "after")
            assert len(await changes()) == applied
            assert (everything(database) == untouched) == (not applied)
    assert await attempt(run.id, FLOW, NEVER)
    [change] = await changes()
    assert change.cells[0].after == "65.00"
    assert len(endpoint.answered) <= 2  # the reply that was on its way when the process died
    async with get_client() as client:
        done = await client.read_flow_run(run.id)
    assert done.state is not None
    assert done.state.is_completed()
