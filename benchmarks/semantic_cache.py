"""How often the semantic cache hits, and how often wrongly: `python -m benchmarks.semantic_cache`.

Two sets of questions, neither of them part of this project:

- pairs with a label (``--pairs``: text_a, text_b, label), such as PAWS-X, whose pairs have nearly
  the same words and often another meaning: one half teaches the threshold, the other is reported;
- groups of rephrasings (``--queries``: text, paraphrase_group), such as StackFAQ, as a stream of
  requests in a chosen order: each is compared with those that came before it; six groups in ten
  teach, the others are reported.

For each bound on wrong answers, as a share of requests: the hit rate and the wrong hits of the
learned threshold with the guards; beside it static thresholds without guards, as other caches use
them. GPTCache's paper (Bang 2023) publishes 5.6 to 9.2 % wrong among its hits.
"""

import argparse
import asyncio
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from infra.embeddings import embed
from tasks.cache_evaluation import read_pairs
from tasks.guards import differences
from tasks.tables import read_table
from tasks.thresholds import Certified, judge, learn

BOUNDS = (0.005, 0.01, 0.02, 0.05)
STATIC = (0.95, 0.9, 0.8)
NEIGHBOURS = 5
TAUGHT = 0.6  # of the groups: a bound of 1 % wants 368 requests to be certified on
Seen = tuple[list[float | None], list[bool]]


_vectors: dict[str, Any] = {}


async def _embedded(texts: Sequence[str]) -> Any:
    """Vectors of the texts: each is embedded once, whatever the number of seeds."""
    new = list(dict.fromkeys(text for text in texts if text not in _vectors))
    _vectors.update(zip(new, await embed(new), strict=True))
    return np.stack([_vectors[text] for text in texts])


async def of_pairs(path: Path, seed: int) -> dict[str, tuple[Seen, Seen]]:
    """Observations of labelled pairs, those that teach and those that test: guarded and bare."""
    pairs = read_pairs(path)
    random.Random(seed).shuffle(pairs)
    right = [same for _, _, same in pairs]
    first, second = [await _embedded([pair[side] for pair in pairs]) for side in (0, 1)]
    bare = [float(cosine) for cosine in (first * second).sum(axis=1)]
    guarded = [
        None if differences(a, b) else cosine for (a, b, _), cosine in zip(pairs, bare, strict=True)
    ]
    half = len(pairs) // 2
    return {
        name: ((found[:half], right[:half]), (found[half:], right[half:]))
        for name, found in (("guarded", guarded), ("bare", list[float | None](bare)))
    }


async def of_groups(path: Path, seed: int) -> dict[str, tuple[Seen, Seen]]:
    """Observations of two streams of rephrasings, one of each half of the groups."""
    table, _ = read_table(path)
    groups = sorted(set(table["paraphrase_group"]))
    random.Random(seed).shuffle(groups)
    taught = round(TAUGHT * len(groups))
    halves = set(groups[:taught]), set(groups[taught:])
    found: dict[str, list[Seen]] = {"guarded": [], "bare": []}
    for half in halves:
        rows = table[table["paraphrase_group"].isin(half)].sample(frac=1, random_state=seed)
        for name, seen in found.items():
            seen.append(await _stream(list(rows["text"]), list(rows["paraphrase_group"]), name))
    return {name: (seen[0], seen[1]) for name, seen in found.items()}


async def _stream(texts: list[str], groups: Sequence[str], kind: str) -> Seen:
    vectors = await _embedded(texts)
    cosines = vectors @ vectors.T
    similar: list[float | None] = []
    right: list[bool] = []
    for at, text in enumerate(texts):
        near = np.argsort(-cosines[at, :at])[:NEIGHBOURS]
        if kind == "guarded":
            near = np.array([i for i in near if not differences(text, texts[i])], dtype=int)
        similar.append(float(cosines[at, near[0]]) if len(near) else None)
        right.append(groups[at] == groups[near[0]] if len(near) else True)
    return similar, right


def rows_of(halves: dict[str, tuple[Seen, Seen]]) -> list[dict[str, Any]]:
    """One row for each bound and each static threshold, judged on the half that tests."""
    taught, tested = halves["guarded"]
    rows = []
    for bound in BOUNDS:
        threshold = learn(*taught, bound).threshold
        rows.append(_row(f"learned for {bound:.1%}", judge(*tested, threshold)))
    rows += [_row(f"static {each}", judge(*halves["bare"][1], each)) for each in STATIC]
    return rows


def _row(name: str, found: Certified) -> dict[str, Any]:
    of_hits = found.wrong_hits / found.hits if found.hits else None
    return {
        "name": name,
        "threshold": found.threshold,
        "requests": found.requests,
        "hit_rate": found.hit_rate,
        "wrong_share": found.wrong_share,
        "wrong_share_of_hits": of_hits,
    }


def _averaged(runs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The mean over seeds, and the highest wrong share of any."""
    return [
        {
            "name": rows[0]["name"],
            "requests": rows[0]["requests"],
            "threshold": [row["threshold"] for row in rows],
            "hit_rate": float(np.mean([row["hit_rate"] for row in rows])),
            "wrong_share": float(np.mean([row["wrong_share"] for row in rows])),
            "highest_wrong_share": max(row["wrong_share"] for row in rows),
            "wrong_share_of_hits": _mean([row["wrong_share_of_hits"] for row in rows]),
        }
        for rows in zip(*runs, strict=True)
    ]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _plot(tables: dict[str, list[dict[str, Any]]], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(tables), 4), layout="constrained")
    for axes, (name, rows) in zip(
        figure.subplots(1, len(tables), squeeze=False)[0], tables.items(), strict=True
    ):
        for kind, marker in (("learned", "o-"), ("static", "s--")):
            chosen = [row for row in rows if row["name"].startswith(kind)]
            x = [100 * row["wrong_share"] for row in chosen]
            y = [100 * row["hit_rate"] for row in chosen]
            axes.plot(x, y, marker, label=f"{kind} threshold")
            for row, at_x, at_y in zip(chosen, x, y, strict=True):
                label = row["name"].removeprefix("learned for ").removeprefix("static ")
                axes.annotate(label, (at_x, at_y), textcoords="offset points", xytext=(5, -10))
        axes.set(title=name, xlabel="wrong answers, % of requests", ylabel="hits, % of requests")
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.legend()
    figure.savefig(file, dpi=120)


async def measure(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """The tables, by data set."""
    found = {}
    for path, observe in ((options.pairs, of_pairs), (options.queries, of_groups)):
        if path:
            runs = [rows_of(await observe(path, seed)) for seed in range(options.seeds)]
            found[path.stem if path.stem != "queries" else path.parent.name] = _averaged(runs)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=Path, help="table: text_a, text_b, label")
    parser.add_argument("--queries", type=Path, help="table: text, paraphrase_group")
    parser.add_argument("--seeds", type=int, default=5, help="how many ways to cut into halves")
    parser.add_argument("--plot", type=Path, help="write the curves to this PNG")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    tables = asyncio.run(measure(options))
    if options.plot:
        _plot(tables, options.plot)
    if options.json:
        print(json.dumps(tables))
        return
    for name, rows in tables.items():
        print(f"{name}: {rows[0]['requests']} requests tested, {options.seeds} seeds")
        print(f"{'':20}{'hits':>8}{'wrong':>9}{'most':>9}{'of hits':>9}")
        for row in rows:
            of_hits = row["wrong_share_of_hits"]
            print(
                f"{row['name']:20}{row['hit_rate']:8.1%}{row['wrong_share']:9.2%}"
                f"{row['highest_wrong_share']:9.2%}"
                + (f"{of_hits:9.1%}" if of_hits is not None else f"{'–':>9}")
            )


if __name__ == "__main__":
    main()
