import numpy as np
from hypothesis import given

from tasks.codebook import RARE, ROOT, Codebook, Entry
from tasks.fitting import fit
from tasks.tree import Tree, tree_of, with_samples
from tests.tasks.clouds import (
    DIMENSIONS,
    Facts,
    any_facts,
    check,
    cloud,
    fact_ids,
    grown,
    joined,
    small_limits,
)

AXES = np.eye(DIMENSIONS, dtype=np.float32)


def leaf(id_: int, parent: int) -> Entry:
    return Entry(id_, parent, "theme", AXES[id_], 0.2)


def planted(*leaves: int) -> Tree:
    """Of the codebook 0 (1, 2, 7 (3, 4, 8 (5, 6))), with a fact for each of these leaves."""
    nodes = [(1, 0), (2, 0), (3, 7), (4, 7), (5, 8), (6, 8)]
    inner = [Entry(ROOT, None, "area"), Entry(7, 0, "area"), Entry(8, 7, "theme")]
    entries = sorted([*inner, *(leaf(*node) for node in nodes)], key=lambda entry: entry.id)
    codebook = Codebook(entries, 0.2, 60, 0, 9)
    return tree_of(codebook, fact_ids(len(leaves)), np.array(leaves, np.intp))


def shape(tree: Tree, node: int = ROOT) -> object:
    children = tree.nodes[node].children
    return {node: [shape(tree, child) for child in children]} if children else node


def test_facts_are_under_their_leaves_and_leaves_under_one_root() -> None:
    tree = planted(5, 1, RARE, 3, 5, 2, 4, 6)
    assert shape(tree) == {0: [1, 2, {7: [3, 4, {8: [5, 6]}]}]}
    assert tree.nodes[5].facts == (0, 4)
    assert tree.rare == (2,)
    assert tree.branches == (1, 2, 7)
    assert [node.id for node in tree.leaves] == [1, 2, 3, 4, 5, 6]
    assert tree.facts_under(7) == (0, 3, 4, 6, 7)
    assert tree.parent_of(5) == 8


def test_empty_nodes_are_left_out_and_an_only_child_takes_the_place_of_its_parent() -> None:
    assert shape(planted(1, 3, 4)) == {0: [1, {7: [3, 4]}]}
    assert shape(planted(1, 3, 5)) == {0: [1, {7: [3, 5]}]}
    assert shape(planted(1, 6)) == {0: [1, 6]}


def test_the_root_is_no_storey_of_its_own() -> None:
    assert shape(planted(3, 5, 6)) == {0: [3, {8: [5, 6]}]}
    assert shape(planted(5, 6)) == {0: [5, 6]}
    assert shape(planted(5)) == {0: [5]}


def test_without_themes_there_is_an_empty_root() -> None:
    for leaves in ([], [RARE], [RARE, RARE]):
        tree = planted(*leaves)
        assert tree.nodes.keys() == {ROOT}
        assert tree.facts_under(ROOT) == ()
        assert tree.leaves == ()
        assert tree.rare == tuple(range(len(leaves)))


def test_a_leaf_is_sampled_by_its_six_distinct_facts_of_smallest_id() -> None:
    facts = joined(cloud(0, 30), cloud(0, 30), cloud(1, 4))
    tree = grown(fit(*facts), facts)
    large, small = (leaf for leaf in sorted(tree.leaves, key=lambda leaf: -len(leaf.facts)))
    assert len(large.facts) == 60
    assert [facts[0][row] for row in large.sample] == sorted(cloud(0, 30)[0])[:6]
    assert max(large.sample) < 30, "the first row of each"
    assert [facts[0][row] for row in small.sample] == sorted(cloud(1, 4)[0])


def of_one_theme(codebook: Codebook, ids: list[str]) -> tuple[list[str], Codebook]:
    """What the theme of these facts is worded from, and the codebook that remembers it."""
    tree = tree_of(codebook, ids, np.full(len(ids), 1, np.intp))
    [theme] = tree.leaves
    return [ids[row] for row in theme.sample], with_samples(codebook, tree, ids)


def test_a_leaf_keeps_its_sample_until_it_has_twice_its_facts_or_one_of_them_is_gone() -> None:
    ids = sorted(fact_ids(40))
    of_old = ids[20:30]
    codebook = Codebook([Entry(ROOT, None, "area"), leaf(1, ROOT)], 0.2, 9, 0, 2)
    first, codebook = of_one_theme(codebook, of_old)
    assert first == of_old[:6]
    again, same = of_one_theme(codebook, of_old)
    assert (again, same is codebook) == (first, True)
    grown, same = of_one_theme(codebook, ids[11:30])
    assert (grown, same is codebook) == (first, True), "nine more, all of smaller ids"
    twice, remembered = of_one_theme(codebook, ids[10:30])
    assert twice == ids[10:16]
    assert remembered.entries[1].drawn_of == 20
    without, remembered = of_one_theme(codebook, [*ids[15:20], *of_old[1:]])
    assert without == ids[15:20] + of_old[1:2]
    assert remembered.entries[1].sample == tuple(without)


def test_a_small_theme_is_worded_from_all_of_its_facts_up_to_six() -> None:
    ids = fact_ids(8)
    codebook = Codebook([Entry(ROOT, None, "area"), leaf(1, ROOT)], 0.2, 9, 0, 2)
    for number in (4, 5, 6):
        sample, codebook = of_one_theme(codebook, ids[:number])
        assert sorted(sample) == sorted(ids[:number])
    assert of_one_theme(codebook, ids)[0] == sorted(ids[:6])


def test_a_theme_that_no_fact_is_under_keeps_its_sample_for_later() -> None:
    entries = [Entry(ROOT, None, "area"), leaf(1, ROOT), leaf(2, ROOT)]
    ids = fact_ids(8)
    leaves = np.array([1, 1, 1, 1, 2, 2, 2, 2], np.intp)
    codebook = Codebook(entries, 0.2, 9, 0, 3)
    codebook = with_samples(codebook, tree_of(codebook, ids, leaves), ids)
    some = tree_of(codebook, ids[:4], leaves[:4])
    assert with_samples(codebook, some, ids[:4]) is codebook


def test_it_says_whether_the_codebook_was_refitted() -> None:
    codebook = Codebook([Entry(ROOT, None, "area")], 0.2, 0, 0, 1)
    nothing = np.empty(0, np.intp)
    assert [tree_of(codebook, [], nothing, refitted=it).refitted for it in (True, False)] == [1, 0]


@given(any_facts())
def test_every_fact_is_under_one_leaf_or_rare_and_evidence_is_the_union(facts: Facts) -> None:
    check(grown(fit(*facts), facts), facts)
    with small_limits():
        codebook = fit(*facts)
    check(grown(codebook, facts), facts, 3)
