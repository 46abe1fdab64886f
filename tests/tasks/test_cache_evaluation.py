"""The semantic cache on labelled pairs."""

from pathlib import Path

import pytest

from infra.errors import InputError
from tasks.cache_evaluation import Pair, evaluate, read_pairs, teach

SAME = ("How do I reset my password?", "How can I reset my password?", True)
OTHER = ("How do I reset my password?", "What is the weather like?", False)
OPPOSITE = ("How do I enable 2FA?", "How do I disable 2FA?", False)


def pairs(count: int, *kinds: Pair) -> list[Pair]:
    return [kinds[number % len(kinds)] for number in range(count)]


async def test_a_threshold_that_one_half_teaches_is_judged_on_the_other() -> None:
    found = await evaluate(pairs(1000, SAME, OTHER), 0.01)
    assert found.threshold is not None
    assert (found.pairs, found.taught_on, found.wrong_hits) == (500, 500, 0)
    assert 0.4 < found.hit_rate < 0.6
    assert found.wrong_share_of_hits == 0
    assert found.interval[0] == 0 < found.interval[1] < 0.01


async def test_the_seed_chooses_the_half() -> None:
    some = pairs(900, SAME, OTHER, OPPOSITE)
    assert await evaluate(some, 0.01, seed=1) == await evaluate(some, 0.01, seed=1)
    assert await evaluate(some, 0.01, seed=1) != await evaluate(some, 0.01, seed=2)


async def test_opposites_are_never_hit_however_wide_the_bound() -> None:
    found = await evaluate(pairs(40, OPPOSITE), 0.99)
    assert (found.hits, found.wrong_share_of_hits) == (0, None)


async def test_without_a_certified_threshold_there_are_no_hits() -> None:
    found = await evaluate(pairs(100, SAME), 0.01)
    assert (found.threshold, found.hits) == (None, 0)


@pytest.mark.usefixtures("database", "endpoint")
async def test_pairs_teach_a_prompt_that_is_a_question_and_no_other() -> None:
    assert (await teach("answer_briefly", pairs(800, SAME, OTHER))).threshold is not None
    with pytest.raises(InputError, match="has no `question`"):
        await teach("classify_ticket", [SAME])


def test_pairs_are_read_with_labels_as_people_write_them(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("text_a,text_b,label\na,b,1\nc,d,0\ne,f,true\n")
    assert read_pairs(file) == [("a", "b", True), ("c", "d", False), ("e", "f", True)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text_a,label\na,1\n", "no column text_b"),
        ("text_a,text_b,label\na,b,1\na,,1\n", "row 2: text_b is empty"),
        ("text_a,text_b,label\na,b,maybe\n", "row 1: label is 'maybe'"),
        ("text_a,text_b,label\n", "no records|empty"),
    ],
)
def test_what_is_no_pair_is_refused_with_its_place(
    tmp_path: Path, content: str, message: str
) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text(content)
    with pytest.raises(InputError, match=message):
        read_pairs(file)


async def test_one_pair_cannot_teach_and_test() -> None:
    with pytest.raises(InputError, match="too few"):
        await evaluate([SAME], 0.01)
