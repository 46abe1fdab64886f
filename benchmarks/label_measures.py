"""How well groups and vectors agree with labels that people gave."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

ALONE = -1  # in place of a group: the text is in none


def v_measure(labels: Sequence[str], groups: Sequence[int]) -> float:
    """Of groups against labels (Rosenberg and Hirschberg 2007), each text ``ALONE`` in a group of
    its own. 1 is perfect."""
    found = np.asarray(groups, np.int64).copy()
    alone = np.flatnonzero(found == ALONE)
    found[alone] = found.max(initial=0) + 1 + np.arange(len(alone))
    return float(_sklearn("metrics").v_measure_score(labels, found))


def agreeing(said: Any, rows: Any, vectors: Any, labels: Sequence[str]) -> Any:
    """Whether what was said of some texts is nearest to their own label, (m,).

    ``said``: unit vectors (m, d). ``rows`` (m,): which texts they are; ``vectors`` (n, d) and
    ``labels`` of all. A label is the mean of its texts, without the one in question.
    """
    names, numbers = np.unique(np.asarray(labels, np.str_), return_inverse=True)
    sums = np.stack([vectors[numbers == n].sum(axis=0) for n in range(len(names))])
    right = np.zeros(len(rows), np.bool_)
    for place, (vector, row) in enumerate(zip(said, rows, strict=True)):
        others = sums.copy()
        others[numbers[row]] -= vectors[row]
        similar = others @ vector / np.maximum(np.linalg.norm(others, axis=1), 1e-12)
        right[place] = similar.argmax() == numbers[row]
    return right


def k_means(vectors: Any, count: int, starts: int = 10) -> Any:
    """Groups of k-means, the best of some starts."""
    return _sklearn("cluster").KMeans(count, n_init=starts, random_state=0).fit(vectors).labels_


def ward(vectors: Any, count: int) -> Any:
    """Groups of a level cut of Ward's tree over all vectors."""
    from scipy.cluster.hierarchy import fcluster, linkage

    return fcluster(linkage(vectors, "ward"), count, "maxclust")


def _sklearn(part: str) -> Any:
    try:
        return import_module(f"sklearn.{part}")
    except ImportError:
        raise SystemExit("This benchmark needs scikit-learn: pip install scikit-learn") from None
