"""Fitting: from facts to a codebook of themes, and from later facts to themes that are appended.

The facts of smallest id are the sample that themes are found in: an id is a hash, so they are drawn
at random, and the same ones whatever comes beside them. Facts that are near to no theme form a
pool, in which groups of three or more become themes; what is left is rare.
"""

import asyncio
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from infra.errors import DatabaseError
from tasks.areas import MOST_CHILDREN, hung, under_areas
from tasks.clustering import LEAST_FACTS, NARROWEST, cluster, outlying_groups
from tasks.codebook import (
    Codebook,
    Entry,
    Ordered,
    centroids_of,
    distinct,
    load_codebook,
    nearest,
    rounded,
    save_codebook,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.codebook import Kept

    Vectors = NDArray[np.float32]
    Rows = NDArray[np.intp]

SAMPLE = 4000  # facts that themes are found in, and outliers that are looked at together
MOST_THEMES = 120  # of the sample; the pool adds its own
MOST_FACTS = 200  # of a theme that is not split
_SPLIT_SAMPLE = 1000  # facts that the parts of a theme are found in
_DEPTH = 3  # theme, part, part of a part
_OUTSIDE = 0.10  # share of facts that may have come since the fit and be near to none of its themes
_OUTGROWN = 4  # times the facts of a fit, when they were no whole sample
_SLACK = 1e-5  # of a distance, which depends a little on what it is computed along with
_TRIES = 10


def fit(ids: Sequence[str], vectors: "Kept", generation: int = 1) -> Codebook:
    """A codebook for facts, whose order changes nothing.

    ``ids``: hashes, equal ones with equal ``vectors`` (n, d) of unit length.
    """
    facts, _ = distinct(ids, vectors)
    sample, weights = _distinct_sample(facts, SAMPLE)
    themes = _centroids(sample, weights, cluster(sample, MOST_THEMES, weights=weights))
    radius = _radius(sample, themes)
    places, _, outside = nearest(facts, themes, np.full(len(themes), radius, np.float32))
    entries: list[Entry] = []
    for number, theme in enumerate(themes):
        members = facts[(places == number) & ~outside]
        entries += _theme(Entry(len(entries) + 1, None, "theme", theme, radius), members)
    entries += _from_pool(facts, entries, radius)
    rare = int(nearest(facts, *centroids_of(entries))[2].sum())
    entries = under_areas(entries)
    return Codebook(entries, radius, len(facts), rare, len(entries), generation)


def extend(codebook: Codebook, ids: Sequence[str], vectors: "Kept") -> Codebook:
    """The codebook with a theme for each group of three or more facts that are near to no theme.

    It is the same object when there is none.
    """
    facts, _ = distinct(ids, vectors)
    new = _from_pool(facts, codebook.entries, codebook.radius)
    return codebook.replaced(entries=hung(codebook.entries, new)) if new else codebook


def refit_wanted(codebook: Codebook, ids: Sequence[str], vectors: "Kept") -> bool:
    """Whether over 10 % of the facts have come since the fit and are near to none of its themes,
    or the fit saw but a small part of what is there now: it found no more themes than it could."""
    facts, _ = distinct(ids, vectors)
    if codebook.fitted_on < SAMPLE and len(facts) > _OUTGROWN * codebook.fitted_on:
        return True
    fitted = centroids_of(codebook.entries[: codebook.fitted_entries])
    outside = int(nearest(facts, *fitted)[2].sum())
    return outside - codebook.fitted_rare > _OUTSIDE * len(facts)


async def current_codebook(
    lineage: str, ids: Sequence[str], vectors: "Kept", refit: bool = False
) -> tuple[Codebook, bool]:
    """The lineage's codebook, stored, with room for all these facts; and whether it was refitted.

    It is fitted on the first run, on request, and when it does not fit any more. Of several runs
    at once, one stores what it found and the others go on from there. Raises DatabaseError when
    others have always been first.
    """
    refitted = False
    for _ in range(_TRIES):
        stored = await load_codebook(lineage)
        wanted, anew = await asyncio.to_thread(_successor, stored, ids, vectors, refit)
        refitted = refitted or anew
        refit = refit and not anew  # should another run be first, it has just refitted as well
        if wanted is stored:
            return wanted, refitted
        if saved := await save_codebook(lineage, wanted):
            return saved, refitted
    raise DatabaseError(
        f"Other runs keep changing the themes of {lineage!r}. Run again when they have ended."
    )


def _successor(
    stored: Codebook | None, ids: Sequence[str], vectors: "Kept", refit: bool
) -> tuple[Codebook, bool]:
    if stored is None:
        return fit(ids, vectors), False
    if refit or refit_wanted(stored, ids, vectors):
        return fit(ids, vectors, stored.generation + 1), True
    return extend(stored, ids, vectors), False


def _theme(theme: Entry, members: "Vectors", depth: int = 1) -> list[Entry]:
    """A theme, and its parts when it has too many members, numbered from its own id."""
    parts = _parts(members) if len(members) > MOST_FACTS and depth < _DEPTH else members[:0]
    if len(parts) < 2:
        return [theme]
    entries = [theme._replace(centroid=None)]
    places, _, _ = nearest(members, parts, np.zeros(len(parts), np.float32))
    for number, part in enumerate(parts):
        below = Entry(theme.id + len(entries), theme.id, "theme", part, theme.radius)
        entries += _theme(below, members[places == number], depth + 1)
    return entries


def _parts(members: "Vectors") -> "Vectors":
    sample, weights = _distinct_sample(members, _SPLIT_SAMPLE)
    least = min(MOST_CHILDREN, ceil(len(members) / MOST_FACTS))
    most = min(MOST_CHILDREN, 2 * least)
    return _centroids(sample, weights, cluster(sample, most, least, weights))


def _from_pool(facts: Ordered, entries: Sequence[Entry], radius: float) -> list[Entry]:
    """New themes for the groups among the facts that are near to no theme, until there are no more.

    A group has to save as much distance as the radius is: three equal facts beyond it are a theme,
    looser ones when they are more or farther away. Its own radius reaches all of them. When there
    are too many facts, those that are nearest to a theme wait; when there is no theme, there are no
    groups to be found.
    """
    new: list[Entry] = []
    while any(entry.centroid is not None for entry in entries):
        _, distances, outside = nearest(facts, *centroids_of([*entries, *new]))
        pool = np.flatnonzero(outside)
        farthest = np.sort(pool[np.argsort(-distances[pool], kind="stable")[:SAMPLE]])
        outlying = facts[farthest]
        first, weights = _equal(outlying)
        outliers, away = outlying[first], distances[farthest[first]]
        groups = outlying_groups(outliers, weights, away, radius)
        if not groups:
            break
        for group in groups:
            centroid = rounded(outliers[group].sum(axis=0))
            reach = float(1 - (outliers[group] @ centroid).min()) + _SLACK
            id_ = len(entries) + len(new) + 1
            new.append(Entry(id_, None, "theme", centroid, max(radius, reach)))
    return new


def _centroids(sample: "Vectors", weights: "Rows", labels: "Rows") -> "Vectors":
    """Of the clusters with enough facts, the largest first."""
    clusters = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    large = [rows for rows in clusters if weights[rows].sum() >= LEAST_FACTS]
    large.sort(key=lambda rows: (-weights[rows].sum(), rows[0]))
    return rounded(np.array([sample[rows].sum(axis=0) for rows in large], np.float32))


def _radius(sample: "Vectors", themes: "Vectors") -> float:
    """The upper fence of the distances to the nearest theme (Tukey 1977): what is beyond it is an
    outlier."""
    if not len(themes):
        return NARROWEST
    _, distances, _ = nearest(sample, themes, np.zeros(len(themes), np.float32))
    lower, upper = np.quantile(distances, [0.25, 0.75])
    return max(float(upper + 1.5 * (upper - lower)), NARROWEST)


def _distinct_sample(facts: "Vectors | Ordered", size: int) -> tuple["Vectors", "Rows"]:
    """The distinct vectors of the first facts, and how many facts have each."""
    some = facts[:size]
    first, weights = _equal(some)
    return some[first], weights


def _equal(vectors: "Vectors") -> tuple["Rows", "Rows"]:
    """The first row of each distinct vector, and how many rows are equal to it."""
    rows: dict[bytes, list[int]] = {}
    for row, vector in enumerate(vectors):
        rows.setdefault(vector.tobytes(), []).append(row)
    first = np.array([same[0] for same in rows.values()], np.intp)
    return first, np.array([len(same) for same in rows.values()], np.intp)
