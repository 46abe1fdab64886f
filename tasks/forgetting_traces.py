"""What was made of tickets that are forgotten: found by hash, by their words, and by who read them.

A call names the passages that it quotes, and words of a node those that it rests on, so a summary
is followed to its root by hash. Other calls are found by words; and from a call, by the ledger,
each run that has used it, with what else that run has asked about the reply.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from prefect import task

from infra.postgres import fetch
from tasks.forgetting import Forgetting, noted
from tasks.runs import RETRIED
from tasks.summaries import prompts_of
from tasks.traces import Traces, words_of

_ROUNDS = 5  # of replies that were asked about
_FEWEST = 3  # words of a reply by which a call is known that was asked about it


@task(name="trace", **RETRIED)
async def trace() -> Forgetting:
    """All that is being forgotten, with what models have said of it and the runs that have read it:
    noted as well, since the calls that tell it are removed."""
    rows = await noted()
    own = await _own(rows)
    known = Forgetting(rows, own, Traces(()))
    calls = await calls_of(known)
    replies = {text for row in rows for text in row["replies"]}
    replies |= {text for call in calls.values() for text in said_in(call)}
    for row in await fetch("facts_of", {"passages": known.passages}):
        replies |= {fact["problem"] for fact in row["facts"]}
    runs = {*known.runs, *await _runs(calls), *await _keeping(own)}
    others = await _others(calls, runs)
    for _ in range(_ROUNDS):
        asked = {key: call for key, call in others.items() if _is_about(call["asked"], replies)}
        if not asked:
            break
        replies |= {text for call in asked.values() for text in said_in(call)}
        calls |= asked
        runs |= await _runs(asked)
        others = await _others(calls, runs)
    told = (f"{call['asked']} {call['reply']}" for call in others.values())
    noting = {"ids": known.ids, "replies": sorted(replies), "runs": sorted(runs)}
    await fetch("note_traces", noting)
    rows = [row | {"runs": noting["runs"]} for row in rows]
    said = Traces(replies).without(told)
    theirs = await fetch("records_with", {"patterns": said.patterns()})
    said = said.without(row["text"] for row in theirs)  # of whom models spoke along with these
    return Forgetting(rows, own, said, [*calls])


async def calls_of(forgetting: Forgetting) -> dict[bytes, dict[str, Any]]:
    """The calls that quote the tickets, or what was read in them, by key."""
    borrowers = await fetch("borrowers", {"passages": forgetting.passages})
    quoted = {
        "hashes": forgetting.hashes,
        "borrowers": [row["sha256"] for row in borrowers],
        "of_facts": [*prompts_of("embed", "any")],  # that read facts, not passages
    }
    found = {row["key"]: row for row in await fetch("calls_that_quote", quoted)}
    for row in await fetch("calls_with", {"patterns": forgetting.own.patterns()}):
        if forgetting.own.are_in(row["said"]):
            found[row["key"]] = row
    return found


def said_in(call: Mapping[str, Any]) -> set[str]:
    """What a reply says in words of its own: no choice that its schema offers."""
    if call["reply"] is None:
        return set()
    try:
        reply = json.loads(call["reply"])
    except ValueError:
        return {call["reply"]}
    offered = {*_choices(call["schema"])}
    return {text for text in _texts(reply) if text not in offered}


async def _own(rows: Sequence[Mapping[str, Any]]) -> Traces:
    """The words of tickets, but those that other tickets and documents have as well."""
    own = Traces(text for row in rows for text in row["texts"])
    patterns = {"patterns": own.patterns()}
    others = [row["text"] for row in await fetch("records_with", patterns)]
    sources = [source for row in rows for source in row["sources"]]
    place = {"tickets": [row["ticket"] for row in rows], "sources": sources}
    for row in await fetch("documents_with", {**patterns, **place}):
        others += [each for each in (row["context"], row["text"]) if not own.make_up(each)]
    return own.without(others)


async def _runs(calls: Iterable[bytes]) -> set[UUID]:
    return {row["run"] for row in await fetch("runs_of_calls", {"keys": [*calls]})}


async def _keeping(own: Traces) -> set[UUID]:
    rows = await fetch("runs_with", {"patterns": own.patterns()})
    return {row["run"] for row in rows if own.are_in(row["said"])}


async def _others(calls: Iterable[bytes], runs: Iterable[UUID]) -> dict[bytes, dict[str, Any]]:
    rows = await fetch("calls_of_runs", {"keys": [*calls], "runs": [*runs]})
    return {row["key"]: row for row in rows}


def _is_about(asked: str, replies: Iterable[str]) -> bool:
    """Whether what was asked has a whole reply in it."""
    said = f" {' '.join(words_of(asked))} "
    whole = (words_of(reply) for reply in replies)
    return any(len(words) >= _FEWEST and f" {' '.join(words)} " in said for words in whole)


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict() | list():
            for each in value.values() if isinstance(value, dict) else value:
                yield from _texts(each)


def _choices(schema: Any) -> Iterator[str]:
    match schema:
        case dict():
            offered = [*schema.get("enum", ()), schema.get("const")]
            yield from (each for each in offered if isinstance(each, str))
            for each in schema.values():
                yield from _choices(each)
        case list():
            for each in schema:
                yield from _choices(each)
