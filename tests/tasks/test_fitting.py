import asyncio
import threading
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import fitting
from tasks.codebook import RARE, Codebook, assign, load_codebook, save_codebook
from tasks.fitting import current_codebook, extend, fit, refit_wanted
from tests.tasks.clouds import (
    DIMENSIONS,
    Facts,
    any_facts,
    bare,
    check,
    cloud,
    content,
    fact_ids,
    grown,
    joined,
    permuted,
    small_limits,
    units,
)

THREE = (cloud(0, 20), cloud(1, 20), cloud(2, 20))


def themes(codebook: Codebook, facts: Facts) -> list[set[str]]:
    """The ids of the facts of each leaf, the smallest first; and, last, those that are rare."""
    ids, _ = facts
    leaves = assign(codebook, *facts)
    found = [{ids[row] for row in np.flatnonzero(leaves == leaf)} for leaf in codebook.leaves]
    rare = {ids[row] for row in np.flatnonzero(leaves == RARE)}
    return [*sorted(found, key=lambda each: (len(each), sorted(each))), rare]


def test_every_cloud_becomes_a_theme() -> None:
    facts = joined(cloud(0, 10), cloud(1, 20), cloud(2, 30))
    expected = [set(cloud(axis, 10 * (axis + 1))[0]) for axis in range(3)]
    assert themes(fit(*facts), facts) == [*expected, set()]


def test_facts_of_their_own_kind_are_rare() -> None:
    facts = joined(*THREE, cloud(7, 1), cloud(8, 2))
    rare = themes(fit(*facts), facts)[-1]
    assert rare >= {*cloud(7, 1)[0], *cloud(8, 2)[0]}
    assert len(rare) <= 5


def test_ten_of_six_thousand_facts_are_a_theme() -> None:
    facts = joined(*(cloud(axis, 1000, 0.15) for axis in range(6)), cloud(9, 10, 0.15))
    assert set(cloud(9, 10)[0]) in themes(fit(*facts), facts)


def test_three_equal_facts_beside_many_others_are_a_theme() -> None:
    alike = fact_ids(3, "alike"), np.repeat(cloud(9, 1)[1], 3, axis=0)
    facts = joined(*THREE, alike)
    assert set(alike[0]) in themes(fit(*facts), facts)[:-1]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_of_one_or_two_facts_all_are_rare(count: int) -> None:
    facts = cloud(0, count)
    codebook = fit(*facts)
    assert codebook.leaves == ()
    assert assign(codebook, *facts).tolist() == [RARE] * count


def test_without_three_facts_that_have_something_in_common_all_are_rare() -> None:
    facts = joined(cloud(0, 2, 0.02), cloud(1, 2, 0.02), cloud(2, 1))
    assert themes(fit(*facts), facts) == [set(facts[0])]


def test_a_pair_and_a_stranger_are_no_theme() -> None:
    pair, stranger = [[1.0, 0.0, 0.0], [0.9, 0.43, 0.0]], [[0.4, 0.1, 0.91]]
    facts = fact_ids(3), units(np.array(pair + stranger))
    assert themes(fit(*facts), facts) == [set(facts[0])]


def test_equal_facts_are_one_theme_of_any_size() -> None:
    facts = fact_ids(500), np.repeat(cloud(0, 1)[1], 500, axis=0)
    codebook = fit(*facts)
    assert themes(codebook, facts) == [set(facts[0]), set()]
    assert codebook.leaves == (1,)
    reworded = facts[1][:1] + 0.2 * np.eye(DIMENSIONS)[5:6]
    assert assign(codebook, ["reworded"], units(reworded)).tolist() == [1]


@pytest.mark.parametrize("kinds", [2, 3, 6])
def test_a_few_texts_that_stand_often_are_themes_of_their_own(kinds: int) -> None:
    facts = joined(*[cloud(axis, 1) for axis in range(kinds)])
    often = fact_ids(9 * kinds), np.repeat(facts[1], 9, axis=0)
    assert len(fit(*often).leaves) == kinds


def test_texts_that_stand_often_and_say_the_same_are_one_theme() -> None:
    _, rows = cloud(0, 4, 0.01)
    assert len(fit(fact_ids(36), np.repeat(rows, 9, axis=0)).leaves) == 1


def test_themes_are_numbered_from_the_largest_to_the_smallest() -> None:
    facts = joined(cloud(0, 10), cloud(1, 30), cloud(2, 20))
    assert assign(fit(*facts), *facts)[[0, 10, 40]].tolist() == [3, 1, 2]


def test_a_fact_that_stands_often_weighs_no_more_than_one() -> None:
    facts = joined(*THREE, cloud(8, 2))
    often = joined(facts, cloud(8, 2), cloud(8, 2), *[cloud(0, 20)] * 5)
    assert content(fit(*often)) == content(fit(*facts))


def test_a_large_theme_is_split_into_parts() -> None:
    facts = joined(cloud(0, 1600, 0.05), cloud(12, 100, 0.05), cloud(13, 100, 0.05))
    codebook = fit(*facts)
    tree = grown(codebook, facts)
    check(tree, facts)
    small, medium, large = sorted(tree.branches, key=lambda node: len(tree.facts_under(node)))
    assert not tree.nodes[small].children
    assert not tree.nodes[medium].children
    assert 8 <= len(tree.nodes[large].children) <= 12
    assert codebook.entries[large].kind == "theme"
    assert all(storeys(codebook, leaf) <= 3 for leaf in codebook.leaves)
    assert max(len(leaf.facts) for leaf in tree.leaves) <= 250


def test_facts_beyond_the_radius_do_not_make_a_theme_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strangers = units(0.3 * np.eye(DIMENSIONS)[[0] * 10] + np.eye(DIMENSIONS)[5:15])
    facts = joined(cloud(0, 195), cloud(1, 60), ([f"last {n}" for n in range(10)], strangers))
    monkeypatch.setattr(fitting, "SAMPLE", 255)
    assert fit(*facts).leaves == (1, 2)


def test_parts_are_split_again_until_there_are_three_storeys() -> None:
    facts = joined(cloud(0, 300, 0.05), cloud(12, 10, 0.05), cloud(13, 10, 0.05))
    with small_limits():
        codebook = fit(*facts)
    assert max(storeys(codebook, leaf) for leaf in codebook.leaves) == 3


def storeys(codebook: Codebook, leaf: int) -> int:
    """How many themes are at and over a leaf."""
    entry = codebook.entries[leaf]
    if entry.kind == "area" or entry.parent is None:
        return 0
    return 1 + storeys(codebook, entry.parent)


def test_the_facts_of_smallest_id_are_what_themes_are_found_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fitting, "SAMPLE", 40)
    ids, vectors = joined(*THREE)
    sample = np.argsort(ids)[:40]
    rest = [row for row in range(60) if row not in sample]
    first = fit([ids[row] for row in sample], vectors[sample])
    both = fit(*joined(permuted((ids, vectors), sample), permuted((ids, vectors), rest)))
    found = [entry for entry in first.entries if entry.centroid is not None]
    assert [bare(both.entries[entry.id]) for entry in found] == [bare(entry) for entry in found]


def test_a_later_group_becomes_a_theme_and_nothing_else_changes() -> None:
    facts = joined(*THREE, cloud(8, 2))
    codebook = fit(*facts)
    two_more = joined(facts, cloud(9, 2))
    assert extend(codebook, *two_more) is codebook
    more = joined(facts, cloud(9, 6), (fact_ids(1, "third"), cloud(8, 1)[1]))
    extended = extend(codebook, *more)
    known = len(codebook.entries)
    assert [bare(e) for e in extended.entries[:known]] == [bare(e) for e in codebook.entries]
    assert len(extended.entries) == known + 2
    assert themes(extended, more)[:2] == [
        {*cloud(8, 2)[0], *fact_ids(1, "third")},
        set(cloud(9, 6)[0]),
    ]
    assert extend(extended, *more) is extended


def test_a_theme_of_the_pool_reaches_all_facts_that_it_was_made_of() -> None:
    tight, loose = joined(*(cloud(axis, 20, 0.06) for axis in range(3))), cloud(9, 10, 0.12)
    facts = joined(tight, loose)
    assert set(loose[0]) in themes(extend(fit(*tight), *facts), facts)


def test_a_refit_is_wanted_when_a_tenth_of_the_facts_is_near_to_no_theme_of_the_fit() -> None:
    codebook = fit(*joined(*THREE))
    few, many = joined(*THREE, cloud(9, 6)), joined(*THREE, cloud(9, 7))
    assert not refit_wanted(codebook, *few)
    assert refit_wanted(codebook, *many)
    assert refit_wanted(extend(codebook, *many), *many), "an appended theme is none of the fit"


def test_facts_that_were_rare_at_the_fit_are_no_reason_for_another() -> None:
    facts = joined(*THREE, *(cloud(axis, 1) for axis in range(3, 12)))
    codebook = fit(*joined(*THREE))
    assert refit_wanted(codebook, *facts)
    assert not refit_wanted(codebook.replaced(fitted_rare=9), *facts)


def test_a_refit_is_wanted_when_the_fit_was_outgrown(monkeypatch: pytest.MonkeyPatch) -> None:
    before = joined(cloud(0, 10), cloud(1, 10))
    codebook = fit(*before)
    near = fact_ids(61), cloud(0, 61, 0.05)[1]
    assert not refit_wanted(codebook, *joined(before, permuted(near, range(60))))
    assert refit_wanted(codebook, *joined(before, near))
    monkeypatch.setattr(fitting, "SAMPLE", 20)
    assert not refit_wanted(codebook, *joined(before, near)), "it saw a whole sample"


@given(any_facts(), st.randoms(use_true_random=False))
def test_the_order_of_facts_changes_no_byte(facts: Facts, random: st.randoms) -> None:
    order = list(range(len(facts[0])))
    random.shuffle(order)
    with small_limits():
        codebook, other = fit(*facts), fit(*permuted(facts, order))
    assert content(codebook) == content(other)
    leaves = assign(codebook, *facts)
    assert assign(other, *permuted(facts, order)).tolist() == leaves[order].tolist()


@given(any_facts(), any_facts())
def test_vectors_at_the_precision_that_they_are_kept_at_give_the_same(
    facts: Facts, later: Facts
) -> None:
    kept, kept_later = ((ids, vectors.astype(np.float16)) for ids, vectors in (facts, later))
    with small_limits():
        codebook, other = fit(*facts), fit(*kept)
        assert content(extend(other, *kept_later)) == content(extend(codebook, *later))
        assert refit_wanted(other, *kept_later) == refit_wanted(codebook, *later)
    assert content(other) == content(codebook)
    assert assign(other, *kept_later).tolist() == assign(codebook, *later).tolist()


@given(any_facts())
def test_what_was_fitted_has_nothing_to_append(facts: Facts) -> None:
    with small_limits():
        codebook = fit(*facts)
        assert extend(codebook, *facts) is codebook
        assert not refit_wanted(codebook, *facts)


@given(any_facts(), any_facts())
def test_facts_that_come_later_rename_nothing_and_none_is_lost(facts: Facts, later: Facts) -> None:
    both = joined(facts, (later[0], later[1][:, ::-1]))
    both = both[0][: len(facts[0])] + [f"{id_}later" for id_ in later[0]], both[1]
    with small_limits():
        codebook = fit(*facts)
        extended = extend(codebook, *both)
        assert extend(extended, *both) is extended
    check(grown(codebook, facts), facts, 3)
    check(grown(extended, both), both, 3)
    for old, new in zip(codebook.entries, extended.entries, strict=False):
        assert bare(old._replace(parent=None)) == bare(new._replace(parent=None))


@pytest.mark.usefixtures("database")
async def test_the_first_run_fits_and_later_ones_go_on_from_there() -> None:
    first, refitted = await current_codebook("lineage", *joined(*THREE))
    assert (first.generation, first.version, refitted) == (1, 1, False)
    again, _ = await current_codebook("lineage", *joined(*THREE))
    assert content(again) == content(first)
    assert again.version == 1
    more, refitted = await current_codebook("lineage", *joined(*THREE, cloud(9, 5)))
    assert (more.generation, more.version, refitted) == (1, 2, False)
    assert len(more.leaves) == 4


@pytest.mark.usefixtures("database")
async def test_a_refit_is_made_on_request_and_when_it_is_wanted() -> None:
    await current_codebook("lineage", *joined(*THREE))
    asked, refitted = await current_codebook("lineage", *joined(*THREE), refit=True)
    assert (asked.generation, refitted) == (2, True)
    wanted, refitted = await current_codebook("lineage", *joined(*THREE, cloud(9, 9)))
    assert (wanted.generation, refitted) == (3, True)
    _, refitted = await current_codebook("lineage", *joined(*THREE, cloud(9, 9)))
    assert not refitted


@pytest.mark.usefixtures("database")
async def test_runs_at_once_share_one_codebook() -> None:
    runs = [joined(*THREE, cloud(9 + n, 4)) for n in range(4)]
    everything = joined(*THREE, *(cloud(9 + n, 4) for n in range(4)))
    first = await asyncio.gather(*(current_codebook("lineage", *joined(*THREE)) for _ in range(4)))
    assert len({tuple(content(codebook)) for codebook, _ in first}) == 1
    await asyncio.gather(*(current_codebook("lineage", *run) for run in runs))
    stored = await load_codebook("lineage")
    assert stored
    assert len(stored.leaves) == 7
    assert extend(stored, *everything) is stored


@pytest.mark.usefixtures("database")
async def test_of_two_refits_at_once_one_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    await current_codebook("lineage", *joined(*THREE))
    both_have_read, made, first = threading.Barrier(2), fitting._successor, count()

    def successor(*arguments: Any) -> Any:
        if next(first) < 2:
            both_have_read.wait(30)
        return made(*arguments)

    monkeypatch.setattr(fitting, "_successor", successor)
    both = await asyncio.gather(
        *(current_codebook("lineage", *joined(*THREE), refit=True) for _ in range(2))
    )
    assert [(codebook.generation, refitted) for codebook, refitted in both] == [(2, True)] * 2


@pytest.mark.usefixtures("database")
async def test_a_run_that_is_never_first_ends_with_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def lose(lineage: str, codebook: Codebook) -> None:
        await save_codebook("another", codebook)

    monkeypatch.setattr(fitting, "save_codebook", lose)
    with pytest.raises(fitting.DatabaseError, match="'lineage'"):
        await current_codebook("lineage", *joined(*THREE))
