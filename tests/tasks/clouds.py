"""Facts to group: ids and unit vectors, in clouds around known centres."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import strategies as st

from tasks import areas, fitting
from tasks.codebook import Codebook, Entry, assign
from tasks.tree import Tree, tree_of

DIMENSIONS = 24
Facts = tuple[list[str], np.ndarray]


def fact_ids(count: int, salt: str = "") -> list[str]:
    return [hashlib.sha256(f"{salt}{n}".encode()).hexdigest()[:32] for n in range(count)]


def cloud(axis: int, size: int, spread: float = 0.1) -> Facts:
    """Facts around an axis of the space; an axis and those beside it have nothing in common."""
    noise = np.random.default_rng([axis, size]).normal(size=(size, DIMENSIONS)) * spread
    return fact_ids(size, f"{axis}/"), units(np.eye(DIMENSIONS)[axis] + noise)


def joined(*parts: Facts) -> Facts:
    return [id_ for ids, _ in parts for id_ in ids], np.concatenate([rows for _, rows in parts])


def units(rows: np.ndarray) -> np.ndarray:
    """At unit length, as an embedder hands them out."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / lengths).astype(np.float16).astype(np.float32)


def permuted(facts: Facts, order: Sequence[int]) -> Facts:
    ids, vectors = facts
    return [ids[row] for row in order], vectors[list(order)]


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    """Clouds of many sizes, tight and loose, with facts and vectors that stand several times."""
    sizes = draw(st.lists(st.integers(0, 30), max_size=5))
    spread = draw(st.sampled_from([0.0, 0.02, 0.1, 0.3, 2.0]))
    salt = draw(st.text("ab", max_size=2))
    clouds = [cloud(axis, size, spread) for axis, size in enumerate(sizes)]
    ids, vectors = joined(([], np.empty((0, DIMENSIONS), np.float32)), *clouds)
    again = draw(st.lists(st.integers(0, max(len(ids) - 1, 0)), max_size=8 if ids else 0))
    shared = fact_ids(len(again), f"{salt}shared")  # other facts with the vectors of the first
    repeated = [ids[row] for row in again]
    return ids + shared + repeated, np.concatenate([vectors, vectors[again], vectors[again]])


@contextmanager
def small_limits() -> Iterator[None]:
    """Limits of sizes that a few dozen facts reach."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "SAMPLE", 40)
        patch.setattr(fitting, "MOST_FACTS", 8)
        for module in (areas, fitting):
            patch.setattr(module, "MOST_CHILDREN", 3)
        yield


def content(codebook: Codebook) -> list[tuple[object, ...]]:
    """Everything that is in a codebook, byte by byte."""
    head = [getattr(codebook, name) for name in ("radius", "fitted_on", "fitted_rare")]
    return [(*head, codebook.generation), *map(bare, codebook.entries)]


def bare(entry: Entry) -> tuple[object, ...]:
    centroid = None if entry.centroid is None else entry.centroid.tobytes()
    return (*entry._replace(centroid=None), centroid)


def grown(codebook: Codebook, facts: Facts) -> Tree:
    return tree_of(codebook, facts[0], assign(codebook, *facts))


def check(tree: Tree, facts: Facts, most_children: int = 12) -> None:
    """What is true of every tree."""
    ids, _ = facts
    nodes = tree.nodes
    held = [row for leaf in tree.leaves for row in leaf.facts]
    assert sorted([*held, *tree.rare]) == list(range(len(ids)))
    places = {row: leaf.id for leaf in tree.leaves for row in leaf.facts}
    by_id: dict[str, set[int | None]] = {}
    for row, id_ in enumerate(ids):
        by_id.setdefault(id_, set()).add(places.get(row))
    assert all(len(found) == 1 for found in by_id.values()), "equal facts are in one place"

    assert tree.facts_under(tree.root) == tuple(sorted(held))
    above: dict[int, int] = {}
    for node in tree.bottom_up():
        assert nodes[node.id] is node
        assert not (node.children and node.facts)
        assert list(node.facts) == sorted(node.facts)
        assert list(node.children) == sorted(node.children)
        assert len(node.children) <= most_children
        union = [row for child in node.children for row in tree.facts_under(child)]
        assert node.facts or tree.facts_under(node.id) == tuple(sorted(union))
        assert node.id == tree.root or tree.facts_under(node.id), "no node is empty"
        assert node.id == tree.root or len(node.children) != 1
        assert set(node.children) <= above.keys() | nodes.keys()
        above |= dict.fromkeys(node.children, node.id)
        smallest = sorted({ids[row] for row in node.facts})[:6]
        assert [ids[row] for row in node.sample] == smallest
    assert above.keys() == nodes.keys() - {tree.root}, "one root, one parent each"
    assert all(tree.parent_of(child) == parent for child, parent in above.items())
    order = list(nodes)
    assert all(order.index(child) < order.index(parent) for child, parent in above.items())
