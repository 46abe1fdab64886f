"""Facts: what each passage of a corpus reports, with its vector.

Strategy ``embed``: no model call; a passage is its own fact. Strategy ``read``: what a model made
of the passage (`tasks.reading`), kept in the database.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.embeddings import embedder_name
from infra.postgres import fetch
from infra.processors import give_back_memory
from infra.providers import is_local, model_of
from tasks.corpus import Corpus
from tasks.embedding import vectors
from tasks.prompts import load_prompt

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Strategy = Literal["read", "embed"]

PROMPT = "extract_facts"
FACTS_A_PASSAGE = 2  # at most
_FACT = ("problem", "severity", "quote", "quote_dropped")


class Facts:
    """All facts of a corpus, and the records that have none. Opaque to Prefect: it holds text.

    ``strategy``: how they were made. ``table``: record, passage (SHA-256), fact (id by content),
    problem, severity, quote, quote_dropped, in canonical order. ``vectors``: float16 (n, d),
    aligned. ``unassigned``: record id -> reason. ``failed``: passages given up -> why;
    ``failed_in``: the same -> the records that they are in.
    """

    __slots__ = (
        "failed",
        "failed_in",
        "invalid_quotes",
        "strategy",
        "table",
        "unassigned",
        "vectors",
    )

    def __init__(
        self,
        strategy: Strategy,
        table: "pd.DataFrame",
        vectors: "np.ndarray",
        unassigned: dict[str, str],
        invalid_quotes: int,
        failed: Mapping[str, str],
        failed_in: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self.strategy, self.table, self.vectors = strategy, table, vectors
        self.unassigned, self.invalid_quotes, self.failed = unassigned, invalid_quotes, failed
        self.failed_in = failed_in


def default_strategy() -> Strategy:
    """``embed`` for the embedded chat model, ``read`` for any other."""
    return "embed" if is_local(model_of(load_prompt(PROMPT).model)) else "read"


def lineage_of(corpus: str, strategy: Strategy) -> str:
    """What owns a codebook of themes: a source, a way to make facts, an embedder."""
    return f"{corpus} | {extractor_of(strategy)} | {embedder_name()}"


def extractor_of(strategy: Strategy) -> str:
    """What made a fact: part of its key."""
    if strategy == "embed":
        return "embed"
    prompt = load_prompt(PROMPT)
    return f"read:{prompt.version[:16]}:{model_of(prompt.model)}"


def has_words(text: str) -> bool:
    """Whether there is a letter in it."""
    return any(character.isalpha() for character in text)


@task(name="collect facts", cache_policy=NO_CACHE, persist_result=False)
async def collect_facts(
    corpus: Corpus, passages: "pd.DataFrame", strategy: Strategy, failed: dict[str, str]
) -> Facts:
    """The facts of all passages, with vectors, and the records that have none, with the reason."""
    give_back_memory()  # of what was read
    reasons: dict[str, str] = {}
    if strategy == "embed":
        rows = _facts_of_themselves(passages)
    else:
        rows, reasons = await _facts_read(passages)
        # Another run may have read a passage again meanwhile, beside others than ours.
        lost = {row[1] for row in _facts_of_themselves(passages)} - reasons.keys()
        lost -= {row[1] for row in rows}
        failed = dict.fromkeys(lost, "it is being read by another run") | failed
    import pandas as pd

    names = ["record", "passage", "fact", "problem", "severity", "quote", "quote_dropped"]
    table = pd.DataFrame(rows, columns=names, dtype=object)  # a str column would turn None to NaN
    return Facts(
        strategy,
        table,
        await vectors(list(table["problem"])),
        _unassigned(corpus, passages, set(table["record"]), reasons | failed),
        int(table["quote_dropped"].sum()),
        failed,
        _records_with(passages, failed),
    )


def _records_with(passages: "pd.DataFrame", failed: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for record, sha256 in zip(passages["record"], passages["sha256"], strict=True):
        if sha256 in failed and record not in found.setdefault(sha256, []):
            found[sha256].append(record)
    return found


def _facts_of_themselves(passages: "pd.DataFrame") -> list[tuple[Any, ...]]:
    return [
        (record, sha256, fact_id(sha256, 0), text, None, None, False)
        for record, sha256, text in zip(
            passages["record"], passages["sha256"], passages["text"], strict=True
        )
        if has_words(text)
    ]


async def _facts_read(
    passages: "pd.DataFrame",
) -> tuple[list[tuple[Any, ...]], dict[str, str]]:
    kept = await kept_facts("read_facts", passages["sha256"].unique())
    rows = [
        (record, sha256, fact_id(sha256, n), *(fact[k] for k in _FACT))
        for record, sha256 in zip(passages["record"], passages["sha256"], strict=True)
        if sha256 in kept
        for n, fact in enumerate(kept[sha256]["facts"])
    ]
    return rows, {passage: row["reason"] for passage, row in kept.items() if row["reason"]}


async def kept_facts(query: str, passages: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What a model has read in these passages, rows of a named query by SHA-256.

    Facts with words of a passage that was read beside theirs, and that is not among these any more,
    are left out: nothing of a deleted text may stay.
    """
    hashes = [bytes.fromhex(sha256) for sha256 in passages]
    rows = await fetch(query, {"extractor": extractor_of("read"), "hashes": hashes})
    here = set(hashes)
    return {row["passage"]: row for row in rows if here.issuperset(row["borrowed_from"])}


def _unassigned(
    corpus: Corpus, passages: "pd.DataFrame", covered: set[str], reasons: dict[str, str]
) -> dict[str, str]:
    first: dict[str, str] = {}
    for record, sha256 in zip(passages["record"], passages["sha256"], strict=True):
        if record not in covered:
            first.setdefault(record, reasons.get(sha256, "there are no words in it"))
    return {
        record: first.get(record, "it is empty")
        for record in corpus.records["id"]
        if record not in covered
    }


def fact_id(passage: str, number: int) -> str:
    """The id of a fact by content: equal texts have equal ids. 32 hexadecimal digits."""
    return hashlib.sha256(f"{passage}/{number}".encode()).hexdigest()[:32]
