"""Labelled texts: what is read, what is left out and said, what is refused, and how they part."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import InputError
from tasks.labelled_texts import Example, Examples, _shares, fit, load_examples, parted
from tests.tasks.tiny_specialists import sentences, written


def file(tmp_path: Path, *rows: tuple[str | None, str | None], good: int = 15) -> Path:
    items = sentences(good)
    table = [(e.text, e.label) for e in items] + list(rows)
    path = tmp_path / "labelled.csv"
    pd.DataFrame(table, columns=["text", "label"]).to_csv(path, index=False)
    return path


async def test_texts_and_labels_are_read_whatever_their_order(tmp_path: Path) -> None:
    items = sentences(15)
    first = await load_examples(str(written(tmp_path / "a.csv", items)))
    second = await load_examples(str(written(tmp_path / "b.csv", items[::-1])))
    assert first.labels == ("cancel", "delivery", "login", "refund")
    assert first.sha256 == second.sha256
    assert [each.text for each in first.items] == [each.text for each in second.items]


async def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"query": e.text, "intent": e.label, "id": n} for n, e in enumerate(sentences(15))]
    pd.DataFrame(rows).to_json(path, orient="records", lines=True)
    assert len((await load_examples(str(path))).items) == 60
    named = await load_examples(str(path), ["query"], "intent")
    assert len(named.labels) == 4


async def test_rows_without_text_or_label_are_left_out_and_named(tmp_path: Path) -> None:
    found = await load_examples(
        str(file(tmp_path, (None, "login"), ("  ", "login"), ("x y", None)))
    )
    assert len(found.items) == 60
    assert "rows 61, 62 left out: no text." in found.notes
    assert "row 63 left out: no label." in found.notes


async def test_equal_texts_count_once_and_not_at_all_where_their_labels_differ(
    tmp_path: Path,
) -> None:
    twice = (("Hello  you", "login"), ("hello you", "login"))
    torn = (("who knows", "login"), ("Who knows", "refund"))
    found = await load_examples(str(file(tmp_path, *twice, *torn)))
    assert len(found.items) == 61
    assert "1 texts stand there twice, and count once." in found.notes
    assert (
        "1 texts have several labels and are left out: row 63 (login) and row 64 (refund)."
        in found.notes
    )


async def test_a_label_with_one_text_is_learned_from_and_said(tmp_path: Path) -> None:
    found = await load_examples(str(file(tmp_path, ("a parrot", "pets"))))
    assert "1 labels have a single text, which is learned from" in found.notes[0]
    [parrot] = [each for each in found.items if each.label == "pets"]
    assert parrot in parted(found)["train"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(f"text {n}", "login") for n in range(50)], r"column label has only 'login'"),
        ([(f"text {n}", f"id-{n}") for n in range(10_000)], r"10,000 labels.*Is it an id\?"),
        ([(f"text {n}", str(n % 2)) for n in range(20)], r"has 20 labelled texts\. 40 are the"),
        ([("", "a"), ("", "b")], "has none"),
    ],
    ids=["one label", "10,000 labels", "too few", "no text"],
)
async def test_what_nothing_can_be_learned_from_is_refused(
    tmp_path: Path, rows: list[tuple[str, str]], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        await load_examples(str(file(tmp_path, *rows, good=0)))


@pytest.mark.parametrize(
    ("rows", "outside", "said"),
    [
        ([(f"text {n}", f"2026-11-{n % 9 + 1:02}") for n in range(60)], None, "holds dates"),
        ([("who knows", "none")], None, r"has the label 'none'.*--outside none"),
        ([("who knows", "none")], "login", r"has the label 'none'"),
        ([], "logn", r"no label 'logn'.*Did you mean 'login'\? Its labels: cancel, delivery"),
    ],
    ids=["dates", "none", "none beside another", "a slip"],
)
async def test_labels_that_cannot_be_meant_so_are_refused(
    tmp_path: Path, rows: list[tuple[str, str]], outside: str | None, said: str
) -> None:
    path = file(tmp_path, *rows, good=0 if "dates" in said else 15)
    with pytest.raises(InputError, match=said):
        await load_examples(str(path), outside=outside)


async def test_none_may_be_said_of_texts_outside(tmp_path: Path) -> None:
    found = await load_examples(str(file(tmp_path, ("who knows", "none"))), outside="none")
    assert [each.text for each in found.items if each.outside] == ["who knows"]


async def test_a_column_is_text_or_label(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the column label is named both as text and as label"):
        await load_examples(str(file(tmp_path)), ["text", "label"], "label")


async def test_numbers_are_labels_also_beside_gaps(tmp_path: Path) -> None:
    path = tmp_path / "numbered.parquet"
    numbers = [float(n % 3) for n in range(59)] + [float("nan")]
    texts = [f"text {n}" for n in range(60)]
    pd.DataFrame({"text": texts, "label": numbers}).to_parquet(path)
    found = await load_examples(str(path))
    assert found.labels == ("0", "1", "2")
    assert "row 60 left out: no label." in found.notes


async def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = str(file(tmp_path))
    with pytest.raises(InputError, match=r"no column 'labl'\. Did you mean 'label'"):
        await load_examples(path, label="labl")
    with pytest.raises(InputError, match="no column 'body'"):
        await load_examples(path, ["body"])
    unlabelled = tmp_path / "unlabelled.csv"
    unlabelled.write_text("text,price\nx,1\n")
    with pytest.raises(InputError, match=r"no column looks like a label.*--label"):
        await load_examples(str(unlabelled))


def test_parts_are_apart_and_each_label_has_a_text_to_learn_from() -> None:
    found = fit("a file", sentences(100))
    parts = parted(found)
    keys = [each.key for items in parts.values() for each in items]
    assert len(keys) == len(set(keys)) == 400
    assert {each.label for each in parts["train"]} == {*found.labels}
    assert len(parts["test"]) in range(60, 101)
    assert len(parts["check"]) in range(20, 41)


def test_a_fifth_is_tested_up_to_a_thousand_and_of_many_a_smaller_share() -> None:
    tested = {number: round(number * _shares(number)["test"]) for number in _NUMBERS}
    assert tested == {40: 8, 1000: 200, 5000: 1000, 10_000: 1000, 20_000: 1500, 100_000: 2000}
    checked = {number: round(number * _shares(number)["check"]) for number in _NUMBERS}
    assert checked == {40: 4, 1000: 50, 5000: 250, 10_000: 500, 20_000: 1000, 100_000: 1000}


_NUMBERS = (40, 1000, 5000, 10_000, 20_000, 100_000)


@given(st.integers(40, 10**7), st.integers(0, 10**6))
def test_the_share_that_is_held_back_never_grows(number: int, more: int) -> None:
    few, many = _shares(number), _shares(number + more)
    assert many["test"] <= few["test"]
    assert sum(many.values()) <= sum(few.values()) + 1e-12 < 1


def test_what_is_tested_on_was_never_learned_from_when_the_data_grow() -> None:
    items = sentences(300)
    before, after = parted(fit("few", items[:400])), parted(fit("more", items))
    tested = {each.key for each in after["test"]}
    learned = {each.key for part in ("train", "check") for each in before[part]}
    assert tested
    assert not tested & learned


@given(st.lists(st.tuples(st.text(max_size=6), st.sampled_from("abc")), max_size=90))
def test_whatever_is_labelled_each_text_is_in_one_part_or_refused(
    rows: list[tuple[str, str]],
) -> None:
    items = [Example(text, label, "row") for text, label in rows if text.strip()]
    try:
        found = fit("a file", items)
    except InputError:
        return
    try:
        parts = parted(found)
    except InputError:
        return  # chance has left a part empty
    assert all(any(not e.outside for e in items) for items in parts.values())
    assert sorted(e.key for p in parts.values() for e in p) == [e.key for e in found.items]
    assert {e.label for e in parts["train"]} == {*found.labels}


def test_a_seed_parts_differently() -> None:
    found: Examples = fit("a file", sentences(60))
    assert parted(found, 0) != parted(found, 1)
