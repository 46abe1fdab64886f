"""Vectors of texts: kept by content, computed once."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from infra.embeddings import embed, embedder_name
from infra.errors import SettingsError
from infra.postgres import Connection, HalfVector, fetch, repeated
from infra.sql import queries
from tasks.progress import progress

if TYPE_CHECKING:
    import numpy as np

_BLOCK = 512  # texts embedded, and kept, at a time: what a kill can lose


async def vectors(texts: Sequence[str], *, quiet: bool = False) -> "np.ndarray":
    """Unit vectors of the texts, float32 (n, d): read from the database, or computed and kept.

    ``quiet``: these are a part of some work that tells its progress itself. Raises SettingsError
    when another model than before answers to the embedder's name, and what `embed` raises.
    """
    import numpy as np

    hashes = [hashlib.sha256(text.encode()).digest() for text in texts]
    known = await _kept(hashes)
    missing = {h: text for h, text in zip(hashes, texts, strict=True) if h.hex() not in known}
    async with progress("Embedding", 0 if quiet else len(missing)) as following:
        for start in range(0, len(missing), _BLOCK):
            block = list(missing.items())[start : start + _BLOCK]
            made = await embed([text for _, text in block])
            await _keep([h for h, _ in block], made)
            known.update({h.hex(): row for (h, _), row in zip(block, made, strict=True)})
            await following.advance(len(block))
    if not texts:
        return np.empty((0, 0), dtype=np.float32)
    require_length(embedder_name(), {len(vector) for vector in known.values()})
    return np.stack([known[h.hex()] for h in hashes], dtype=np.float32)


def require_length(embedder: str, lengths: set[int]) -> None:
    """Raise SettingsError when vectors of one embedder have several lengths."""
    if len(lengths) > 1:
        told = " and ".join(map(str, sorted(lengths)))
        raise SettingsError(
            f"{embedder} makes vectors of {told} numbers: another model answers to its name now. "
            "Give each a name of its own in PATTERNS_EMBEDDING_MODEL, and ingest again."
        )


async def _kept(hashes: Sequence[bytes]) -> "dict[str, np.ndarray]":
    rows = await fetch("read_embeddings", {"embedder": embedder_name(), "hashes": list(hashes)})
    return {row["sha256"]: HalfVector.from_binary(row["sent"]).to_numpy() for row in rows}


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
