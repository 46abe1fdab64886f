"""Codebooks: the themes of a lineage as centroids, to which facts are assigned, kept in PostgreSQL.

A codebook is fitted once (`tasks.fitting`) and then only grows: themes are appended and merged,
never moved or renumbered, so that a new fact changes the words of its own theme at most. Centroids
are rounded to what halfvec holds before they are used: a stored codebook assigns like a fresh one.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from infra.postgres import Connection, HalfVector, fetch, repeated
from infra.sql import queries

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.intp]
    Vectors = NDArray[np.float32]
    Kept = NDArray[np.float16] | Vectors  # what vectors are read as, or computed with

ROOT = 0  # id of the root
RARE = -1  # in place of a leaf: the fact is near to no theme
_HEAD = ("radius", "fitted_on", "fitted_rare", "fitted_entries", "generation", "version")
_TYPES = ("int8", "int4", "int4", "text", "halfvec", "float8", "int4", "bool", "text[]", "int4")
_BLOCK = 8192  # facts that are compared with the centroids at once


class Entry(NamedTuple):
    """A node of the codebook's tree: an area, a theme, or a part of a theme.

    ``parent``: None for the root, which is the area 0. ``centroid``: (d,), None where there are
    parts or areas below. ``radius``: cosine distance up to which a fact belongs to it.
    ``merged_into``: the theme to which the facts near the centroid go. ``compared``: the theme was
    there when close themes were told apart. ``sample``: ids of the facts that it is worded from,
    drawn when it had ``drawn_of`` distinct facts.
    """

    id: int
    parent: int | None
    kind: Literal["area", "theme"]
    centroid: "Vectors | None" = None
    radius: float = 0.0
    merged_into: int | None = None
    compared: bool = False
    sample: tuple[str, ...] = ()
    drawn_of: int = 0


class Codebook:
    """Themes with their centroids, in a tree. Immutable; opaque to Prefect.

    ``entries`` by id, ascending. ``radius``: that of the themes that the sample showed.
    ``fitted_on``: distinct facts at the fit, of which ``fitted_rare`` were near to no theme;
    ``fitted_entries``: entries with ids below it come from the fit, others were appended.
    ``generation`` counts fits of the lineage, ``version`` changes since then (0: not stored).
    """

    __slots__ = ("centroids", "entries", "owners", "radii", *_HEAD)

    def __init__(
        self,
        entries: Sequence[Entry],
        radius: float,
        fitted_on: int,
        fitted_rare: int,
        fitted_entries: int,
        generation: int = 1,
        version: int = 0,
    ) -> None:
        self.entries, self.radius = tuple(entries), radius
        self.fitted_on, self.fitted_rare = fitted_on, fitted_rare
        self.fitted_entries = fitted_entries
        self.generation, self.version = generation, version
        rows = [entry for entry in entries if entry.centroid is not None]
        self.centroids, self.radii = centroids_of(rows)
        owners = [row.id if row.merged_into is None else row.merged_into for row in rows]
        self.owners = np.array(owners, np.intp)

    @property
    def leaves(self) -> tuple[int, ...]:
        """Ids of the themes and parts of themes that facts are assigned to, ascending."""
        return tuple(sorted({int(leaf) for leaf in self.owners}))

    def replaced(self, **changes: Any) -> "Codebook":
        """The same codebook with other ``entries``, ``version`` or ``fitted_rare``."""
        own = {name: getattr(self, name) for name in ("entries", *_HEAD)}
        return Codebook(**(own | changes))


def assign(codebook: Codebook, ids: Sequence[str], vectors: "Kept") -> "Rows":
    """The leaf of each fact, (n,), that of its nearest centroid; RARE beyond the radius.

    ``ids`` of facts, equal ones with equal ``vectors`` (n, d) of unit length. The order of facts
    changes nothing.
    """
    unique, inverse = distinct(ids, vectors)
    places, _, outside = nearest(unique, codebook.centroids, codebook.radii)
    owners = np.append(codebook.owners, RARE)
    return owners[np.where(outside, -1, places)][inverse]


class Ordered:
    """Vectors (n, d) in another order, those that are asked for as float32: a copy of all would be
    larger than they are."""

    def __init__(self, vectors: "Kept", rows: "Rows") -> None:
        self._vectors, self._rows = vectors, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, places: "slice | Rows | NDArray[np.bool_]") -> "Vectors":
        return np.ascontiguousarray(self._vectors[self._rows[places]], np.float32)


def distinct(ids: Sequence[str], vectors: "Kept") -> tuple[Ordered, "Rows"]:
    """The vectors of the distinct ids, ordered by id, and where each given fact stands there.

    Every computation starts here: sums of floats depend on their order.
    """
    _, first, inverse = np.unique(
        np.asarray(ids, np.bytes_), return_index=True, return_inverse=True
    )
    return Ordered(vectors, first), inverse


def nearest(
    vectors: "Vectors | Ordered", centroids: "Vectors", radii: "Vectors"
) -> tuple["Rows", "Vectors", "NDArray[np.bool_]"]:
    """Place of the nearest centroid, the cosine distance to it, and whether that is beyond its
    radius. Where there is no centroid, everything is at distance 1 and outside."""
    places = np.zeros(len(vectors), np.intp)
    distances = np.ones(len(vectors), np.float32)
    if not len(centroids):
        return places, distances, np.ones(len(vectors), np.bool_)
    for top in range(0, len(vectors), _BLOCK):
        block = slice(top, top + _BLOCK)
        similar = vectors[block] @ centroids.T
        places[block] = similar.argmax(axis=1)
        distances[block] = 1 - similar.max(axis=1)
    return places, distances, distances > radii[places]


def centroids_of(entries: Iterable[Entry]) -> tuple["Vectors", "Vectors"]:
    """Centroids (m, d) and radii (m,) of those entries that have them."""
    rows = [(e.centroid, e.radius) for e in entries if e.centroid is not None]
    vectors, radii = zip(*rows, strict=True) if rows else ((), ())
    return np.array(vectors, np.float32), np.array(radii, np.float32)


def rounded(vectors: "Vectors") -> "Vectors":
    """Vectors at unit length, as halfvec holds them."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Vectors = vectors / np.maximum(lengths, 1e-12)
    return unit.astype(np.float16).astype(np.float32)


async def load_codebook(lineage: str, generation: int | None = None) -> Codebook | None:
    """The lineage's codebook of a generation, or of the last one, if there is one."""
    rows = await fetch("read_codebook", {"lineage": lineage, "generation": generation})
    if not rows:
        return None
    entries = [
        Entry(
            row["id"],
            row["parent"],
            row["kind"],
            None if row["centroid"] is None else row["centroid"].to_numpy().astype(np.float32),
            row["theme_radius"],
            row["merged_into"],
            row["compared"],
            tuple(row["sample"]),
            row["drawn_of"],
        )
        for row in rows
    ]
    return Codebook(entries, **{name: rows[0][name] for name in _HEAD})


async def save_codebook(lineage: str, codebook: Codebook) -> Codebook | None:
    """Store a new generation (version 0), or the successor of the version that it was made from.

    Returns it with its new version; None when another run was first: nothing is stored then, and
    `load_codebook` has what stands.
    """
    head = {name: getattr(codebook, name) for name in _HEAD} | {"lineage": lineage}
    change = "continue_codebook" if codebook.version else "found_codebook"

    async def stored(connection: Connection) -> bool:
        cursor = await connection.execute(queries()[change], head)
        generation = await cursor.fetchone()
        if generation is None:
            return False
        await connection.execute(queries()["drop_themes"], {"codebook": generation["id"]})
        async with connection.cursor().copy(queries()["copy_themes"]) as copy:
            copy.set_types(_TYPES)
            for row in _rows(codebook.entries):
                await copy.write_row((generation["id"], *row))
        return True

    # Done twice, the second time finds the first, as it would another run's.
    return codebook.replaced(version=codebook.version + 1) if await repeated(stored) else None


def _rows(entries: Iterable[Entry]) -> Iterable[tuple[object, ...]]:
    for entry in entries:
        centroid = None if entry.centroid is None else HalfVector(entry.centroid)
        yield *entry[:3], centroid, *entry[4:7], list(entry.sample), entry.drawn_of
