"""A corpus of 1,000,000 tickets by simulation: the tree, calls, cost, database, hours.

The facts of 10,000 made tickets are read and embedded, and each vector is drawn a hundred times
with noise; themes are fitted, facts assigned and the tree is built as a run does it. What a call
and a ticket take is what the largest measured run took (part ``scale``).
"""

from random import Random
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.extracts import fact
from benchmarks.heavy_tail import SLOTS
from benchmarks.peers import table
from benchmarks.results import Results
from benchmarks.tickets import tickets

TICKETS, SAMPLE = 1_000_000, 10_000
_NOISE = 0.35  # of a unit vector's length
_PRICES = (0.25, 2.0)  # USD per million tokens, in and out
_LIMITS = {  # requests and tokens a minute
    "64 slots": (float("inf"), float("inf")),
    "500 requests and 200,000 tokens a minute": (500, 200_000),
    "10,000 requests and 10,000,000 tokens a minute": (10_000, 10_000_000),
}


def million(results: Results) -> None:
    """Simulate, and print."""
    measured = [row for row in results.of("scale") if row["run"] == "first run"]
    if not measured:
        raise SystemExit("Measure the part scale first, with the same --results.")
    largest = max(measured, key=lambda row: int(row["tickets"]))
    passages, vectors = _sample()
    tree = _tree(vectors)
    many = TICKETS // SAMPLE
    calls = passages["packs"] * many + tree["nodes"] + tree["compared"]
    scale = TICKETS / largest["tickets"]
    tokens_in, tokens_out = largest["tokens_in"] * scale, largest["tokens_out"] * scale
    cost = (tokens_in * _PRICES[0] + tokens_out * _PRICES[1]) / 1e6
    mean = 0.5 + 0.0001 * tokens_in / calls + 0.006 * tokens_out / calls
    mean *= float(np.exp(0.5**2 / 2))  # of the heavy tail
    hours = {
        name: max(
            calls * mean / SLOTS / 3600,
            calls / requests / 60,
            (tokens_in + tokens_out) / tokens / 60,
        )
        for name, (requests, tokens) in _LIMITS.items()
    }
    row: dict[str, Any] = {
        "tickets": TICKETS,
        "calls": calls,
        "cost_usd": cost,
        "tokens_in": round(tokens_in),
        "tokens_out": round(tokens_out),
        "database_gb": largest["database_mb"] * scale / 1024,
        **tree,
        **{f"hours, {name}": each for name, each in hours.items()},
    }
    results.add("million", **row)
    print(f"### {TICKETS:,} tickets, simulated\n{table(('what', 'figure'), list(row.items()))}")


def _sample() -> tuple[dict[str, int], "np.ndarray"]:
    """How many passages and packs 10,000 tickets make, and the vectors of their facts."""
    import asyncio

    from infra.embeddings import embed
    from tasks.passages import cut_text, estimated_tokens
    from tasks.reading import packs

    texts = [f"{row['subject']}\n\n{row['body']}" for row in tickets(SAMPLE)]
    cut = [passage for text in texts for passage in cut_text(text, "ticket")]
    planned = packs([("", text, estimated_tokens(text)) for text in cut], "openai:simulated")
    said = [fact(text, Random(text))["problem"] for text in cut]
    vectors = asyncio.run(embed(list(dict.fromkeys(said))))
    return {"passages": len(cut), "packs": len(planned)}, vectors


def _tree(sample: "np.ndarray") -> dict[str, Any]:
    from tasks.codebook import assign, rounded
    from tasks.fitting import fit
    from tasks.merging import close_pairs
    from tasks.tree import tree_of

    chance = np.random.default_rng(0)
    vectors = np.empty((TICKETS, sample.shape[1]), np.float32)
    for start in range(0, TICKETS, 50_000):
        drawn = sample[chance.integers(len(sample), size=50_000)]
        noise = chance.standard_normal(drawn.shape, dtype=np.float32)
        noise *= _NOISE / np.sqrt(sample.shape[1])
        vectors[start : start + 50_000] = rounded(drawn + noise)
    ids = [f"{number:032x}" for number in range(TICKETS)]
    started = perf_counter()
    codebook = fit(ids, vectors)
    leaves = assign(codebook, ids, vectors)
    tree = tree_of(codebook, ids, leaves)
    depth = 1 + max((_depth(tree, node.id) for node in tree.leaves), default=0)
    return {
        "themes": len(tree.leaves),
        "nodes": len(tree.nodes),
        "levels": depth,
        "largest theme": max(len(node.facts) for node in tree.leaves),
        "rare": len(tree.rare),
        "compared": len(close_pairs(codebook, set(leaves.tolist()) - {-1})),
        "grouping_s": perf_counter() - started,
    }


def _depth(tree: Any, node: int) -> int:
    return 0 if node == tree.root else 1 + _depth(tree, tree.parent_of(node))
