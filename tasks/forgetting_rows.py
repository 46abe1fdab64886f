"""Tickets that are forgotten, taken out of what the database keeps of calls, facts and runs."""

import hashlib
from typing import Any

from prefect import task

from infra.postgres import Jsonb, fetch, transaction
from infra.sql import queries
from tasks.facts import FACTS_A_PASSAGE, fact_id
from tasks.forgetting import Forgetting
from tasks.forgetting_traces import calls_of
from tasks.review_chain import digest
from tasks.runs import RETRIED
from tasks.traces import Traces


@task(name="forget calls", **RETRIED)
async def forget_calls(forgetting: Forgetting) -> dict[str, int]:
    """Drop the calls that quote the tickets, or were asked about what was said of them, the facts
    with their words, and the vectors of these. How many pieces of each."""
    keys = [*{*forgetting.calls, *await calls_of(forgetting)}]
    checks = await fetch(
        "checks_with", {"hashes": forgetting.hashes, "patterns": forgetting.own.patterns()}
    )
    chosen = [row["id"] for row in checks if row["quotes"] or forgetting.own.are_in(row["said"])]
    passages = {"passages": forgetting.passages}
    read = [fact_id(each.hex(), n) for each in forgetting.passages for n in range(FACTS_A_PASSAGE)]
    async with transaction() as connection:
        run = connection.execute
        facts = await (await run(queries()["facts_of"], passages)).fetchall()
        said = [fact["problem"].encode() for row in facts for fact in row["facts"]]
        await run(queries()["forget_samples"], {"facts": read})
        hashes = [*forgetting.passages, *(hashlib.sha256(each).digest() for each in said)]
        return {
            "calls": (await run(queries()["forget_calls"], {"keys": keys})).rowcount,
            "checks": (await run(queries()["forget_checks"], {"ids": chosen})).rowcount,
            "facts": (await run(queries()["forget_facts"], passages)).rowcount,
            "embeddings": (await run(queries()["forget_embeddings"], {"hashes": hashes})).rowcount,
            "passages_to_read": (
                await run(queries()["forget_passages_to_read"], passages)
            ).rowcount,
        }


@task(name="forget in runs", **RETRIED)
async def forget_in_runs(forgetting: Forgetting) -> dict[str, int]:
    """Take words out of the steps of runs, of released replies, corrections, records of changes,
    saved workflows and digests. How many of each had some."""
    return {
        "steps": await _steps(forgetting),
        "released_replies": await _replies(forgetting),
        "corrections": await _corrections(forgetting),
        "changes": await _changes(forgetting),
        "workflows": await _workflows(forgetting),
        "digest_themes": await _digests(forgetting),
    }


def words_for(forgetting: Forgetting, run: Any) -> Traces:
    """What is looked for in what a run has left: what models have said only where they were
    asked."""
    return forgetting.words if run in forgetting.runs else forgetting.own


def where(forgetting: Forgetting) -> dict[str, Any]:
    """The parameters of statements that find rows by runs and words."""
    return {"runs": forgetting.runs, "patterns": forgetting.own.patterns()}


async def _steps(forgetting: Forgetting) -> int:
    count = 0
    for row in await fetch("steps_with", where(forgetting)):
        left = words_for(forgetting, row["root_run"]).taken_from(row["result"])
        if left != row["result"]:
            await fetch("replace_step", {**row, "result": Jsonb(left)})
            count += 1
    return count


async def _replies(forgetting: Forgetting) -> int:
    """A reply to such a ticket goes, however a person has edited it."""
    count = 0
    for row in await fetch("replies_with", where(forgetting)):
        read = row["root_run"] in forgetting.runs
        its_own = read and row["ticket"] in forgetting.tickets
        if row["reply"] and (
            its_own or words_for(forgetting, row["root_run"]).are_in(row["reply"])
        ):
            await fetch("empty_reply", row)
            count += 1
    return count


async def _corrections(forgetting: Forgetting) -> int:
    rows = await fetch("corrections_with", {"patterns": forgetting.own.patterns()})
    ids = [row["id"] for row in rows if forgetting.own.are_in(row["text"])]
    await fetch("forget_corrections", {"ids": ids})
    return len(ids)


async def _changes(forgetting: Forgetting) -> int:
    """What a record of a change says; a change whose values went cannot be undone any more."""
    count = 0
    for row in await fetch("changes_with", where(forgetting)):
        left = words_for(forgetting, row.pop("root_run")).taken_from(row)
        if left != row:
            await fetch("replace_change", {**left, "cells": Jsonb(left["cells"])})
            count += 1
    return count


async def _workflows(forgetting: Forgetting) -> int:
    count, patterns = 0, {"patterns": forgetting.own.patterns()}
    for row in await fetch("workflows_with", patterns):
        left = forgetting.own.taken_from(row["text"])
        if left != row["text"]:
            await fetch(
                "replace_workflow", {"id": row["id"], "text": left, "version": digest(left)}
            )
            count += 1
    for row in await fetch("schedules_with", patterns):
        left = forgetting.own.taken_from(row["params"])
        if left != row["params"]:
            await fetch("replace_schedule", {"name": row["name"], "params": Jsonb(left)})
            count += 1
    return count


async def _digests(forgetting: Forgetting) -> int:
    """Titles of themes as a digest keeps them: of those that a ticket was under, and with words."""
    count = 0
    known = {"sources": forgetting.sources, "tickets": forgetting.tickets}
    patterns = forgetting.words.patterns()
    for row in await fetch("digest_titles_with", {**known, "patterns": patterns}):
        if row["rests_on_it"] or forgetting.words.are_in(row["title"]):
            await fetch("empty_digest_title", row)
            count += 1
    return count
