"""The tree that a report is reduced along: leaves with their facts, areas over them, one root.

Facts are given and named by their rows in the table that they stand in.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tasks.codebook import RARE, ROOT, Codebook, Entry

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE = 6  # facts that a leaf is worded from
_OUTGROWN = 2  # times the facts that it was drawn of: a leaf gets another sample


class Node(NamedTuple):
    """A node with facts under it. Its id is that of the codebook's entry.

    ``children``: ids, ascending; a leaf has none, but ``facts``: rows, ascending, and ``sample``:
    rows of the distinct facts, at most six, that it is worded from.
    """

    id: int
    children: tuple[int, ...] = ()
    facts: tuple[int, ...] = ()
    sample: tuple[int, ...] = ()


class Tree:
    """Every fact under exactly one leaf, or ``rare`` (rows, ascending). Opaque to Prefect.

    ``nodes`` by id, children before their parent, the ``root`` last. No node is empty but the root
    of a tree without leaves, and none but the root has one child only. ``refitted``: the codebook
    is another than the last run's. ``undecided``: leaves that the model could not tell apart or
    say to be the same. ``generation``: of the codebook, in which an id is always the same node's.
    """

    __slots__ = ("generation", "nodes", "parents", "rare", "refitted", "root", "undecided")

    def __init__(
        self,
        nodes: dict[int, Node],
        rare: tuple[int, ...],
        refitted: bool,
        undecided: tuple[int, ...] = (),
        generation: int = 1,
    ) -> None:
        self.nodes, self.rare, self.refitted = nodes, rare, refitted
        self.undecided, self.generation = undecided, generation
        self.root = ROOT
        self.parents = {child: node.id for node in nodes.values() for child in node.children}

    @property
    def leaves(self) -> tuple[Node, ...]:
        """The nodes with facts of their own, by id."""
        return tuple(self.nodes[id_] for id_ in sorted(self.nodes) if self.nodes[id_].facts)

    @property
    def branches(self) -> tuple[int, ...]:
        """The root's children."""
        return self.nodes[self.root].children

    def bottom_up(self) -> Iterator[Node]:
        """All nodes, children before their parent."""
        return iter(self.nodes.values())

    def name_of(self, node: int) -> str:
        """What a node is cited as: F and its id for a leaf, S for what is over others."""
        return f"{'S' if self.nodes[node].children else 'F'}{node}"

    def parent_of(self, node: int) -> int:
        """The parent of a node that is not the root."""
        return self.parents[node]

    def facts_under(self, node: int) -> tuple[int, ...]:
        """Rows of the facts at and under a node, ascending: the union of its children's."""
        found: list[int] = []
        waiting = [node]
        while waiting:
            here = self.nodes[waiting.pop()]
            found += here.facts
            waiting += here.children
        return tuple(sorted(found))


def tree_of(
    codebook: Codebook,
    ids: Sequence[str],
    leaves: "NDArray[np.intp]",
    refitted: bool = False,
    undecided: Iterable[int] = (),
) -> Tree:
    """The tree of facts with these ids, (n,), that were assigned to these leaves, (n,)."""
    below: dict[int, list[int]] = {}
    for entry in codebook.entries:
        if entry.parent is not None:
            below.setdefault(entry.parent, []).append(entry.id)
    order = np.argsort(leaves, kind="stable")
    found, starts = np.unique(leaves[order], return_index=True)
    rows = dict(zip(found.tolist(), np.split(order, starts[1:]), strict=False))
    nodes: dict[int, Node] = {}

    def grow(id_: int) -> int | None:
        """Put a node after those below it, and say which stands for it: its only child may."""
        if id_ in rows:
            facts = tuple(rows[id_].tolist())
            nodes[id_] = Node(id_, (), facts, _sample(codebook.entries[id_], facts, ids))
            return id_
        grown = [grow(child) for child in below.get(id_, [])]
        children = tuple(sorted(child for child in grown if child is not None))
        if id_ == ROOT and len(children) == 1 and nodes[children[0]].children:
            children = nodes.pop(children[0]).children
        if id_ != ROOT and len(children) < 2:
            return children[0] if children else None
        nodes[id_] = Node(id_, children)
        return id_

    grow(ROOT)
    rare = tuple(rows.get(RARE, np.empty(0, np.intp)).tolist())
    return Tree(nodes, rare, refitted, tuple(sorted(undecided)), codebook.generation)


def with_samples(codebook: Codebook, tree: Tree, ids: Sequence[str]) -> Codebook:
    """The codebook that remembers what the leaves of its tree are worded from; it is the same
    object when it does already. ``ids`` of the facts, (n,)."""
    entries = list(codebook.entries)
    for leaf in tree.leaves:
        sample = tuple(ids[row] for row in leaf.sample)
        number = len({ids[row] for row in leaf.facts})
        if sample != entries[leaf.id].sample or _is_outgrown(entries[leaf.id], number):
            entries[leaf.id] = entries[leaf.id]._replace(sample=sample, drawn_of=number)
    changed = any(new is not old for new, old in zip(entries, codebook.entries, strict=True))
    return codebook.replaced(entries=entries) if changed else codebook


def _sample(entry: Entry, facts: Sequence[int], ids: Sequence[str]) -> tuple[int, ...]:
    """Rows of the facts that an entry was worded from; six of smallest id, which is a hash, where
    one of them is gone or the entry has outgrown them. The smallest of all at any time would be
    others with about each growth by a sixth."""
    first: dict[str, int] = {}
    for row in facts:
        first.setdefault(ids[row], row)
    chosen: Sequence[str] = entry.sample
    if not first.keys() >= set(chosen) or _is_outgrown(entry, len(first)):
        chosen = sorted(first)[:SAMPLE]
    return tuple(first[id_] for id_ in chosen)


def _is_outgrown(entry: Entry, facts: int) -> bool:
    return facts >= _OUTGROWN * entry.drawn_of or len(entry.sample) < min(SAMPLE, facts)
