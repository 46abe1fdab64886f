from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.codebook import ROOT, Codebook, Entry, assign
from tasks.fitting import extend, fit
from tasks.merging import close_pairs, merge
from tests.tasks.clouds import (
    DIMENSIONS,
    Facts,
    any_facts,
    bare,
    check,
    cloud,
    grown,
    joined,
    small_limits,
)

AXES = np.eye(DIMENSIONS, dtype=np.float32)


def on_a_circle(*degrees: float, split: bool = False) -> Codebook:
    """Themes in one plane; or the parts of one theme. 25° are a distance of 0.09, 45° of 0.29."""
    angles = np.radians(degrees)
    rows = (np.outer(np.cos(angles), AXES[0]) + np.outer(np.sin(angles), AXES[1])).astype("f4")
    over = [Entry(ROOT, None, "area"), *([Entry(1, ROOT, "theme")] if split else [])]
    parent = over[-1].id
    leaves = [Entry(n, parent, "theme", row, 0.2) for n, row in enumerate(rows, len(over))]
    return Codebook([*over, *leaves], 0.2, 100, 0, 4)


def merged_all(codebook: Codebook, same: Iterable[tuple[int, int]]) -> Codebook:
    """After a run in which every theme had facts."""
    return merge(codebook, same, codebook.leaves)


def test_near_themes_are_compared_the_nearest_first_and_each_once() -> None:
    codebook = on_a_circle(0, 25, 45, 180, 205)
    assert close_pairs(codebook, codebook.leaves) == [(2, 3), (4, 5)]
    assert close_pairs(codebook, (1, 2, 4)) == [(1, 2)], "themes without facts are left out"
    assert close_pairs(codebook, ()) == []


def test_far_themes_are_not_compared() -> None:
    codebook = on_a_circle(0, 45, 90)
    assert close_pairs(codebook, codebook.leaves) == []


def test_parts_of_one_theme_are_not_compared() -> None:
    codebook = on_a_circle(0, 10, 20, split=True)
    assert close_pairs(codebook, codebook.leaves) == []


def test_parts_of_two_themes_are_compared() -> None:
    one = on_a_circle(0, 10, split=True)
    other = [Entry(4, ROOT, "theme"), *(e._replace(id=e.id + 3, parent=4) for e in one.entries[2:])]
    codebook = one.replaced(entries=(*one.entries, *other))
    assert close_pairs(codebook, codebook.leaves) == [(2, 5), (3, 6)]


def test_a_theme_that_had_no_facts_is_compared_when_it_has_some() -> None:
    codebook = merge(on_a_circle(0, 10, 180), [], {1, 3})
    assert close_pairs(codebook, {1, 3}) == []
    assert close_pairs(codebook, {1, 2, 3}) == [(1, 2)]


def test_themes_that_were_compared_are_compared_with_new_ones_alone() -> None:
    codebook = merged_all(on_a_circle(0, 10, 180), [])
    assert close_pairs(codebook, codebook.leaves) == []
    new = Entry(4, ROOT, "theme", codebook.entries[2].centroid, 0.2)
    codebook = codebook.replaced(entries=(*codebook.entries, new))
    assert close_pairs(codebook, codebook.leaves) == [(2, 4)]


def test_pairs_that_are_the_same_are_united_under_the_smallest_id() -> None:
    codebook = merged_all(on_a_circle(0, 10, 20, 30, 180), [(4, 3), (2, 4)])
    assert codebook.leaves == (1, 2, 5)
    assert assign(codebook, ["a", "b"], codebook.centroids[[2, 3]]).tolist() == [2, 2]
    again = merged_all(codebook, [(1, 2)])
    assert again.leaves == (1, 5)
    assert assign(again, ["a", "b"], again.centroids[[2, 3]]).tolist() == [1, 1]


def test_a_theme_that_takes_in_another_is_worded_anew() -> None:
    codebook = on_a_circle(0, 10, 180)
    drawn = [e._replace(sample=("a", "b"), drawn_of=9) for e in codebook.entries[1:]]
    codebook = codebook.replaced(entries=(codebook.entries[0], *drawn))
    merged = merged_all(codebook, [(2, 1)])
    assert [entry.sample for entry in merged.entries] == [(), (), ("a", "b"), ("a", "b")]
    assert merged.entries[1].drawn_of == 0


def test_what_changes_nothing_is_the_same_codebook() -> None:
    codebook = merged_all(on_a_circle(0, 10), [(1, 2)])
    assert merged_all(codebook, []) is codebook


@pytest.mark.parametrize("pair", [(0, 2), (2, 9), (3, 1)])
def test_only_leaves_can_be_merged(pair: tuple[int, int]) -> None:
    codebook = merged_all(on_a_circle(0, 10, 20), [(2, 3)])
    with pytest.raises(ValueError, match="two leaves"):
        merged_all(codebook, [pair])


@given(any_facts(), st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=6))
def test_merging_loses_no_fact_and_moves_none_but_those_of_merged_themes(
    facts: Facts, picks: list[tuple[int, int]]
) -> None:
    with small_limits():
        codebook = fit(*facts)
        leaves = codebook.leaves
        pairs = [(leaves[a % len(leaves)], leaves[b % len(leaves)]) for a, b in picks if leaves]
        merged = merged_all(codebook, pairs)
        assert extend(merged, *facts) is merged
    check(grown(merged, facts), facts, 3)
    groups = [{leaf} for leaf in leaves]
    for a, b in pairs:
        joint = set().union(*(group for group in groups if group & {a, b}))
        groups = [group for group in groups if not group & joint] + [joint]
    goes_to = {leaf: min(group) for group in groups for leaf in group} | {-1: -1}
    expected = [goes_to[leaf] for leaf in assign(codebook, *facts).tolist()]
    assert assign(merged, *facts).tolist() == expected
    assert merged_all(merged, []) is merged
    assert close_pairs(merged, merged.leaves) == []


def test_the_unmerged_entries_stay_as_they_are() -> None:
    facts = joined(cloud(0, 9), cloud(1, 9), cloud(2, 9))
    codebook = fit(*facts)
    merged = merged_all(codebook, [(1, 2)])
    assert bare(merged.entries[3]) == bare(codebook.entries[3]._replace(compared=True))
    assert bare(merged.entries[ROOT]) == bare(codebook.entries[ROOT])
