import asyncio
from pathlib import Path

import psycopg
import pytest

from infra.errors import InputError
from infra.settings import get_settings
from tasks.asking import ask
from tasks.prompt_labels import (
    earlier_version,
    find_version,
    history,
    keep_version,
    labelled_prompts,
    promote,
    roll_back,
)
from tasks.prompts import Prompt, file_prompt, load_prompt, parse_prompt
from tasks.runs import charged
from tests.endpoint import ScriptedEndpoint

pytestmark = pytest.mark.usefixtures("database")

NAME = "classify_ticket"
TICKET = {"ticket": "It broke."}


def edited(words: str) -> Prompt:
    """The file's prompt with other instructions."""
    now = file_prompt(NAME)
    return parse_prompt(NAME, now.source.replace("=== input", f"{words}\n=== input"))


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_PROMPT_LABEL", "production")
    get_settings.cache_clear()


async def test_a_version_that_is_kept_is_the_same_prompt_when_the_file_has_gone_on() -> None:
    kept = edited("Be brief.")
    await keep_version(kept)
    for reference in (kept.version, kept.version[:10]):
        found = await find_version(NAME, reference)
        assert (found, found.version, found.cases) == (kept, kept.version, kept.cases)


async def test_a_reference_that_names_none_or_several_is_refused() -> None:
    with pytest.raises(InputError, match="is kept as 'production'"):
        await find_version(NAME, "production")
    for words in ("One.", "Two."):
        await keep_version(edited(words))
    with pytest.raises(InputError, match="names several versions"):
        await find_version(NAME, "")
    with pytest.raises(InputError, match=r"is kept as 'v1'\. Nor is it a Git revision"):
        await earlier_version(NAME, "v1")


async def test_a_version_whose_reply_schema_is_another_now_is_refused(database: str) -> None:
    await keep_version(edited("One."))
    with psycopg.connect(database) as connection:
        connection.execute("update patterns.prompt_versions set version = %s", ["0" * 64])
    with pytest.raises(InputError, match="another reply schema"):
        await find_version(NAME, "0000")


async def test_a_label_moves_and_goes_back_and_who_did_it_is_known() -> None:
    first, second = edited("One."), edited("Two.")
    await promote(first, "production", "ann", 2)
    await promote(second, "production", "bob", 3)
    await promote(first, "canary", "ann", 2)
    assert (await find_version(NAME, "production")).version == second.version
    back = await roll_back(NAME, "production", "eve")
    assert (back.from_version, back.to_version) == (second.version, first.version)
    assert (await find_version(NAME, "production")).version == first.version
    moves = [(m.label, m.moved_by, m.cases, m.rollback) for m in await history(NAME)]
    assert moves == [
        ("production", "ann", 2, False),
        ("production", "bob", 3, False),
        ("canary", "ann", 2, False),
        ("production", "eve", 0, True),
    ]


async def test_there_is_no_way_back_behind_the_first_version() -> None:
    with pytest.raises(InputError, match="no version"):
        await roll_back(NAME, "production", "ann")
    await promote(edited("One."), "production", "ann", 2)
    await promote(edited("Two."), "production", "ann", 2)
    await roll_back(NAME, "production", "ann")
    with pytest.raises(InputError, match="no version"):
        await roll_back(NAME, "production", "ann")


async def test_a_version_that_is_promoted_twice_leaves_the_way_back() -> None:
    first, second = edited("One."), edited("Two.")
    for version in (first, second, second):
        await promote(version, "production", "ann", 1)
    assert (await roll_back(NAME, "production", "ann")).to_version == first.version


async def test_the_way_back_never_turns() -> None:
    first, second = edited("One."), edited("Two.")
    for version in (first, second, first):
        await promote(version, "production", "ann", 1)
    gone = [(await roll_back(NAME, "production", "ann")).to_version for _ in range(2)]
    assert gone == [second.version, first.version]
    with pytest.raises(InputError, match="no version"):
        await roll_back(NAME, "production", "ann")


async def unusable(version: str, database: str) -> None:
    """As if its reply schema had changed since."""
    with psycopg.connect(database) as connection:
        connection.execute(
            "update patterns.prompt_versions set source = jsonb_set(source, '{file}', to_jsonb("
            "replace(source ->> 'file', 'max_tokens: ', 'max_tokens: 1'))) where version = %s",
            [version],
        )


async def test_a_label_never_goes_back_to_what_cannot_be_served(database: str) -> None:
    gone = edited("Of an old program.")
    await promote(gone, "production", "ann", 1)
    await promote(edited("Two."), "production", "ann", 1)
    await unusable(gone.version, database)
    with pytest.raises(InputError, match="another reply schema"):
        await roll_back(NAME, "production", "ann")


@pytest.mark.usefixtures("production")
async def test_a_version_that_cannot_be_served_stops_nobody_who_does_not_use_it(
    database: str,
) -> None:
    gone = edited("Of an older program.")
    await promote(gone, "production", "ann", 1)
    await promote(file_prompt("synthesize"), "production", "ann", 1)
    await unusable(gone.version, database)
    async with charged():
        assert load_prompt("synthesize") == file_prompt("synthesize")
        with pytest.raises(InputError, match="another reply schema"):
            load_prompt(NAME)


@pytest.mark.usefixtures("production")
async def test_a_run_that_needs_a_prompt_without_the_label_does_not_begin() -> None:
    with pytest.raises(InputError, match="promote classify_ticket"):
        async with charged(prompts=[NAME]):
            pytest.fail("it began")


async def test_of_moves_at_once_each_starts_where_the_one_before_ended() -> None:
    versions = [edited(f"Version {n}.") for n in range(4)]
    await asyncio.gather(*(promote(each, "production", "ann", 1) for each in versions))
    moves = await history(NAME)
    assert [move.from_version for move in moves] == [None, *(m.to_version for m in moves[:-1])]


@pytest.mark.usefixtures("production")
async def test_where_a_label_decides_its_version_answers(endpoint: ScriptedEndpoint) -> None:
    await promote(edited("Answer in rhymes."), "production", "ann", 1)
    async with charged():
        await ask(NAME, TICKET)
    assert "Answer in rhymes." in endpoint.calls[0]["messages"][0]["content"]


@pytest.mark.usefixtures("production")
async def test_a_run_keeps_its_versions_while_a_label_moves() -> None:
    first, second = edited("One."), edited("Two.")
    await promote(first, "production", "ann", 1)
    async with charged():
        await promote(second, "production", "ann", 1)
        assert load_prompt(NAME).version == first.version
        async with charged():
            assert load_prompt(NAME).version == first.version
    async with charged():
        assert load_prompt(NAME).version == second.version


@pytest.mark.usefixtures("production")
async def test_a_prompt_without_the_label_is_refused_with_the_command_that_gives_it() -> None:
    async with charged():
        with pytest.raises(InputError, match=f"patterns prompts promote {NAME} --label production"):
            load_prompt(NAME)
    with pytest.raises(RuntimeError):
        load_prompt(NAME)


async def test_without_a_label_the_files_decide() -> None:
    await promote(edited("One."), "production", "ann", 1)
    assert await labelled_prompts() is None
    assert load_prompt(NAME) == file_prompt(NAME)


async def test_a_git_revision_names_the_files_version_of_then() -> None:
    if not (Path(__file__).parents[2] / ".git").exists():
        pytest.skip("not in a Git checkout")
    found = await earlier_version(NAME, "HEAD")
    assert (found.name, found.inputs) == (NAME, ("ticket",))
