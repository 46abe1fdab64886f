"""How well and how quickly passages are found: `python -m benchmarks.retrieval`.

    judged sets → ingest → vector, text, hybrid side by side: nDCG@10
    100,000 made passages → ingest → exact and HNSW neighbours, each mode's time a query

A judged set is a folder with corpus, queries and qrels (.parquet, .csv or .jsonl); of a table of
titled texts (--titles) each title is a query for the text that it was taken out of. The made
passages have words as unequally frequent as in English, and vectors in clusters; embedding them is
left out of every time. Beside ours, in the same run and on the same server: langchain-postgres, by
a Python of its own (--peer), as it wants an older pgvector. The exit status is 1 when hybrid search
is worse than a leg by more than 0.005 on a set or not better on the mean, finds fewer than 0.99 of
the exact neighbours, takes longer than 15 ms at the 95th percentile in a mode, or an ingest writes
fewer than 2,000 passages a second.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args
from unittest.mock import patch

import numpy as np
import pandas as pd

from infra.llm import close_door
from infra.postgres import database_url
from tasks import passage_writing
from tasks.collection_changes import change_of
from tasks.document_collections import View
from tasks.document_passages import passages_of
from tasks.documents import Document, Documents, load_documents
from tasks.ingestion import judge_version
from tasks.passage_writing import write_passages
from tasks.retrieval import Mode, search_view
from tasks.retrieval_evaluation import measure, read_judged

MODES: tuple[Mode, ...] = get_args(Mode)
WORSE, RECALL, SLOWEST_MS, PASSAGES_A_SECOND = 0.005, 0.99, 15.0, 2000.0
_DIMENSIONS, _CLUSTERS, _WORDS = 384, 2000, 60_000
_QUESTIONS = 400
_SUFFIXES = (".parquet", ".csv", ".jsonl")


async def ingest(documents: Documents, name: str) -> View:
    """Bring documents into a collection, as the flow does."""
    change = await change_of(documents, name)
    judged = await judge_version(change, await write_passages(change))
    return judged.view


async def judged_sets(folders: Sequence[Path]) -> bool:
    """nDCG@10 of every set and mode. Whether hybrid search is what it is to be."""
    rows = {}
    for folder in folders:
        corpus, queries, qrels = (_table(folder, name) for name in ("corpus", "queries", "qrels"))
        view = await ingest(await load_documents(str(corpus)), folder.name)
        judged = await read_judged(str(queries), str(qrels))
        rows[folder.name] = {mode: (await measure(view, judged, mode)).ndcg_at_10 for mode in MODES}
        print(folder.name, {mode: round(value, 3) for mode, value in rows[folder.name].items()})
    if not rows:
        return True
    table = pd.DataFrame(rows).T
    means = table.mean()
    behind = (table["hybrid"] - table[["vector", "text"]].max(axis=1)).min()
    print(f"mean {means.round(3).to_dict()}, hybrid against the better leg at worst {behind:+.3f}")
    return bool(behind >= -WORSE and means["hybrid"] > means[["vector", "text"]].max())


async def made_passages(count: int, python: Path | None) -> bool:
    """Times and neighbours among made passages. Whether they are what they are to be."""
    documents, embeddings = _made(count)
    by_text = {
        passage.whole: row
        for document, row in zip(documents.all, embeddings, strict=True)
        for passage in passages_of(document, documents.name)
    }

    async def known(texts: Sequence[str], *, quiet: bool = False) -> np.ndarray:
        return np.stack([by_text[text] for text in texts])

    with patch.object(passage_writing, "vectors", known):
        started = time.perf_counter()
        view = await ingest(documents, "made")
        rate = view.passages / (time.perf_counter() - started)
    print(f"ours: {view.passages:,} passages, {rate:,.0f} a second with indexes")
    good = rate >= PASSAGES_A_SECOND
    questions = list(_questions(documents, embeddings))
    for mode in MODES:
        seconds, recalls = [], []
        for text, vector in questions:
            at = time.perf_counter()
            found = await search_view(view, text, vector, k=10, mode=mode)
            seconds.append(time.perf_counter() - at)
            if mode == "vector":
                exact = {documents.all[i].id for i in np.argsort(-(embeddings @ vector))[:10]}
                recalls.append(len(exact & {each.document for each in found}) / 10)
        p50, p95 = (1000 * float(np.percentile(seconds, share)) for share in (50, 95))
        recall = f", recall@10 against exact {np.mean(recalls):.4f}" if recalls else ""
        print(f"ours, {mode}: p50 {p50:.1f} ms, p95 {p95:.1f} ms{recall}")
        good &= p95 <= SLOWEST_MS and (not recalls or float(np.mean(recalls)) >= RECALL)
    await asyncio.to_thread(_beside, python, documents, embeddings, questions)
    return good


def _made(count: int) -> tuple[Documents, np.ndarray]:
    random = np.random.default_rng(7)
    centres = _unit(random.normal(size=(_CLUSTERS, _DIMENSIONS)))
    cluster = random.integers(_CLUSTERS, size=count)
    noise = random.normal(size=(count, _DIMENSIONS)) / np.sqrt(_DIMENSIONS)
    embeddings = _unit(centres[cluster] + 0.9 * noise).astype(np.float16).astype(np.float32)
    words = np.array([_word(number) for number in range(_WORDS)])
    frequency = 1 / (np.arange(_WORDS) + 2.7) ** 1.07  # Zipf and Mandelbrot, as in English
    drawn = random.choice(_WORDS, size=(count, 90), p=frequency / frequency.sum())
    documents = [
        Document(f"d{number:06}", " ".join(words[row[:4]]), " ".join(words[row]), {})
        for number, row in enumerate(drawn)
    ]
    return Documents("made", documents), embeddings


def _questions(documents: Documents, embeddings: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Some words of a passage, and a vector near to its own."""
    random = np.random.default_rng(8)
    for place in random.choice(len(documents.all), size=_QUESTIONS, replace=False):
        words = documents.all[place].text.split()
        noise = random.normal(size=_DIMENSIONS) / np.sqrt(_DIMENSIONS)
        vector = _unit((embeddings[place] + 0.6 * noise)[None])[0].astype(np.float32)
        yield " ".join(random.choice(words, size=8, replace=False)), vector


def _beside(
    python: Path | None,
    documents: Documents,
    embeddings: np.ndarray,
    questions: Sequence[tuple[str, np.ndarray]],
) -> None:
    """The same passages in langchain-postgres, by a Python that has it."""
    if python is None:
        print("langchain-postgres: --peer names no Python that has it.")
        return
    script = Path(__file__).with_name("langchain_postgres_store.py")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, texts, vectors in (
            ("passages", [f"{each.title}\n{each.text}" for each in documents.all], embeddings),
            ("questions", *(list(each) for each in zip(*questions, strict=True))),
        ):
            (folder / f"{what}.json").write_text(json.dumps(texts))
            np.save(folder / f"{what}.npy", np.array(vectors))
        command = [str(python), str(script), database_url(), name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        print(f"langchain-postgres, {line}")
    if done.returncode:
        print(f"langchain-postgres failed: {done.stderr.strip().splitlines()[-1]}")


def _table(folder: Path, name: str) -> Path:
    for suffix in _SUFFIXES:
        if (path := folder / f"{name}{suffix}").is_file():
            return path
    raise SystemExit(f"{folder} has no {name} ({', '.join(_SUFFIXES)}).")


def _titles(path: Path, folder: Path) -> Path:
    """A judged set of a table of texts with titles: whoever knows a title looks for its text."""
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    folder.mkdir()
    ids = table["doc_id"].astype(str)
    texts = [
        text.replace(title, "") for text, title in zip(table["text"], table["title"], strict=True)
    ]
    pd.DataFrame({"doc_id": ids, "text": texts}).to_parquet(folder / "corpus.parquet")
    pd.DataFrame({"query_id": ids, "text": table["title"]}).to_parquet(folder / "queries.parquet")
    rows = {"query_id": ids, "doc_id": ids, "relevance": 1}
    pd.DataFrame(rows).to_parquet(folder / "qrels.parquet")
    return folder


def _word(number: int) -> str:
    letters = ""
    for base in (18, 5, 18, 5, 18, 5):
        number, rest = divmod(number, base)
        letters += ("bcdfghjklmnprstvwz" if base == 18 else "aeiou")[rest]
    return letters


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


async def main(folders: Sequence[Path], count: int, python: Path | None) -> bool:
    """Both parts, on one event loop."""
    try:
        good = await judged_sets(folders)
        return (await made_passages(count, python) if count else True) and good
    finally:
        await close_door()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--judged", type=Path, nargs="*", default=[], help="Folders of sets.")
    parser.add_argument("--titles", type=Path, nargs="*", default=[], help="Tables of texts.")
    parser.add_argument("--passages", type=int, default=100_000, help="0: no made ones.")
    parser.add_argument("--peer", type=Path, help="A Python that has langchain-postgres.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="patterns-benchmark-") as folder:
        Path(folder).chmod(0o711)  # as root, PostgreSQL's account has to get through
        os.environ["PATTERNS_HOME"] = str(Path(folder) / "home")
        sets = [*given.judged, *(_titles(path, Path(folder) / path.stem) for path in given.titles)]
        print(f"Load beforehand: {os.getloadavg()[0]:.1f} of {os.cpu_count()} processors.")
        good = asyncio.run(main(sets, given.passages, given.peer))
        from infra.embedded_postgres import stop

        stop(Path(os.environ["PATTERNS_HOME"]))
    sys.exit(not good)
