"""Clusters of unit vectors: where to cut a Ward tree, and which outliers form groups of their own.

Distance is cosine distance, 1 - x·y. Every function is a pure function of its arrays; who wants the
same clusters for the same set hands the rows over in one order.
"""

from heapq import heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.intp]
    Vectors = NDArray[np.float32]

LEAST_FACTS = 3  # of a theme
NARROWEST = 0.05  # cosine distance: texts this near say the same, whatever the corpus
_PRICE = 0.4  # silhouette, in facts, that one more cluster has to gain
_BLOCK = 1024  # rows of the distance matrix that are made at once


class Dendrogram:
    """Ward's tree over n vectors. Nodes below n are the vectors, n + i is the i-th merge.

    ``children`` (n - 1, 2); ``heights`` (2n - 1,), 0 for vectors; ``sums`` (2n - 1, d), the sum of
    a node's vectors; ``order`` and ``starts``: the vectors under node v are
    ``order[starts[v] : starts[v] + sizes[v]]``.
    """

    __slots__ = ("children", "heights", "order", "sizes", "starts", "sums")

    def __init__(self, vectors: "Vectors") -> None:
        n = len(vectors)
        merges = _ward(vectors)
        self.children = merges[:, :2].astype(np.intp)
        self.heights = np.concatenate([np.zeros(n), merges[:, 2]])
        self.sizes = np.concatenate([np.ones(n, np.intp), merges[:, 3].astype(np.intp)])
        self.sums = np.concatenate([vectors, np.zeros((n - 1, vectors.shape[1]), np.float32)])
        for node, (left, right) in enumerate(self.children, n):
            self.sums[node] = self.sums[left] + self.sums[right]
        self.starts = np.zeros(2 * n - 1, np.intp)
        for node in range(2 * n - 2, n - 1, -1):
            left, right = self.children[node - n]
            self.starts[left] = self.starts[node]
            self.starts[right] = self.starts[node] + self.sizes[left]
        self.order = np.empty(n, np.intp)
        self.order[self.starts[:n]] = np.arange(n)

    def under(self, node: int) -> "Rows":
        """The vectors under a node."""
        start = self.starts[node]
        return self.order[start : start + self.sizes[node]]


def cluster(vectors: "Vectors", most: int, least: int = 1, weights: "Rows | None" = None) -> "Rows":
    """A cluster number for each of n unit vectors, (n,), between ``least`` and ``most`` clusters.

    ``weights``, (n,): facts that each vector stands for; without them, one.

    Ward's tree (Ward 1963) is opened from the top, always at the node of largest height times mean
    variance, and the cut is taken that has the largest mean silhouette (Rousseeuw 1987) less a
    price for each cluster. Height alone, the usual horizontal cut, spends its clusters on large
    groups and leaves small ones together.
    """
    n = len(vectors)
    most = min(most, n)
    least = min(least, most)
    if most < 2:
        return np.zeros(n, np.intp)
    tree = Dendrogram(vectors)
    labels = np.zeros(n, np.intp)
    to_cluster = np.empty((n, most), np.float32)  # summed distance of each vector to each cluster
    to_cluster[:, 0] = n - vectors @ tree.sums[-1]
    counts = np.zeros(most)
    counts[0] = n
    alone = np.zeros(n, np.bool_) if weights is None else weights >= LEAST_FACTS
    best, best_score = labels.copy(), -_PRICE / n if least == 1 else -np.inf
    variances = 1 - ((tree.sums / tree.sizes[:, None]) ** 2).sum(axis=1)
    for count, node in enumerate(_openings(tree, tree.heights * variances, most), 2):
        moved = int(tree.children[node - n][1])
        members, number = tree.under(moved), count - 1
        left_behind = labels[members[0]]
        labels[members] = number
        to_cluster[:, number] = len(members) - vectors @ tree.sums[moved]
        to_cluster[:, left_behind] -= to_cluster[:, number]
        counts[number] = len(members)
        counts[left_behind] -= len(members)
        score = _silhouette(to_cluster[:, :count], counts[:count], labels, alone)
        score -= _PRICE * count / n
        if count >= least and score > best_score:
            best, best_score = labels.copy(), score
    return best


def divide(vectors: "Vectors", count: int) -> list[list[int]]:
    """Exactly ``count`` groups of at least that many vectors, as rows, by a level cut of Ward's
    tree."""
    tree = Dendrogram(vectors)
    opened = set(_openings(tree, tree.heights, count))
    roots = {len(tree.heights) - 1} | {
        int(child) for node in opened for child in tree.children[node - len(vectors)]
    }
    return sorted(sorted(map(int, tree.under(node))) for node in roots - opened)


def outlying_groups(
    vectors: "Vectors", weights: "Rows", distances: "Vectors", price: float
) -> list["Rows"]:
    """The groups that outliers form among themselves, as rows; none is smaller than three facts.

    ``vectors`` (n, d) stand for ``weights`` (n,) facts each, ``distances`` (n,) away from the
    nearest centroid there is. Of all disjoint nodes of their Ward tree, those are taken that
    together save most distance, each at ``price``: the cost of a new cluster, as in DP-means (Kulis
    and Jordan 2012). A member's distance is that to the mean of the others: to a mean of few that
    it is in itself, anything is near. Pairs are weighed as well, so that none of them becomes a
    group by a stranger, and left.
    """
    n = len(vectors)
    if n == 0:
        return []
    tree = Dendrogram(vectors)
    weight = np.concatenate([weights, np.zeros(n - 1)])
    away = np.concatenate([weights * distances, np.zeros(n - 1)])
    sums = np.concatenate([vectors * weights[:, None], np.zeros_like(vectors[1:])])
    saved, taken = np.zeros(2 * n - 1), np.zeros(2 * n - 1, bool)
    for node in range(2 * n - 1):
        apart = 0.0
        if node >= n:
            left, right = tree.children[node - n]
            weight[node] = weight[left] + weight[right]
            away[node] = away[left] + away[right]
            sums[node] = sums[left] + sums[right]
            apart = saved[left] + saved[right]
        together = away[node] - _spread(weight[node], sums[node]) - price
        taken[node] = together > max(apart, 0.0)
        saved[node] = together if taken[node] else apart
    found, waiting = [], [2 * n - 2]
    while waiting:
        node = waiting.pop()
        if taken[node]:
            if weight[node] >= LEAST_FACTS:
                found.append(np.sort(tree.under(node)))
        elif node >= n:
            waiting.extend(tree.children[node - n][::-1])
    return found


def _spread(count: float, total: "Vectors") -> float:
    """Summed distance of so many unit vectors with this sum, each to the mean of the others."""
    others = max(count - 1, 1)
    alike = max((float(total @ total) - count) / (count * others), 0.0)  # mean similarity of two
    return count * (1 - others * alike / float(np.sqrt(others * (1 + (others - 1) * alike))))


def _ward(vectors: "Vectors") -> "NDArray[np.float64]":
    from scipy.cluster.hierarchy import linkage

    n = len(vectors)
    if n < 2:
        return np.zeros((0, 4))
    condensed = np.empty(n * (n - 1) // 2)
    end = 0
    for top in range(0, n, _BLOCK):
        similar = vectors[top : top + _BLOCK] @ vectors.T
        for row, values in enumerate(similar, top):
            start, end = end, end + n - 1 - row
            condensed[start:end] = values[row + 1 :]
    condensed *= -2
    condensed += 2
    np.sqrt(np.maximum(condensed, 0, out=condensed), out=condensed)
    return np.asarray(linkage(condensed, "ward"))


def _openings(tree: Dendrogram, urgency: "NDArray[np.float64]", most: int) -> list[int]:
    """The nodes to open, first to last, until there are ``most`` clusters."""
    n, root = len(tree.order), len(tree.heights) - 1
    waiting = [(-urgency[root], root)]
    opened: list[int] = []
    while len(opened) < most - 1:
        _, node = heappop(waiting)
        opened.append(node)
        for child in tree.children[node - n]:
            if child >= n:
                heappush(waiting, (-urgency[child], int(child)))
    return opened


def _silhouette(
    to_cluster: "NDArray[np.float32]",
    counts: "NDArray[np.float64]",
    labels: "Rows",
    alone: "NDArray[np.bool_]",
) -> float:
    """Mean silhouette, with texts that say the same at one distance however near they are. That of
    a vector alone in its cluster is 0, unless it may be ``alone``: it stands for facts enough."""
    rows = np.arange(len(labels))
    own = counts[labels]
    inside = np.maximum(to_cluster[rows, labels] / np.maximum(own - 1, 1), NARROWEST)
    means = to_cluster / counts.astype(np.float32)
    means[rows, labels] = np.inf
    outside = means.min(axis=1)
    value = (outside - inside) / np.maximum(inside, outside)
    return float(np.where((own > 1) | alone, value, 0.0).mean())
