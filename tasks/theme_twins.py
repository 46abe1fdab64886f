"""Which theme of now is which theme of an earlier time, by their codebooks."""

from collections.abc import Collection

import numpy as np

from tasks.codebook import Codebook, centroids_of


def twins(
    then: Codebook | None, entries: int, now: Codebook, present: Collection[int]
) -> dict[int, int]:
    """The theme of now for each theme that was among the first ``entries`` entries of ``then``.

    In one codebook a theme keeps its id, unless it was merged into another since; ``present`` are
    those that have tickets now. A codebook that was fitted anew has other ids: there a theme's twin
    is the one with the nearest centroid, within its radius, the nearest pairs first and each theme
    once. Without ``then`` there are no twins.
    """
    if then is None:
        return {}
    owners = {
        entry.id: entry.id if entry.merged_into is None else entry.merged_into
        for entry in then.entries[:entries]
        if entry.centroid is not None
    }
    if then.generation == now.generation:
        return {id_: id_ if id_ in present else owner for id_, owner in owners.items()}
    nearest = _nearest(then, now)
    return {id_: nearest[owner] for id_, owner in owners.items() if owner in nearest}


def _nearest(then: Codebook, now: Codebook) -> dict[int, int]:
    """The themes of two codebooks that are nearest to each other, one to one."""
    old, new = ([book.entries[leaf] for leaf in book.leaves] for book in (then, now))
    if not old or not new:
        return {}
    centroids, radii = centroids_of(old)
    distances = 1 - centroids @ centroids_of(new)[0].T
    places = np.argwhere(distances <= radii[:, None])
    pairs = sorted((float(distances[a, b]), old[a].id, new[b].id) for a, b in places.tolist())
    found: dict[int, int] = {}
    taken: set[int] = set()
    for _, a, b in pairs:
        if a not in found and b not in taken:
            found[a] = b
            taken.add(b)
    return found
