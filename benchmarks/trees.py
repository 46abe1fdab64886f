"""A map-reduce tree over texts, for whatever asks a model, and how long it has to take.

``level by level``: a level is asked when the one below is whole, its replies packed into as few
calls as hold them. ``as ready``: the groups are fixed beforehand, and a node is asked as soon as
its children are there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple

from benchmarks.extracts import tokens
from benchmarks.heavy_tail import SLOTS, Called, answer, seconds

REPLY_TOKENS = 300  # most of a reply
PACK_TOKENS = 6000  # of texts in one call

Ask = Callable[[str], Awaitable[str]]
Node = str | list[Any]


class Work(NamedTuple):
    """Texts, and the prompts that are put before them; ``{text}`` stands for what is read."""

    texts: list[str]
    map: str = "Summarize these support tickets concisely. Keep every reference code.\n\n{text}"
    reduce: str = (
        "These are summaries of support tickets. Make one summary of the main themes of them. Keep "
        "every reference code.\n\n{text}"
    )


def packed(texts: Iterable[str]) -> list[str]:
    """Neighbours joined to texts of at most 6,000 tokens."""
    packs: list[list[str]] = [[]]
    room = PACK_TOKENS
    for text in texts:
        cost = tokens(text) + 1
        if packs[-1] and cost > room:
            packs.append([])
            room = PACK_TOKENS
        packs[-1].append(text)
        room -= cost
    return ["\n\n".join(pack) for pack in packs]


async def level_by_level(work: Work, ask_all: Callable[[list[str]], Awaitable[list[str]]]) -> str:
    """The root's text; ``ask_all`` answers a level's prompts, in their order."""
    level = await ask_all([work.map.format(text=text) for text in work.texts])
    while len(level) > 1:
        level = await ask_all([work.reduce.format(text=text) for text in packed(level)])
    return level[0]


def planned(texts: Sequence[str]) -> Node:
    """The tree over the texts: a list has children, a string is a text to read."""
    reply = min(REPLY_TOKENS, max(map(tokens, texts)) // 4) + 1
    nodes: list[Node] = list(texts)
    while len(nodes) > 1:
        fan_in = max(2, PACK_TOKENS // reply)
        nodes = [nodes[start : start + fan_in] for start in range(0, len(nodes), fan_in)]
        reply = REPLY_TOKENS + 1
    return nodes[0]


async def as_ready(work: Work, node: Node, ask: Ask) -> str:
    """A node's text, its children's first."""
    if isinstance(node, str):
        return await ask(work.map.format(text=node))
    below = await asyncio.gather(*(as_ready(work, child, ask) for child in node))
    return await ask(work.reduce.format(text="\n\n".join(below)))


def request(prompt: str) -> dict[str, Any]:
    """The body of a request."""
    return {
        "model": "gpt-4o-mini",
        "max_tokens": REPLY_TOKENS,
        "messages": [{"role": "user", "content": prompt}],
    }


def limit_as_ready(work: Work, seed: int) -> float:
    """Seconds of the tree, each node as soon as it can, for a client that takes no time."""

    async def asked() -> float:
        slots = asyncio.Semaphore(SLOTS)

        async def ask(prompt: str) -> str:
            said = answer(request(prompt))
            async with slots:
                await asyncio.sleep(seconds(seed, said, 0))
            return str(said.message["content"])

        await as_ready(work, planned(work.texts), ask)
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=_VirtualTime) as runner:
        return runner.run(asked())


def limit_level_by_level(log: Sequence[Called]) -> float:
    """Seconds of these calls for a client that takes no time: each level, which is what was under
    way without a gap, put on the slots in the order in which its calls came."""
    total, levels, end = 0.0, list[list[Called]](), float("-inf")
    for call in sorted(log):
        if call.came > end:
            levels.append([])
        levels[-1].append(call)
        end = max(end, call.ended)
    for level in levels:
        free = [0.0] * SLOTS
        for call in level:
            place = free.index(min(free))
            free[place] += call.ended - call.began
        total += max(free)
    return total


class _VirtualTime(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]
        select = selector.select

        def jump(timeout: float | None) -> Any:
            self._now += timeout or 0.0
            return select(0)

        selector.select = jump

    def time(self) -> float:
        return self._now
