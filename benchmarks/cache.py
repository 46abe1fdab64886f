"""What the exact cache takes, and what it saves: `python -m benchmarks.cache`.

    4 processes, each with its own event loop and pool → infra.llm → an endpoint that counts calls

Three questions, in a PATTERNS_HOME that is thrown away: how long the caller waits for a hit; how
many calls a hundred equal misses at once become; and how long they wait when the process that
makes the call is killed. Beside it, in the same run, LangChain's own caches with as many entries.
The exit status is 1 when a hit takes longer than 3 ms in the middle, or a call is made twice. A
machine that works on something else as well is slower: its load beforehand is said.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from unittest.mock import patch
from uuid import UUID

import numpy as np
import psycopg

from benchmarks import askers
from benchmarks.askers import Door, Waits, asking
from benchmarks.servers import calls_of, model
from infra.postgres import database_url

if TYPE_CHECKING:
    from langchain_core.caches import BaseCache

LONGEST_HIT = 3.0  # ms, in the middle
LATENCY = 1.0  # seconds that a miss takes
MISSES = 100  # at once
INTO_THE_CALL = 0.3  # seconds after which its process is killed
_BASE_URL = "PATTERNS_CHAT_BASE_URL"

WHOLE = "ours"
KILLED = "ours, since its caller was killed"

Row = dict[str, Any]


@contextmanager
def throw_away_home() -> Iterator[Path]:
    """A PATTERNS_HOME of the benchmark's own, in which what was started is stopped. Of the user's
    settings PATTERNS_ASSETS alone remains."""
    with (
        tempfile.TemporaryDirectory(prefix="patterns-bench-") as home,
        patch.dict(os.environ),
    ):
        Path(home).chmod(0o711)  # as root, PostgreSQL's account has to get through
        for name in [n for n in os.environ if n.startswith("PATTERNS_") and n != "PATTERNS_ASSETS"]:
            del os.environ[name]
        os.environ |= {"PATTERNS_HOME": home, "PATTERNS_CHAT_MODEL": "openai:fixed"}
        try:
            yield Path(home)
        finally:
            patterns = str(Path(sys.executable).with_name("patterns"))
            subprocess.run([patterns, "down"], stdout=subprocess.DEVNULL, check=True)


@contextmanager
def model_in_use(seconds: float) -> Iterator[str]:
    """An endpoint that processes started inside ask."""
    with model(seconds) as endpoint, patch.dict(os.environ, {_BASE_URL: f"{endpoint}/v1"}):
        yield endpoint


def fill(entries: int, processes: int) -> float:
    """Have all entries made. Seconds that it took."""
    with model_in_use(0) as endpoint:
        with asking(processes, askers.filling, entries, processes) as started:
            waits = [asker.waits() for asker in started]
        if calls_of(endpoint) != entries:
            raise SystemExit(f"{calls_of(endpoint)} calls were made for {entries} entries.")
    return _wall(waits)


def hits(door: Door, processes: int, entries: int, count: int) -> Row:
    """How long a hit takes its caller, in ms, while each process asks for one after another."""
    with (
        model_in_use(LATENCY),
        asking(processes, askers.hits, door, entries, count) as started,
    ):
        waits = [asker.waits() for asker in started]
    seconds = [each for wait in waits for each in wait.seconds]
    return _in_ms(seconds, _wall(waits))


def misses(entry: int, processes: int) -> Row:
    """A hundred equal questions at once that nobody has asked before."""
    with model_in_use(LATENCY) as endpoint:
        with asking(processes, askers.same, entry, MISSES // processes) as started:
            waits = [asker.waits() for asker in started]
        return _answered([each for wait in waits for each in wait.seconds], calls_of(endpoint))


def misses_of_a_killed(entry: int, processes: int) -> Row:
    """The same, while the process that makes the call is killed in the middle of it. Those of the
    other processes wait, from then on, for as long as is said."""
    with model_in_use(LATENCY) as endpoint:
        with asking(processes, askers.same, entry, MISSES // processes) as started:
            while not calls_of(endpoint):
                time.sleep(0.01)
            time.sleep(INTO_THE_CALL)
            holder = _holder()
            [working] = [asker for asker in started if asker.holder == holder]
            killed = time.monotonic()
            working.process.kill()
            waits = [asker.waits() for asker in started if asker is not working]
        answers = [each for wait in waits for each in wait.seconds]
        return _answered(answers, calls_of(endpoint)) | {"last_s": _ended(waits) - killed}


def langchain(home: Path, entries: int, count: int) -> tuple[dict[str, Row], dict[str, Row]]:
    """Hits, and misses at once, of LangChain's own caches, by the cache's name."""
    from langchain_community.cache import InMemoryCache, SQLiteCache

    hit, missed = dict[str, Row](), dict[str, Row]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SQLiteCache has one for every hit: to print them takes ms
        for cache in InMemoryCache(), SQLiteCache(str(home / "langchain.db")):
            name = f"LangChain's {type(cache).__name__}"
            looked_up, invoked = _langchain_hits(cache, entries, count)
            hit |= {f"{name}, lookup": looked_up, f"{name}, ainvoke": invoked}
            missed[name] = _langchain_misses(cache, entries)
    return hit, missed


def _langchain_hits(cache: "BaseCache", entries: int, count: int) -> tuple[Row, Row]:
    from benchmarks.langchain_cache import chat, filled, one_by_one

    drawn = random.Random(0).choices(range(entries), k=count)
    with model(0) as endpoint:
        kept = filled(cache, endpoint, entries)
        before = calls_of(endpoint)
        asyncio.run(one_by_one(chat(endpoint, cache), drawn[:20]))
        looked_up = [kept.lookup(entry) for entry in drawn]
        invoked = asyncio.run(one_by_one(chat(endpoint, cache), drawn))
        if calls_of(endpoint) != before:
            raise SystemExit(f"{type(cache).__name__} missed what it had.")
    return _in_ms(looked_up, sum(looked_up)), _in_ms(invoked, sum(invoked))


def _langchain_misses(cache: "BaseCache", entry: int) -> Row:
    from benchmarks.langchain_cache import at_once, chat

    with model(LATENCY) as endpoint:
        seconds = asyncio.run(at_once(chat(endpoint, cache), entry, MISSES))
        return _answered(seconds, calls_of(endpoint))


def measured(options: argparse.Namespace) -> tuple[dict[str, Row], dict[str, Row]]:
    """Everything, in a home that is gone afterwards: hits, and misses at once, by what they are."""
    hit, missed = dict[str, Row](), dict[str, Row]()
    entries, many = options.entries, options.processes
    with throw_away_home() as home:
        seconds = fill(entries, many)
        print(f"{entries} entries were made in {seconds:.0f} s", file=sys.stderr)
        for door, processes in product(get_args(Door), (1, many)):
            hit[f"{door}, {processes} at once"] = hits(door, processes, entries, options.hits)
        missed[WHOLE] = misses(entries, many)
        missed[KILLED] = misses_of_a_killed(entries + 1, many)
        if find_spec("langchain_community"):
            beside = langchain(home, entries, options.hits)
            hit, missed = hit | beside[0], missed | beside[1]
    return hit, missed


def faults(hit: Mapping[str, Row], missed: Mapping[str, Row], processes: int) -> list[str]:
    """What is not as it should be."""
    found = []
    p50 = hit[f"complete, {processes} at once"]["p50_ms"]
    if p50 > LONGEST_HIT:
        found.append(f"a hit takes {p50:.1f} ms, and {LONGEST_HIT:.0f} ms is the most")
    for name, calls in ((WHOLE, 1), (KILLED, 2)):
        if missed[name]["calls"] != calls:
            found.append(f"{name}: {missed[name]['calls']} calls in place of {calls}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--hits", type=int, default=500, help="of each process")
    parser.add_argument("--processes", type=int, default=4, help="at least 2")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    if options.processes < 2:
        parser.error("when one process is killed, another has to be left")
    load = os.getloadavg()[0]
    print(f"the machine's load beforehand: {load:.1f}", file=sys.stderr)
    hit, missed = measured(options)
    found = faults(hit, missed, options.processes)
    if options.json:
        print(json.dumps({"hits": hit, "misses": missed, "load": load, "faults": found}))
    else:
        _show(hit, missed)
    sys.exit("; ".join(found) or None)


def _show(hit: Mapping[str, Row], missed: Mapping[str, Row]) -> None:
    print(f"{'exact hits, ms':36}{'hits':>8}{'p50':>9}{'p95':>9}{'p99':>9}{'hits/s':>9}")
    for name, row in hit.items():
        figures = "".join(f"{row[key]:9.3f}" for key in ("p50_ms", "p95_ms", "p99_ms"))
        print(f"{name:36}{row['hits']:8}{figures}{row['hits_per_s']:9.0f}")
    print(f"\n{f'{MISSES} equal misses at once':36}{'answers':>8}{'calls':>9}{'last, s':>9}")
    for name, row in missed.items():
        print(f"{name:36}{row['answers']:8}{row['calls']:9}{row['last_s']:9.2f}")


def _in_ms(seconds: list[float], wall: float) -> Row:
    p50, p95, p99 = 1000 * np.percentile(seconds, [50, 95, 99])
    rate = len(seconds) / wall
    return {"hits": len(seconds), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "hits_per_s": rate}


def _answered(seconds: list[float], calls: int) -> Row:
    return {"answers": len(seconds), "calls": calls, "last_s": max(seconds)}


def _holder() -> UUID:
    """Who makes the call that is under way."""
    with psycopg.connect(database_url()) as connection:
        [(holder,)] = connection.execute(
            "select holder from patterns.calls where reply is null and holder is not null"
        ).fetchall()
    return UUID(str(holder))


def _wall(waits: list[Waits]) -> float:
    return _ended(waits) - min(wait.started for wait in waits)


def _ended(waits: list[Waits]) -> float:
    return max(wait.ended for wait in waits)


if __name__ == "__main__":
    main()
