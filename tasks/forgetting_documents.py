"""Tickets that are forgotten, taken out of collections, in all of their versions."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from prefect import task

from infra.postgres import alone, fetch, statement, transaction
from infra.sql import queries
from tasks.document_collections import collection_lock
from tasks.forgetting import Forgetting
from tasks.runs import RETRIED


@task(name="forget in documents", **RETRIED)
async def forget_in_documents(forgetting: Forgetting, findings: Sequence[str]) -> dict[str, int]:
    """Drop the passages that are a ticket's own, or copies, with what is searched for in them.
    ``findings``: tables of reports that were emptied, whose findings may be documents. How many."""
    patterns = {"patterns": forgetting.own.patterns()}
    there = {"tickets": forgetting.tickets, "sources": forgetting.sources, "findings": [*findings]}
    chosen = defaultdict[tuple[str, int], list[int]](list)
    for row in await fetch("passages_with", {**patterns, **there}):
        words = forgetting.words if row["source"] in findings else forgetting.own
        if row["own"] or words.are_in(row["said"]):
            chosen[row["collection"], row["index"]].append(row["id"])
    for (collection, index), ids in chosen.items():
        await _dropped(collection, index, ids)
    questions = await _questions(forgetting, patterns)
    return {"passages": sum(map(len, chosen.values())), "pinned_questions": questions}


async def _dropped(collection: str, index: int, ids: list[int]) -> None:
    async with alone(collection_lock(collection)), transaction() as connection:
        place: dict[str, Any] = {"index": index, "ids": ids}
        await connection.execute(queries()["forget_passages"], place)
        await connection.execute(queries()["forget_lexemes"], place)
        await connection.execute(statement("count_lexemes", index=index))
        await connection.execute(queries()["recount_version"], place)


async def _questions(forgetting: Forgetting, patterns: dict[str, Any]) -> int:
    count = 0
    for row in await fetch("pinned_with", patterns):
        if forgetting.own.are_in(row["question"]):
            place = {"collection": row["collection"], "questions": [row["question"]]}
            await fetch("unpin_questions", place)
            count += 1
    return count
