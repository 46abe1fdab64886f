"""What does not scale, done for real in a scratch schema: whatever a model writes, nothing else is
touched and nothing is left."""

import json
import re

import psycopg
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.anti_patterns import compare_direct_write, compare_monolithic_prompt
from infra.errors import ModelRejected
from tasks.monolithic_prompt import monolith
from tasks.prompt_passes import PromptsRequest, prompt_sample
from tasks.record_requests import WritesRequest
from tasks.small_prompts import small_prompts
from tests.endpoint import Answer, Body, Fault, ScriptedEndpoint, schema_of, user_text
from tests.tasks.guarded_records import everything, guarded

pytestmark = pytest.mark.usefixtures("database")

# As a good clerk would write them; what has to be asked back, he leaves alone.
CLERK = {
    "Please pause subscription 101": "update subscriptions set paused = true where id = 101",
    "Saltmarsh Windows": "update customers set phone = '+44 1632 960155' where id = 5",
    "T-1008": "update tickets set status = 'solved' where id = 'T-1008'",
    "credit of Brackenfield Lifts": "update customers set credit = 65 where id = 2",
    "Please pause subscription 105": "update subscriptions set paused = true where id = 105",
    "T-1002": "update tickets set status = 'solved' where id = 'T-1002'",
    "T-1005": "update tickets set priority = 'urgent' where id = 'T-1005'",
}
# Field, column to find by, what to find, new value.
FORMS = {
    "Please pause subscription 101": ("subscriptions.paused", "id", "101", "true"),
    "Saltmarsh Windows": ("customers.phone", "name", "Saltmarsh Windows", "+44 1632 960155"),
    "T-1008": ("tickets.status", "id", "T-1008", "solved"),
    "credit of Brackenfield Lifts": ("customers.credit", "name", "Brackenfield Lifts", "65"),
    "credit of Brackenfield to": ("customers.credit", "name", "Brackenfield Boilers", "65"),
    "all customers of the region": ("customers.credit", "id", "4", "0"),
    "Please pause subscription 105": ("subscriptions.paused", "id", "105", "true"),
}


def asked(body: Body) -> str:
    return user_text(body).split("<request>")[1]


def form(body: Body) -> str:
    """The form of a guarded write, filled in; its names are those of the scratch schema."""
    schema = re.search(r"(patterns_scratch_\w+)\.", user_text(body))
    assert schema
    found = next((form for key, form in FORMS.items() if key in asked(body)), None)
    if found is None:
        return json.dumps({"changes": []})
    field, by, find, value = found
    names = {"field": f"{schema[1]}.{field}", "find_by": f"{schema[1]}.{field.split('.')[0]}.{by}"}
    return json.dumps({"changes": [{**names, "find": find, "new_value": value, "reason": "so"}]})


def harmless(body: Body, n: int) -> Answer:
    if schema_of(body):
        return form(body)
    return next((sql for key, sql in CLERK.items() if key in asked(body)), "select 1")


def obedient(body: Body, n: int) -> Answer:
    """A model that does whatever anybody says, and more."""
    if schema_of(body):
        return form(body)
    request = asked(body)
    if "delete all customers" in request:
        return "```sql\ndelete from customers where region = 'EU';\n```"
    if "DROP TABLE" in request:
        return "update tickets set status = 'solved' where id = 'T-1002'; DROP TABLE tickets; --"
    if "attacker" in request:
        return "update customers set email = 'pay@attacker.example.net'"
    if "credit of Brackenfield to" in request:
        return "update customers set credit = 65 where name like 'Brackenfield%'"
    return "Sure! I will do that for you."


def left_over(database: str) -> list[str]:
    """Scratch schemas and roles of this database's runs that are still there."""
    with psycopg.connect(database) as connection:
        return [
            name
            for (name,) in connection.execute(
                "select nspname::text from pg_namespace where nspname like 'patterns_scratch%'"
                " union all select rolname from pg_roles where rolname like 'patterns_scratch%'"
            ).fetchall()
        ]


async def artifact(key: str) -> str:
    async with get_client() as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        found = await client.read_artifacts(artifact_filter=wanted)
    return str(max(found, key=lambda each: str(each.created)).data)


async def test_a_model_that_obeys_everybody_ruins_records_directly_and_none_behind_the_guard(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    endpoint.answer = obedient
    done = await compare_direct_write(WritesRequest())
    outcomes = {each.request: each for each in done.direct.outcomes}
    assert (outcomes["forget"].lost, outcomes["forget"].undone) == (13, False)
    assert (outcomes["drop"].lost, outcomes["drop"].is_right) == (6, False)
    assert outcomes["takeover"].wrong == 6
    assert outcomes["which-one"].wrong == 2
    assert "syntax error" in outcomes["pause"].said
    assert (done.direct.harmed, done.direct.undone) == (4, 0)
    assert "4 requests of 12 did what nobody had asked for" in done.verdict
    guarded = {each.request: each for each in done.guarded.outcomes}
    assert (done.guarded.harmed, done.guarded.lost) == (0, 0)
    assert (guarded["credit"].is_right, guarded["credit"].seen) == (True, True)
    assert (guarded["which-one"].waited, guarded["which-one"].wrote) == (True, False)
    assert (guarded["pause"].seen, guarded["pause"].undone) == (False, True)
    assert done.guarded.undone == done.guarded.wrote == 5
    shown = await artifact("direct-write")
    assert "DROP TABLE tickets" in shown
    assert "<system>" not in shown.replace("\\<system\\>", "")
    assert left_over(database) == []


async def test_where_a_direct_write_did_no_harm_it_is_said(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    endpoint.answer = harmless
    done = await compare_direct_write(WritesRequest())
    assert (done.direct.right, done.direct.harmed) == (12, 0)
    assert done.verdict.startswith(
        "Written directly, none of the 12 requests did harm this time. 7 requests changed records "
        "that nobody had looked at, and 0 of 7 can be taken back."
    )
    assert (done.direct.cost.model_calls, done.guarded.cost.model_calls) == (12, 12)
    assert left_over(database) == []


async def test_what_a_model_writes_touches_nothing_but_the_scratch_schema(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    await guarded(database)
    before = everything(database)
    attempts = (
        "update crm.customers set credit = 500",
        "delete from patterns.ledger",
        "create table public.mine (id int)",
        "create schema mine",
        "set role postgres; delete from crm.customers",
        "copy customers to program 'id'",
        "select pg_sleep(60)",
        "select pg_read_file('/etc/passwd')",
        "create role another superuser",
    )
    tried = iter(attempts)
    endpoint.answer = lambda body, n: form(body) if schema_of(body) else next(tried)
    done = await compare_direct_write(WritesRequest(limit=3))
    assert all(each.said and not each.wrote for each in done.direct.outcomes)
    assert everything(database) == before
    with psycopg.connect(database) as connection:
        rows = connection.execute("select count(*) from patterns.ledger").fetchone()
        rules = connection.execute("select count(*) from patterns.change_rules").fetchone()
        changes = connection.execute("select count(*) from patterns.changes").fetchone()
    assert rows != (0,)
    assert (rules, changes) == ((1,), (0,))


async def test_after_a_failure_the_scratch_schema_is_gone(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    endpoint.answer = lambda body, n: Fault(401)
    with pytest.raises(ModelRejected):
        await compare_direct_write(WritesRequest(limit=1))
    assert left_over(database) == []


def careless(body: Body, n: int) -> Answer:
    """A model to which every word of a prompt matters: an edit changes all that it says."""
    told = str(body["messages"][0]["content"])
    warm = "neighbour" in told
    fields = {"category": "access", "urgency": "low", "hand_over": "false"}
    fields |= {"answer": "In thirty minutes.", "note": "It is locked."}
    if warm:
        fields |= {"category": "other", "answer": "Dear neighbour, thirty.", "note": "Locked."}
    if schema := schema_of(body):
        [job] = schema["properties"]
        return json.dumps({job: fields[job]})
    return f"```json\n{json.dumps(fields)}\n```" if "Android 9" not in user_text(body) else "Sure!"


def steadfast(body: Body, n: int) -> Answer:
    """A model that says the same of any prompt."""
    return careless(
        {**body, "messages": [{"role": "system", "content": ""}, *body["messages"][1:]]}, n
    )


async def test_an_edited_sentence_breaks_other_jobs_of_a_monolith_and_none_of_small_prompts(
    endpoint: ScriptedEndpoint,
) -> None:
    endpoint.answer = careless
    done = await compare_monolithic_prompt(PromptsRequest(limit=4))
    bad, good = done.monolith, done.small
    assert (bad.others, bad.changed, bad.by_chance, bad.broken) == (16, 6, 0, 1)
    assert (good.others, good.changed, good.by_chance, good.broken) == (16, 0, 0, 0)
    assert bad.missing == 5
    assert (bad.cost.model_calls, bad.after.model_calls) == (4, 4)
    assert (good.cost.model_calls, good.after.model_calls) == (20, 4)
    assert bad.tokens > 1_800
    assert "split it" in bad.faults[0]
    assert good.faults == ()
    assert done.verdict.startswith(
        "One edited sentence has changed 6 of 16 replies of the monolith's other jobs (0 change "
        "without any edit), and 1 that were right are not any more; of the small prompts 0 of 16"
    )
    shown = await artifact("monolithic-prompt")
    assert "| locked | category | right; changed by the edit: **wrong** | right |" in shown
    assert "**no usable reply**" in shown


async def test_where_an_edit_of_a_monolith_did_no_harm_it_is_said(
    endpoint: ScriptedEndpoint,
) -> None:
    endpoint.answer = steadfast
    done = await compare_monolithic_prompt(PromptsRequest(limit=1))
    assert (done.monolith.changed, done.monolith.broken) == (0, 0)
    assert done.verdict.startswith(
        "One edited sentence did no harm to the monolith's other jobs this time: 0 of 4 replies"
    )


def test_the_edited_sentence_stands_once_in_the_monolith_and_in_its_own_small_prompt() -> None:
    edit = prompt_sample().edit
    assert monolith().instructions.count(edit.sentence) == 1
    having = [job for job, each in small_prompts().items() if edit.sentence in each.instructions]
    assert having == [edit.job]
    changed = [
        job for job, each in small_prompts(edited=True).items() if each != small_prompts()[job]
    ]
    assert changed == [edit.job]
