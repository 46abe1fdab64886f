"""A map-reduce tree over tickets, asked through this project's door:

    python -m benchmarks.engine FILE.jsonl URL OUT.json [--packed] [--as-ready] [--bench DIR]

It is no summary of this project, whose prompts, grouping and checks are others: it is what its flow
runs, tasks, slots, ledger and kept replies add to calls that other systems make as well. The model
is that of the settings.
"""

from collections.abc import Coroutine

import fastapi.encoders  # noqa: F401 - which Prefect imports with its first run
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from benchmarks.tree_runs import run_tree
from benchmarks.trees import REPLY_TOKENS, Node, Work, as_ready, level_by_level, planned
from infra.llm import close_door, complete, open_door
from infra.messages import Message
from infra.providers import model_of
from infra.request import Request
from tasks.runs import charged, charged_to_task, together

_BATCHES = 32  # most task runs of a level, as when passages are read


class Texts:
    """Opaque to Prefect, as all is that holds text."""

    __slots__ = ("prompts",)

    def __init__(self, prompts: list[str]) -> None:
        self.prompts = prompts


class Branch:
    """A node and what is below it, and the prompts; opaque to Prefect."""

    __slots__ = ("node", "work")

    def __init__(self, work: Work, node: Node) -> None:
        self.work, self.node = work, node


async def _ask(prompt: str) -> str:
    request = Request(
        prompt="benchmark",
        version="benchmark",
        model=model_of("fast"),
        messages=(Message("user", prompt),),
        max_tokens=REPLY_TOKENS,
    )
    with charged_to_task():
        return (await complete(request)).text


@task(name="ask batch", cache_policy=NO_CACHE, persist_result=False)
async def ask_batch(texts: Texts) -> list[str]:
    """The replies to some prompts of a level."""
    return await together(map(_ask, texts.prompts))


@task(name="ask branch", cache_policy=NO_CACHE, persist_result=False)
async def ask_branch(branch: Branch) -> str:
    """The text of a node, after those below it."""
    return await as_ready(branch.work, branch.node, _ask)


async def _ask_level(prompts: list[str]) -> list[str]:
    size = -(-len(prompts) // _BATCHES)
    batches = [Texts(prompts[start : start + size]) for start in range(0, len(prompts), size)]
    return [text for batch in await together(map(ask_batch, batches)) for text in batch]


async def _ask_tree(work: Work) -> str:
    root = planned(work.texts)
    branches = [Branch(work, node) for node in root]
    below = await together(map(ask_branch, branches))
    return await _ask(work.reduce.format(text="\n\n".join(below)))


@flow(name="map-reduce-tree")
async def ours(branch: Branch, ready: bool) -> str:
    """The tree's root, through this project's door."""
    async with charged():
        if ready:
            return await _ask_tree(branch.work)
        return await level_by_level(branch.work, _ask_level)


async def _ready(work: Work, url: str, as_ready: bool) -> Coroutine[None, None, str]:
    await open_door()  # LangChain is imported; the peers import theirs before the clock starts, too
    return ours(Branch(work, []), as_ready)


if __name__ == "__main__":
    run_tree(_ready, close_door)
