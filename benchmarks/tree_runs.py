"""What runs of a tree share: their options, the tickets as texts, the result in a file.

With ``--bench DIR`` the prompts are those of DIR/common.py, so that the replies and latencies are
those that the peers get. The result has the seconds, and the root's text.
"""

import argparse
import asyncio
import importlib.util
import json
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from benchmarks.trees import Work, packed


def work_of(tickets: Path, *, pack: bool, bench: Path | None = None) -> Work:
    """The tickets of a file as texts, one a call or packed."""
    rows = [json.loads(line) for line in tickets.read_text().splitlines()]
    texts = [f"[{r['id']}] {r['product']} | {r['subject']}\n{r['body']}" for r in rows]
    work = Work(packed(texts) if pack else texts)
    if bench is None:
        return work
    spec = importlib.util.spec_from_file_location("peers_common", bench / "common.py")
    assert spec is not None
    assert spec.loader is not None
    common = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(common)
    return work._replace(map=common.MAP_PROMPT, reduce=common.REDUCE_PROMPT)


async def _nothing() -> None:
    return


def run_tree(
    ready: Callable[[Work, str, bool], Awaitable[Coroutine[Any, Any, str]]],
    end: Callable[[], Awaitable[None]] = _nothing,
) -> None:
    """Make a run ready of the work, the endpoint and whether no level waits; run it, whose result
    is the root's text, by the clock; and end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tickets", type=Path)
    parser.add_argument("url", help="of the endpoint, with /v1")
    parser.add_argument("out", type=Path)
    parser.add_argument("--packed", action="store_true", help="6,000 tokens a call")
    parser.add_argument("--as-ready", action="store_true", help="no level waits for another")
    parser.add_argument("--bench", type=Path, help="folder of the peers")
    options = parser.parse_args()
    work = work_of(options.tickets, pack=options.packed, bench=options.bench)

    async def timed() -> None:
        try:
            run = await ready(work, options.url, options.as_ready)
            started = time.monotonic()
            final = await run
            said = {"wall_s": time.monotonic() - started, "final": final}
            options.out.write_text(json.dumps(said))
        finally:
            await end()

    asyncio.run(timed())
