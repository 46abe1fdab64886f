"""langchain-postgres on the passages of `benchmarks.retrieval`, which runs this by another Python:
it wants an older pgvector than we do.

    PYTHON benchmarks/langchain_postgres_store.py DATABASE_URL FOLDER

FOLDER: passages.json and questions.json (lists of texts), passages.npy and questions.npy (vectors).
Hybrid search as its documentation shows it: a tsvector column, reciprocal ranks, its own defaults.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_postgres import PGEngine, PGVectorStore
from langchain_postgres.v2.hybrid_search_config import HybridSearchConfig, reciprocal_rank_fusion
from langchain_postgres.v2.indexes import HNSWIndex, HNSWQueryOptions

_TABLE = "langchain_postgres_passages"
_BATCH = 5000
_EF_SEARCH = 100  # as ours


async def main(url: str, folder: Path) -> None:
    """Ingest, then search by vectors and by both, and print what it took."""
    texts, vectors = _read(folder, "passages")
    engine = PGEngine.from_connection_string(url.replace("postgresql://", "postgresql+psycopg://"))
    hybrid = HybridSearchConfig(
        tsv_column="content_tsv",
        tsv_lang="pg_catalog.english",
        fusion_function=reciprocal_rank_fusion,
        fusion_function_parameters={"fetch_top_k": 10},
        index_type="GIN",
        index_name="langchain_postgres_words",
    )
    size = vectors.shape[1]
    await engine.ainit_vectorstore_table(_TABLE, size, hybrid_search_config=hybrid)
    store = await PGVectorStore.create(
        engine,
        DeterministicFakeEmbedding(size=size),
        _TABLE,
        index_query_options=HNSWQueryOptions(ef_search=_EF_SEARCH),
        hybrid_search_config=hybrid,
    )
    started = time.perf_counter()
    for at in range(0, len(texts), _BATCH):
        rows = vectors[at : at + _BATCH].tolist()
        await store.aadd_embeddings(texts[at : at + _BATCH], rows)
    await store.aapply_vector_index(HNSWIndex())
    await store.aapply_hybrid_search_index()
    rate = len(texts) / (time.perf_counter() - started)
    print(f"{len(texts):,} passages, {rate:,.0f} a second with indexes")
    asked = list(_questions(folder))
    plain = {"hybrid_search_config": None}
    for mode, options in (("hybrid", {}), ("vector", plain)):
        seconds, recalls = await _searched(store, asked, texts, vectors, options)
        p50, p95 = (1000 * float(np.percentile(seconds, share)) for share in (50, 95))
        recall = f", recall@10 against exact {np.mean(recalls):.4f}" if mode == "vector" else ""
        print(f"{mode}: p50 {p50:.1f} ms, p95 {p95:.1f} ms{recall}")
    await engine.adrop_table(_TABLE)
    await engine.close()


async def _searched(
    store: PGVectorStore,
    asked: list[tuple[str, np.ndarray]],
    texts: list[str],
    vectors: np.ndarray,
    options: dict[str, Any],
) -> tuple[list[float], list[float]]:
    seconds, recalls = [], []
    for text, vector in asked:
        at = time.perf_counter()
        found = await store.asimilarity_search_by_vector(
            vector.tolist(), k=10, query=text, **options
        )
        seconds.append(time.perf_counter() - at)
        exact = {texts[i] for i in np.argsort(-(vectors @ vector))[:10]}
        recalls.append(len(exact & {each.page_content for each in found}) / 10)
    return seconds, recalls


def _read(folder: Path, name: str) -> tuple[list[str], np.ndarray]:
    return json.loads((folder / f"{name}.json").read_text()), np.load(folder / f"{name}.npy")


def _questions(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    yield from zip(*_read(folder, "questions"), strict=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
