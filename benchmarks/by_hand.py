"""A map-reduce tree over tickets in hand-written asyncio, with nothing between it and the endpoint:

python -m benchmarks.by_hand FILE.jsonl URL OUT.json [--packed] [--as-ready] [--bench DIR]
"""

import asyncio
from collections.abc import Coroutine

import aiohttp

from benchmarks.heavy_tail import SLOTS
from benchmarks.tree_runs import run_tree
from benchmarks.trees import Work, as_ready, level_by_level, planned, request


async def by_hand(work: Work, url: str, ready: bool) -> str:
    """The tree's root, without anything between."""
    slots = asyncio.Semaphore(SLOTS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(prompt: str) -> str:
            async with slots, session.post(f"{url}/chat/completions", json=request(prompt)) as got:
                return str((await got.json())["choices"][0]["message"]["content"])

        async def ask_all(prompts: list[str]) -> list[str]:
            return await asyncio.gather(*map(ask, prompts))

        if ready:
            return await as_ready(work, planned(work.texts), ask)
        return await level_by_level(work, ask_all)


async def _ready(work: Work, url: str, ready: bool) -> Coroutine[None, None, str]:
    return by_hand(work, url, ready)


if __name__ == "__main__":
    run_tree(_ready)
