"""Vectors of texts: kept by content, computed once."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from infra.embeddings import embed, embedder_name
from infra.errors import SettingsError
from infra.postgres import Connection, HalfVector, fetch, repeated
from infra.sql import queries
from tasks.progress import progress

if TYPE_CHECKING:
    import numpy as np

_BLOCK = 512  # texts embedded, and kept, at a time: what a kill can lose
_READ_BLOCK = 8192  # texts whose vectors are read at a time


class _Filled:
    """``rows``: vectors of texts, (n, d), with d 0 until the first of them is there; ``places``: of
    each text, by its SHA-256, in them."""

    def __init__(self, texts: Sequence[str]) -> None:
        import numpy as np

        self.places: dict[bytes, list[int]] = {}
        for place, text in enumerate(texts):
            self.places.setdefault(hashlib.sha256(text.encode()).digest(), []).append(place)
        self.rows = np.empty((len(texts), 0), dtype=np.float16)

    def put(self, found: "Mapping[bytes, np.ndarray]") -> None:
        """Write vectors, by SHA-256, to their places. Raises SettingsError for one of another
        length than those that are there."""
        import numpy as np

        lengths = {len(vector) for vector in found.values()}
        require_length(embedder_name(), lengths | {*self.rows.shape[1:]} - {0})
        if lengths and not self.rows.shape[1]:
            self.rows = np.empty((len(self.rows), *lengths), dtype=np.float16)
        for h, vector in found.items():
            self.rows[self.places[h]] = vector


async def vectors(texts: Sequence[str], *, quiet: bool = False) -> "np.ndarray":
    """Unit vectors of the texts, (n, d): read from the database, or computed and kept. Of no texts,
    (0, 0). As float16, which is all that they are: compute with them as float32.

    ``quiet``: these are a part of some work that tells its progress itself. Raises SettingsError
    when another model than before answers to the embedder's name, and what `embed` raises.
    """
    filled, missing = _Filled(texts), list[bytes]()
    for hashes in _blocks(list(filled.places), _READ_BLOCK):
        known = await _kept(hashes)
        filled.put(known)
        missing += [h for h in hashes if h not in known]
    async with progress("Embedding", 0 if quiet else len(missing)) as following:
        for hashes in _blocks(missing, _BLOCK):
            made = await embed([texts[filled.places[h][0]] for h in hashes])
            filled.put(dict(zip(hashes, made, strict=True)))  # or nothing is kept
            await _keep(hashes, made)
            await following.advance(len(hashes))
    return filled.rows


def _blocks(hashes: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    return (hashes[start : start + size] for start in range(0, len(hashes), size))


def require_length(embedder: str, lengths: set[int]) -> None:
    """Raise SettingsError when vectors of one embedder have several lengths."""
    if len(lengths) > 1:
        told = " and ".join(map(str, sorted(lengths)))
        raise SettingsError(
            f"{embedder} makes vectors of {told} numbers: another model answers to its name now. "
            "Give each a name of its own in PATTERNS_EMBEDDING_MODEL, and ingest again."
        )


async def _kept(hashes: Sequence[bytes]) -> "dict[bytes, np.ndarray]":
    rows = await fetch("read_embeddings", {"embedder": embedder_name(), "hashes": list(hashes)})
    return {row["text_sha256"]: HalfVector.from_binary(row["sent"]).to_numpy() for row in rows}


async def _keep(hashes: Sequence[bytes], made: "np.ndarray") -> None:
    name = embedder_name()

    async def kept(connection: Connection) -> None:
        await connection.execute(queries()["stage_embeddings"])
        async with connection.cursor().copy(queries()["copy_embeddings"]) as copy:
            copy.set_types(["bytea", "text", "halfvec"])
            for h, row in zip(hashes, made, strict=True):
                await copy.write_row((h, name, HalfVector(row)))
        await connection.execute(queries()["keep_embeddings"])

    await repeated(kept)
