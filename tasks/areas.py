"""Areas: the inner nodes that join a codebook's themes into a tree of at most 12 a node."""

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from tasks.clustering import divide
from tasks.codebook import ROOT, Entry, centroids_of, rounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

MOST_CHILDREN = 12


def under_areas(entries: Sequence[Entry]) -> list[Entry]:
    """The entries with areas over the themes that have no parent yet, up to the root.

    A level of n themes is divided into √n areas, so that most have room for themes to come.
    """
    sums = _sums(entries)
    parents: dict[int, int] = {}
    areas = [Entry(ROOT, None, "area")]
    waiting = [(ROOT, [entry.id for entry in entries if entry.parent is None])]
    for area, members in waiting:
        for group in _groups(members, sums):
            if len(group) == 1:
                parents[group[0]] = area
            else:
                below = len(entries) + len(areas)
                areas.append(Entry(below, area, "area"))
                waiting.append((below, group))
    themes = [entry._replace(parent=parents.get(entry.id, entry.parent)) for entry in entries]
    return sorted([*areas, *themes], key=_id)


def hung(entries: Sequence[Entry], themes: Sequence[Entry]) -> list[Entry]:
    """The entries with new themes, which are numbered anew, each under the nearest area with room.

    The root takes a theme when no other area can; when it is full too, a new area takes the place
    of the nearest theme, with both under it.
    """
    tree = {entry.id: entry for entry in entries}
    sums = _sums(entries)
    children = {entry.id: 0 for entry in entries}
    for entry in entries:
        if entry.parent is not None:
            children[entry.parent] += 1
    for theme, centroid in zip(themes, centroids_of(themes)[0], strict=True):
        with_room = [node for node, count in children.items() if count < MOST_CHILDREN]
        areas = [n for n in with_room if tree[n].kind == "area" and n in sums and n != ROOT]
        new = max(tree) + 1
        if areas:
            parent = _nearest(centroid, areas, sums)
        elif ROOT in with_room:
            parent = ROOT
        else:
            beside = _nearest(centroid, [n for n in sums if _is_whole_theme(tree, n)], sums)
            parent, new = new, new + 1
            tree[parent] = Entry(parent, tree[beside].parent, "area")
            tree[beside] = tree[beside]._replace(parent=parent)
            sums[parent], children[parent] = sums[beside], 1
        tree[new] = theme._replace(id=new, parent=parent)
        children[new], children[parent] = 0, children[parent] + 1
        _add(tree[new], tree, sums)
    return sorted(tree.values(), key=_id)


def _nearest(centroid: "Vectors", nodes: Sequence[int], sums: "dict[int, Vectors]") -> int:
    similar = rounded(np.array([sums[node] for node in nodes])) @ centroid
    return nodes[int(similar.argmax())]


def _groups(members: Sequence[int], sums: "dict[int, Vectors]") -> list[list[int]]:
    if len(members) <= MOST_CHILDREN:
        return [[member] for member in members]
    count = min(MOST_CHILDREN, ceil(len(members) ** 0.5))
    places = rounded(np.array([sums[member] for member in members]))
    return [[members[row] for row in rows] for rows in divide(places, count)]


def _sums(entries: Sequence[Entry]) -> "dict[int, Vectors]":
    """Of the centroids at and under each entry; empty areas are left out."""
    tree = {entry.id: entry for entry in entries}
    sums: dict[int, Vectors] = {}
    for entry in entries:
        _add(entry, tree, sums)
    return sums


def _add(entry: Entry, tree: dict[int, Entry], sums: "dict[int, Vectors]") -> None:
    node: int | None = entry.id
    while entry.centroid is not None and node is not None:
        sums[node] = sums.get(node, 0) + entry.centroid
        node = tree[node].parent


def _is_whole_theme(tree: dict[int, Entry], node: int) -> bool:
    parent = tree[node].parent
    return tree[node].kind == "theme" and parent is not None and tree[parent].kind == "area"


def _id(entry: Entry) -> int:
    return entry.id
