"""Who serves: promoted in whose place, rolled back to whom, and what a damaged file does."""

from pathlib import Path

import pytest

from infra.errors import AssetError, InputError
from infra.postgres import transaction
from tasks.labelled_texts import Example
from tasks.specialist_comparison import ComparisonRequest, compare, require_champion
from tasks.specialist_report import comparison_markdown
from tasks.specialist_serving import (
    _loaded,
    promoted,
    promoted_after,
    rolled_back,
    served,
    serving,
)
from tasks.specialists import EXAMPLES, Specialist, damage, read_examples
from tests.tasks.kept_reviews import opened
from tests.tasks.tiny_specialists import ready_specialist, sentences

pytestmark = pytest.mark.usefixtures("no_specialists")


async def in_turn(encoder: Path, number: int) -> list[Specialist]:
    """So many that have served one after the other."""
    found = [await ready_specialist(encoder) for _ in range(number)]
    for each in found:
        await promoted(each, "Ann", None)
    return found


def altered(specialist: Specialist, name: str = "model.onnx") -> None:
    with (specialist.folder / name).open("ab") as file:
        file.write(b"x")
    _loaded.cache_clear()


async def test_one_that_was_approved_in_anothers_place_takes_no_thirds(encoder: Path) -> None:
    [first] = await in_turn(encoder, 1)
    second, third = await ready_specialist(encoder), await ready_specialist(encoder)
    review = (await opened()).id
    await promoted_after(first.id, second, "Ann", review)
    await promoted_after(first.id, second, "Ann", review)  # the same run, once more
    assert await served("tickets") == [second.id, first.id]
    with pytest.raises(InputError, match=r"place of specialist 1, and specialist 2 serves"):
        await promoted_after(first.id, third, "Ann", review + 1)
    with pytest.raises(InputError, match="place of nobody"):
        await promoted_after(None, third, "Ann", review + 1)
    assert await served("tickets") == [second.id, first.id]


async def test_nobody_is_rolled_back_to_whose_files_are_damaged(encoder: Path) -> None:
    first, second, _ = await in_turn(encoder, 3)
    altered(second)
    found, said = await rolled_back("tickets", "Ann")
    assert found.id == first.id
    assert "model.onnx of specialist 2 was altered" in said
    assert await served("tickets") == [first.id]
    await promoted(second, "Ann", None)
    altered(first)
    with pytest.raises(AssetError, match=r"specialist 1 was altered.*Nobody else served before"):
        await rolled_back("tickets", "Ann")
    assert await served("tickets") == [second.id, first.id]


async def test_a_word_is_said_on_a_file_that_is_gone_or_altered(encoder: Path) -> None:
    found = await ready_specialist(encoder)
    assert damage(found) == ""
    altered(found)
    assert "model.onnx of specialist 1 was altered" in damage(found)
    assert read_examples(found)["test"]  # which are whole
    (found.folder / EXAMPLES).unlink()
    with pytest.raises(AssetError, match=r"lacks its file .*examples\.parquet\. Put the file back"):
        read_examples(found)


async def test_another_database_does_not_erase_the_files_of_the_first(encoder: Path) -> None:
    first = await ready_specialist(encoder)
    async with transaction() as connection:  # as a new database is: numbers begin anew
        await connection.execute("truncate patterns.specialists restart identity cascade")
    second = await ready_specialist(encoder)
    assert (first.id, second.id) == (1, 1)
    assert damage(first) == damage(second) == ""
    assert first.folder != second.folder


async def test_a_damaged_champion_can_be_replaced(encoder: Path) -> None:
    first, second = await in_turn(encoder, 2)
    altered(second)
    third = await ready_specialist(encoder)
    found = await compare(ComparisonRequest(specialist=third.id))
    assert found.champion is not None
    assert (found.champion.specialist, found.replaces) == (first.id, second.id)
    require_champion(found)
    assert "specialist 2 was altered" in comparison_markdown(found)
    altered(first)
    found = await compare(ComparisonRequest(specialist=third.id))
    assert (found.champion, found.replaces) == (None, second.id)
    require_champion(found)
    await promoted_after(found.replaces, third, "Ann", (await opened()).id)
    assert (await serving("tickets"))[0].id == third.id


async def test_only_who_was_held_against_the_champion_takes_its_place(encoder: Path) -> None:
    first, _ = await in_turn(encoder, 2)
    third = await ready_specialist(encoder)
    found = await compare(ComparisonRequest(specialist=third.id, against=first.id))
    with pytest.raises(InputError, match="was held against 1, and 2 serves"):
        require_champion(found)


async def test_texts_that_people_were_asked_about_are_no_sample(encoder: Path) -> None:
    [first] = await in_turn(encoder, 1)
    own = read_examples(first)["test"]
    of_people = [Example(each.text, each.label, "review 7, Ann") for each in sentences(5, seed=9)]
    second = await ready_specialist(encoder, tested=of_people)
    found = await compare(ComparisonRequest(specialist=second.id))
    inside = [each for each in own if not each.outside]
    assert (found.texts, found.asked, found.known) == (len(inside), len(of_people), 0)
    shown = comparison_markdown(found)
    assert f"{len(of_people)} others were left out: people were asked about them" in shown
    assert "Its threshold lets through" in shown
    assert found.challenger.target == 0.9
    assert found.challenger.acted_on > 0.5


async def test_on_a_few_texts_two_are_not_compared(
    encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await in_turn(encoder, 1)
    second = await ready_specialist(encoder)
    monkeypatch.setattr("tasks.specialist_comparison.FEWEST", 1000)
    with pytest.raises(InputError, match=r"There are \d+ texts on which specialists 2 and 1 can"):
        await compare(ComparisonRequest(specialist=second.id))
