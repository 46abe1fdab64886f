"""`patterns summarize` on made tickets, measured: product, growth, killed, scale."""

import asyncio
import json
import random
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort

from benchmarks import peers
from benchmarks.extracts import CODE
from benchmarks.heavy_tail import Called
from benchmarks.results import Results
from benchmarks.tickets import ticket, tickets, write
from infra.postgres import database_url

Bench = Callable[[], AbstractContextManager[tuple[str, Path]]]

_CALLING = (
    "select distinct task_run from patterns.ledger where root_run = %s and task_run is not null"
)
_OWN = ("made_at", "figures")  # of a report, what two equal runs do not share


def summarize(
    file: Path,
    endpoint: str,
    out: Path,
    *,
    model: str = "simulated",
    kill_after: float | None = None,
) -> dict[str, Any]:
    """Run the command; its figures, and what it took. Times of the first call count from the
    command and from when the flow began."""
    patterns = Path(sys.executable).parent / "patterns"
    command = [patterns, "summarize", file, "--strategy", "read", "--out", out]
    before = len(peers.log(endpoint))
    environment = {"PATTERNS_CHAT_MODEL": f"openai:{model}"}
    spent = peers.run(command, environment, endpoint=endpoint, kill_after=kill_after)
    if kill_after is not None:
        return {"killed_s": spent.seconds}
    if spent.status:
        raise SystemExit(f"patterns summarize ended with {spent.status}.")
    called = peers.log(endpoint)[before:]
    report = json.loads((out / "report.json").read_text())
    figures = report["figures"]
    flow = datetime.fromisoformat(report["made_at"]) - timedelta(seconds=figures["seconds"])
    first = min(call.came for call in called) if called else None
    return {
        "wall_s": spent.seconds,
        "flow_s": figures["seconds"],
        "calls": len(called),
        "tokens_in": sum(call.tokens_in for call in called),
        "tokens_out": sum(call.tokens_out for call in called),
        "cost_usd": figures["cost_usd"],
        "cpu_s": spent.cpu,
        "mb": spent.memory,
        "covered": figures["covered"],
        "findings": figures["findings"],
        "first_after_command_s": first and first - spent.started,
        "first_after_flow_s": first and first - flow.timestamp(),
        "longest_gap_s": longest_gap(called),
    }


def longest_gap(called: list[Called]) -> float:
    """The longest time without a call under way, between the first and the last."""
    gap, end = 0.0, float("inf")
    for call in sorted(called):
        gap = max(gap, call.came - end)
        end = call.ended if end == float("inf") else max(end, call.ended)
    return gap


def product(options: Namespace, results: Results, bench: Bench) -> None:
    """Ours on 10,000 tickets, and how much evidence is kept; the peers as the engine part ran."""
    import pandas as pd

    count = (options.tickets or [10_000])[0]
    with bench() as (url, folder):
        file = write(folder / "tickets.jsonl", tickets(count))
        write(folder / "warm.jsonl", tickets(40, seed=9))  # the schema is made by the first run
        summarize(folder / "warm.jsonl", url, folder / "warm")
        planted = {row["id"]: row["fact"] for row in tickets(count) if row["fact"]}
        row = summarize(file, url, folder / "out")
        found = pd.read_parquet(folder / "out" / "findings.parquet")
        under = {ticket for each in found["ticket_ids"] for ticket in each}
        said = json.loads((folder / "out" / "report.json").read_text())["synthesis"]
        codes = len(set(CODE.findall(said)) & set(planted.values()))
        kept = len(planted.keys() & under)
        results.add("product", tickets=count, planted=len(planted), kept=kept, codes=codes, **row)
    print_product(results)


def print_product(results: Results) -> None:
    """Ours beside the peers."""
    head = (
        *("tickets", "system", "wall s", "calls", "tokens in", "tokens out"),
        *("planted facts with evidence", "codes in the text at the end"),
    )
    rows: list[tuple[object, ...]] = []
    for row in results.of("product"):
        kept = f"{row['kept']} of {row['planted']}"
        cells = ("wall_s", "calls", "tokens_in", "tokens_out")
        rows.append(
            (row["tickets"], "patterns summarize", *(row[c] for c in cells), kept, row["codes"])
        )
        print(f"First call after the flow began: {row['first_after_flow_s']:.1f} s")
        print(f"First call after the command: {row['first_after_command_s']:.1f} s")
        for peer in results.of("engine"):
            if peer["tickets"] == row["tickets"] and peer["seed"] == 1:
                cells = ("system", "wall_s", "calls", "tokens_in", "tokens_out")
                codes = peer["codes"]
                rows.append((row["tickets"], *(peer[c] for c in cells), codes, codes))
    print(f"### Product\n{peers.table(head, rows)}")


def growth(options: Namespace, results: Results, bench: Bench) -> None:
    """What a changed corpus costs, each change on top of the one before."""
    count = (options.tickets or [10_000])[0]
    rows = list(tickets(count))
    shuffled = random.Random(0).sample(rows, len(rows))
    more = [*rows, ticket(count)]
    edited = [*more[:777], ticket(777, seed=2) | {"id": more[777]["id"]}, *more[778:]]
    fewer = [row for row in edited if row["id"] != rows[4321]["id"]]
    grown = [*fewer, *tickets(count // 100, first=count + 1)]
    changes = {
        "first run": rows,
        "the same again": rows,
        "another order": shuffled,
        "one added": more,
        "one edited": edited,
        "one deleted": fewer,
        "1 % appended": grown,
    }
    before = b""
    with bench() as (url, folder):
        for change, wanted in changes.items():
            file = write(folder / "tickets.jsonl", wanted)
            row = summarize(file, url, folder / "out")
            now = _bytes(folder / "out")
            results.add("growth", tickets=count, change=change, same_bytes=now == before, **row)
            before = now
    cells = ("change", "calls", "tokens_in", "tokens_out", "wall_s", "cpu_s", "same_bytes")
    told = [tuple(row[cell] for cell in cells) for row in results.of("growth")]
    print(f"### Growth, {count:,} tickets\n{peers.table(cells, told)}")


def _bytes(out: Path) -> bytes:
    """What two runs of the same have in common."""
    report = json.loads((out / "report.json").read_text())
    own = json.dumps({name: said for name, said in report.items() if name not in _OWN})
    return own.encode() + (out / "findings.parquet").read_bytes()


def killed(options: Namespace, results: Results, bench: Bench) -> None:
    """kill -9, then the same command: what had been answered, and is asked again."""
    count = (options.tickets or [1_000])[0]
    for after in (4.0, 12.0):
        with bench() as (url, folder):
            file = write(folder / "tickets.jsonl", tickets(count))
            run = partial(summarize, file, url, folder / "out")
            run(kill_after=after)
            row = _again(url, run)
            results.add("killed", system="patterns summarize", after_s=after, **row)
    for system in [*peers.OURS, *peers.installed(options.bench)]:
        if options.only and system not in options.only:
            continue
        with bench() as (url, folder):
            file = write(folder / "tickets.jsonl", tickets(count))
            command, environment = peers.command_of(
                *(system, file, f"{url}/v1", folder), pack=False, bench=options.bench, resumed=True
            )
            run = partial(peers.run, command, environment)
            run(endpoint=url, kill_after=15.0)
            row = _again(url, run)
            results.add("killed", system=system, after_s=15.0, **row)
    cells = ("system", "after_s", "answered", "committed", "again", "committed_again", "calls")
    told = [tuple(row[cell] for cell in cells) for row in results.of("killed")]
    head = (
        *("system", "killed, s after its first call", "answered by then", "kept by then"),
        *("answered and asked again", "kept and asked again", "calls in all"),
    )
    print(f"### kill -9 and the same command, {count:,} tickets\n{peers.table(head, told)}")


def _again(url: str, run: Callable[[], Any]) -> dict[str, Any]:
    """Run once more after a kill, and count. What is kept is known of this project only."""
    killed_at, answered = time.time(), {call.digest for call in peers.log(url)}
    committed = _kept_replies()
    time.sleep(16)  # so that what was in flight, and its leases, have ended
    before = len(peers.log(url))
    run()
    asked = peers.log(url)
    again = [call for call in asked if call.came > killed_at]
    new = _kept_replies() - committed
    return {
        "answered": len(answered),
        "committed": committed or "",
        "again": sum(call.digest in answered for call in again),
        "committed_again": len(again) - new if committed else "",
        "calls": len(asked),
        "late": before - len(answered),
    }


def _kept_replies() -> int:
    with psycopg.connect(database_url()) as connection:
        if connection.execute("select to_regclass('patterns.calls')").fetchone() == (None,):
            return 0  # who has run is none of ours
        counted = connection.execute("select count(*) from patterns.calls where reply is not null")
        return int((counted.fetchone() or (0,))[0])


def scale(options: Namespace, results: Results, bench: Bench) -> None:
    """Sizes, each: all of it; the same again; and with another model's name, whose replies are
    asked for anew while the vectors are kept, so that it is the first run without embedding."""
    from benchmarks.summary_plot import plot

    for count in options.tickets or (1_000, 10_000, 100_000):
        with bench() as (url, folder):
            peers.reset(url, scale=1.0 if count <= 10_000 else 0.1)
            file = write(folder / "tickets.jsonl", tickets(count))
            for run, model in (
                ("first run", "simulated"),
                ("the same again", "simulated"),
                ("vectors kept", "other"),
            ):
                row = summarize(file, url, folder / run, model=model)
                size = {"text_mb": _text_mb(file), "database_mb": _database_mb()}
                results.add("scale", tickets=count, run=run, **size, **row, **records())
    cells = ("tickets", "run", "text_mb", "wall_s", "calls", "tokens_in", "tokens_out", "cpu_s")
    cells += ("mb", "database_mb", "longest_gap_s", "task_runs", "completed", "lacking")
    told = [tuple(row[cell] for cell in cells) for row in results.of("scale")]
    print(f"### Size\n{peers.table(cells, told)}")
    if options.plot:
        plot(results, options.plot)


def records() -> dict[str, int]:
    """What Prefect's server has of the last run: its task runs, how many are completed, and how
    many it lacks of those that called a model, which the ledger names."""

    async def kept() -> tuple[Any, dict[Any, bool]]:
        found: dict[Any, bool] = {}
        async with get_client() as client:
            [run] = await client.read_flow_runs(limit=1, sort=FlowRunSort.START_TIME_DESC)
            of = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
            while page := await client.read_task_runs(
                flow_run_filter=of, limit=200, offset=len(found), sort=TaskRunSort.ID_DESC
            ):
                found |= {each.id: bool(each.state and each.state.is_completed()) for each in page}
        return run.id, found

    time.sleep(10)  # what was told to the server is written by then
    run, found = asyncio.run(kept())
    with psycopg.connect(database_url()) as connection:
        named = connection.execute(_CALLING, [run]).fetchall()
    lacking = {task for (task,) in named} - found.keys()
    return {
        "task_runs": len(found),
        "completed": sum(found.values()),
        "lacking": len(lacking),
    }


def _text_mb(file: Path) -> float:
    return sum(len(json.loads(line)["body"]) for line in file.open()) / 2**20


def _database_mb() -> float:
    with psycopg.connect(database_url()) as connection:
        size = connection.execute("select pg_database_size(current_database())").fetchone()
        return float((size or (0,))[0]) / 2**20
