"""Merging: which themes are near enough to ask whether they are one, and their union."""

from collections.abc import Collection, Iterable

import numpy as np

from tasks.codebook import Codebook

_NEAR = 0.5  # of the radius; a wrong union of farther themes costs more than right ones gain


def close_pairs(codebook: Codebook, leaves: Collection[int]) -> list[tuple[int, int]]:
    """Pairs of themes to be compared, the nearest first, at most one a theme.

    ``leaves``: those that have facts. Pairs of themes that were all there the last time are not
    compared again, nor are the parts of one theme with each other.
    """
    entries = codebook.entries
    own = [i for i in sorted(leaves) if entries[i].centroid is not None]
    if len(own) < 2:
        return []
    centroids = np.array([entries[i].centroid for i in own], np.float32)
    distances = 1 - centroids @ centroids.T
    places = np.argwhere(np.triu(distances <= _NEAR * codebook.radius, 1))
    pairs = sorted((float(distances[a, b]), own[a], own[b]) for a, b in places.tolist())
    chosen: list[tuple[int, int]] = []
    taken: set[int] = set()
    for _, a, b in pairs:
        known = entries[a].compared and entries[b].compared
        if not known and not _parts_of_one(codebook, a, b) and not taken & {a, b}:
            chosen.append((a, b))
            taken |= {a, b}
    return chosen


def merge(
    codebook: Codebook, same: Iterable[tuple[int, int]], compared: Collection[int]
) -> Codebook:
    """The codebook in which pairs of leaves are one, the one of smaller id, which is worded anew;
    and those leaves that had facts to compare are ``compared``.

    It is the same object when that changes nothing. Raises ValueError for what is no leaf.
    """
    leader = {leaf: leaf for leaf in codebook.leaves}

    def leader_of(leaf: int) -> int:
        while leader[leaf] != leaf:
            leaf = leader[leaf]
        return leaf

    for pair in same:
        if not set(pair) <= leader.keys():
            raise ValueError(f"{pair} are not two leaves of the codebook")
        first, second = sorted(map(leader_of, pair))
        leader[second] = first
    entries = []
    joined = set[int | None]()
    for entry in codebook.entries:
        if entry.centroid is not None:
            owner = entry.id if entry.merged_into is None else entry.merged_into
            owner = leader_of(owner)
            merged_into = None if owner == entry.id else owner
            known = entry.compared or owner in compared or entry.id in compared
            if merged_into != entry.merged_into:
                joined.add(merged_into)
            entry = entry._replace(merged_into=merged_into, compared=known)
        entries.append(entry)
    entries = [e._replace(sample=(), drawn_of=0) if e.id in joined else e for e in entries]
    unchanged = all(
        new.compared == old.compared and new.merged_into == old.merged_into
        for new, old in zip(entries, codebook.entries, strict=True)
    )
    return codebook if unchanged else codebook.replaced(entries=entries)


def _parts_of_one(codebook: Codebook, a: int, b: int) -> bool:
    """Whether the smallest node over both is a theme, or a part of one."""
    over = {*_upwards(codebook, a)}
    common = next(node for node in _upwards(codebook, b) if node in over)
    return codebook.entries[common].kind == "theme"


def _upwards(codebook: Codebook, node: int | None) -> Iterable[int]:
    while node is not None:
        yield node
        node = codebook.entries[node].parent
