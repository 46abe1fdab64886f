import json
from uuid import UUID, uuid4

import pytest

from infra.budget import RunContext, current_run
from infra.errors import InputError, ModelRefused
from infra.settings import get_settings
from tasks.asking import ask
from tasks.cache_upkeep import clear
from tasks.prompt_labels import keep_version
from tasks.prompts import Prompt, file_prompt, parse_prompt
from tasks.reading import ask_pack
from tasks.replay import newest_uses, replay
from tasks.replies import facts_by_label
from tests.endpoint import Body, Said, ScriptedEndpoint

pytestmark = pytest.mark.usefixtures("database")

NAME = "classify_ticket"


def saying(summary: str) -> str:
    return json.dumps({"category": "bug", "urgency": "low", "summary": summary})


async def run_of(*tickets: str) -> UUID:
    """A run that classifies tickets, each as often as it is named."""
    root = uuid4()
    token = current_run.set(RunContext(root_run=root))
    for ticket in tickets:
        await ask(NAME, {"ticket": ticket})
    current_run.reset(token)
    return root


def edited() -> Prompt:
    now = file_prompt(NAME)
    return parse_prompt(NAME, now.source.replace("=== input", "In French.\n=== input"))


async def test_a_run_is_asked_again_each_call_once_in_its_order(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: saying("in English")
    run = await run_of("Export hangs", "Login fails", "Export hangs")
    await run_of("of another run")
    await keep_version(edited())
    endpoint.answer = lambda body, n: saying("en français")
    endpoint.calls.clear()
    done = await replay(run=run, version=edited().version[:12])
    assert [(each.prompt, each.same) for each in done] == [(NAME, False)] * 2
    assert done[0].row < done[1].row
    assert [json.loads(each.then.reply)["summary"] for each in done] == ["in English"] * 2
    assert [json.loads(each.now.reply)["summary"] for each in done] == ["en français"] * 2
    assert {each.now.version for each in done} == {edited().version}
    assert all("In French." in body["messages"][0]["content"] for body in endpoint.calls)


async def test_a_row_is_asked_again_of_another_model(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: saying(f"by {body['model']}")
    await run_of("Export hangs")
    [done] = await replay(row=1, model="openai:larger")
    assert (done.then.model, done.now.model) == ("openai:scripted", "openai:larger")
    assert json.loads(done.now.reply)["summary"] == "by larger"


async def test_the_same_again_is_the_same_and_costs_nothing(endpoint: ScriptedEndpoint) -> None:
    run = await run_of("Export hangs")
    endpoint.calls.clear()
    [done] = await replay(run=run)
    assert done.same
    assert endpoint.calls == []


async def test_a_reply_with_a_schema_of_its_own_is_asked_for_with_the_same(
    endpoint: ScriptedEndpoint,
) -> None:
    fills = facts_by_label(("P1", "P2"))
    await ask("extract_facts", {"passages": "[P1] Export hangs\n\n[P2] Login"}, fills=fills)
    [done] = await replay(row=1, model="openai:larger")
    assert json.loads(done.now.reply).keys() == {"P1", "P2"}


async def test_a_reply_that_had_less_room_is_the_same(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_CHAT_CONTEXT_TOKENS", "3000")
    get_settings.cache_clear()
    await ask_pack([("ab" * 32, "Export hangs")])
    endpoint.calls.clear()
    [done] = await replay(row=1)
    assert done.same
    assert endpoint.calls == []


async def test_what_cannot_be_answered_now_says_why(endpoint: ScriptedEndpoint) -> None:
    def answer(body: Body, n: int) -> str | Said:
        return Said("", "content_filter") if body["model"] == "larger" else saying("a bug")

    endpoint.answer = answer
    await run_of("Export hangs")
    [done] = await replay(row=1, model="openai:larger")
    assert done.now.failed
    assert done.now.failed.startswith("ModelRefused")
    assert not done.same


async def test_a_call_that_had_no_reply_is_asked_again(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: Said("", "content_filter")
    with pytest.raises(ModelRefused):
        await run_of("Export hangs")
    endpoint.answer = lambda body, n: saying("a bug")
    [done] = await replay(row=1)
    assert (done.then.failed, done.then.reply) == ("ModelRefused", "")
    assert json.loads(done.now.reply)["summary"] == "a bug"


async def test_a_tenants_call_stays_the_tenants(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: saying("a bug")
    await ask(NAME, {"ticket": "Export hangs"}, tenant="acme")
    await replay(row=1, model="openai:larger")
    endpoint.calls.clear()
    theirs = await ask(NAME, {"ticket": "Export hangs"}, tenant="acme", model="openai:larger")
    other = await ask(NAME, {"ticket": "Export hangs"}, model="openai:larger")
    assert (theirs.served_by, other.served_by, len(endpoint.calls)) == ("exact", "model", 1)


async def test_the_newest_uses_come_first_of_a_prompt_or_a_run(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: saying("a bug")
    run = await run_of("Export hangs", "Login fails", "Export hangs")
    await ask(NAME, {"ticket": "Export hangs"})
    assert [use.served_by for use in await newest_uses()] == ["exact", "exact", "model", "model"]
    assert [use.row for use in await newest_uses(run=run)] == [3, 2, 1]
    assert [use.row for use in await newest_uses(NAME, most=1)] == [4]
    assert await newest_uses("other") == []


async def test_what_was_dropped_with_its_reply_cannot_be_replayed(
    endpoint: ScriptedEndpoint,
) -> None:
    endpoint.answer = lambda body, n: saying("a bug")
    await run_of("Export hangs")
    await clear()
    with pytest.raises(InputError, match="row 1 is gone: it was dropped with its reply"):
        await replay(row=1)


async def test_what_the_ledger_has_not_cannot_be_replayed() -> None:
    with pytest.raises(InputError, match="has no row 7"):
        await replay(row=7)
    with pytest.raises(InputError, match="has no run"):
        await replay(run=uuid4())
