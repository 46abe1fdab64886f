"""Shuffle and merge: facts to the themes of their lineage, close themes told apart by the model."""

import asyncio
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.errors import DatabaseError
from tasks.codebook import RARE, Codebook, assign, save_codebook
from tasks.facts import lineage_of
from tasks.fitting import current_codebook
from tasks.merging import close_pairs, merge
from tasks.runs import is_transient, together
from tasks.tree import Tree, tree_of, with_samples
from tasks.wording import same_problem, sample_texts

if TYPE_CHECKING:
    from tasks.corpus import Corpus
    from tasks.facts import Facts
    from tasks.tree import Node

_TRIES = 5  # while other runs of the lineage change its codebook


@task(
    name="group facts",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=is_transient,
)
async def group_facts(
    corpus: "Corpus", facts: "Facts", *, refit: bool = False, whole: bool = True
) -> Tree:
    """The tree of themes that the facts of a corpus fall under, by the codebook of its lineage.

    Pairs of close themes that were not compared before are put to the model, one question each.
    ``whole``: these are all records of their source. Only then is it remembered what the themes
    are worded from: the next run on all of them would else find what a week's are worded from.
    """
    lineage = lineage_of(corpus.name, facts.strategy)
    ids = list(facts.table["fact"])
    refitted = False
    for _ in range(_TRIES):
        codebook, again = await current_codebook(lineage, ids, facts.vectors, refit)
        refit, refitted = False, refitted or again
        merged, undecided = await _merged(codebook, ids, facts)
        leaves = await asyncio.to_thread(assign, merged, ids, facts.vectors)
        tree = tree_of(merged, ids, leaves, refitted, undecided)
        worded = with_samples(merged, tree, ids) if whole and not facts.failed else merged
        saved = worded is codebook or await save_codebook(lineage, worded)
        if saved or merged is codebook:  # a sample alone may as well be drawn by the next run
            return tree
    raise DatabaseError(
        f"Other runs keep changing the themes of {lineage!r}. Run again when they have ended."
    )


async def _merged(codebook: Codebook, ids: list[str], facts: "Facts") -> tuple[Codebook, set[int]]:
    """The codebook with those close themes made one that the model says are the same, and those
    themes that it could not compare: they are compared again in the next run."""
    leaves = await asyncio.to_thread(assign, codebook, ids, facts.vectors)
    tree = tree_of(codebook, ids, leaves)
    present = set(leaves.tolist()) - {RARE}
    pairs = close_pairs(codebook, present)
    said = await together(_same(tree.nodes[a], tree.nodes[b], facts) for a, b in pairs)
    verdicts = dict(zip(pairs, said, strict=True))
    merged = merge(codebook, (pair for pair, same in verdicts.items() if same), present)
    undecided = {leaf for pair, same in verdicts.items() if same is None for leaf in pair}
    if not undecided:
        return merged, undecided
    entries = [e._replace(compared=e.compared and e.id not in undecided) for e in merged.entries]
    return merged.replaced(entries=entries), undecided


async def _same(first: "Node", second: "Node", facts: "Facts") -> bool | None:
    (some, some_sources), (others, other_sources) = (
        sample_texts(node, facts) for node in (first, second)
    )
    return await same_problem(some, others, some_sources + other_sources)
