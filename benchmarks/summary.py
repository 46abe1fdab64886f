"""The recursive summary beside other systems: `python -m benchmarks.summary PART … [--bench DIR]`.

    engine    the tree that the peers make of the tickets, with their prompts, by each of them, by
              this project's flow runs, tasks and door, and by hand; beside their own limit
    product   `patterns summarize` beside the peers: seconds, tokens, evidence kept
    growth    one ticket more, another text, one less, 1 % more, another order
    killed    kill -9 and the same command again, beside the peers
    scale     1,000 to 100,000 tickets: seconds, calls, processor, memory; and a plot
    million   1,000,000 tickets by simulation

All on the same made tickets and the same endpoint: 64 slots, latencies with a heavy tail
(`benchmarks.heavy_tail`). ``--bench`` names a folder with the peers (`benchmarks.peers`); without
it they are left out. ``--results`` keeps what was measured in a file, so that parts can be run one
by one and the tables be printed of all.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.peers import table
from benchmarks.results import Results
from benchmarks.servers import free_port, home, running
from benchmarks.tickets import tickets, write
from infra.settings import get_settings

PARTS = ("engine", "product", "growth", "killed", "scale", "million")


@contextmanager
def bench() -> Iterator[tuple[str, Path]]:
    """The address of an endpoint, and a folder; with a home of its own and its servers."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "benchmarks.heavy_tail", str(port)]
    model = {
        "PATTERNS_CHAT_MODEL": "openai:simulated",
        "PATTERNS_CHAT_BASE_URL": f"{url}/v1",
        "PATTERNS_CHAT_SLOTS": "64",
        "PATTERNS_PRICES": '{"openai:simulated": [0.25, 2.0]}',
    }
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder, running(command, url):
        try:
            get_settings.cache_clear()  # those of the home before
            with home(**model):
                yield url, Path(folder)
        finally:
            os.environ.clear()
            os.environ.update(before)


def engine(options: argparse.Namespace, results: Results) -> None:
    """Run the systems on the tree, seed by seed, and print what they took."""
    from benchmarks.engine_runs import measure, systems

    for count, pack in ((1_000, False), (10_000, True)):
        if options.tickets and count not in options.tickets:
            continue
        chosen = [s for s in systems(options.bench) if not options.only or s in options.only]
        with bench() as (url, folder):
            file = write(folder / "tickets.jsonl", tickets(count))
            for seed in range(options.seed, options.seed + options.seeds):
                for system in chosen:
                    row = measure(system, file, url, seed, pack=pack, bench=options.bench)
                    if row:
                        results.add("engine", tickets=count, seed=seed, **row)
    print(engine_table(results.of("engine")))


def engine_table(rows: list[dict[str, Any]]) -> str:
    """A row a system and corpus, with means over the seeds."""
    head = (
        *("tickets", "system", "seeds", "wall s", "× own limit", "calls", "CPU s", "MB"),
        *("start to first call s", "codes in the end"),
    )
    told = []
    for key in dict.fromkeys((row["tickets"], row["system"]) for row in rows):
        own = [row for row in rows if (row["tickets"], row["system"]) == key]
        named = ("wall_s", "x_own", "calls", "cpu_s", "mb", "first_s", "codes")
        means = {name: mean(row[name] for row in own) for name in named}
        counted = (round(means["calls"]), means["cpu_s"], round(means["mb"]))
        last = (means["first_s"], round(means["codes"]))
        told.append((*key, len(own), means["wall_s"], f"{means['x_own']:.3f}", *counted, *last))
    told.sort(key=lambda row: (row[0], row[3]))
    return f"### Engine\n{table(head, told)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--bench", type=Path, help="folder of the peers")
    parser.add_argument("--results", type=Path, help="file that keeps what was measured")
    parser.add_argument("--seeds", type=int, default=8, help="of the latency, for the engine")
    parser.add_argument("--seed", type=int, default=1, help="the first of them")
    parser.add_argument("--tickets", type=int, nargs="*", help="only these sizes")
    parser.add_argument("--only", nargs="*", help="only these systems")
    parser.add_argument("--plot", type=Path, help="where to write the plot of cost against size")
    options = parser.parse_args()
    results = Results(options.results)
    for part in options.parts:
        if part == "engine":
            engine(options, results)
        elif part == "million":
            from benchmarks.million import million

            million(results)
        else:
            from benchmarks import summary_runs

            getattr(summary_runs, part)(options, results, bench)


if __name__ == "__main__":
    main()
