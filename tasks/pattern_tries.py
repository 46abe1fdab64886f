"""One question through one pattern, twice: with a cache that holds nothing of it, and again.

Each time is a run of its own to the ledger, and both have a cache of their own, so that neither
another pattern nor yesterday's runs have paid for an answer.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict

from infra.errors import PatternsError
from infra.postgres import fetch
from tasks.cache_upkeep import evict
from tasks.citations import Citation
from tasks.cited_answers import CitedAnswer
from tasks.document_collections import live_view
from tasks.pattern_questions import Pattern, PatternQuestion, PatternsRequest
from tasks.progress import Progress
from tasks.runs import apart
from tasks.steps import once

_DOES_NOT_KNOW = re.compile(
    r"not in the documents|\bunable to|\bno (?:information|answer|document)"
    r"|\b(?:do|does|did)(?: not|n['’]t) (?:know|say|tell|have|mention|specify|provide)"
    r"|\bcan(?: ?not|['’]t) (?:say|tell|answer|find|determine)"
    r"|\bnot (?:mentioned|stated|specified|provided|available|known|found)",
    re.IGNORECASE,
)


class Said(BaseModel):
    """What a pattern came to. ``knows``: None where only its words can tell."""

    model_config = ConfigDict(frozen=True)

    answer: str
    knows: bool | None = None
    citations: tuple[Citation, ...] = ()


class Tried(BaseModel):
    """One answer. ``again``: asked a second time, with the cache; ``run``: whose rows in the ledger
    are its calls; ``right``: None where there is nothing to check it by; ``verbatim``: how many of
    its quotes stand in the passages that they name; ``failed``: why there is no answer."""

    model_config = ConfigDict(frozen=True)

    pattern: Pattern
    question: str
    again: bool
    run: UUID
    answer: str = ""
    right: bool | None = None
    quotes: int = 0
    verbatim: int = 0
    seconds: float = 0.0
    failed: str = ""


Way = Callable[[PatternsRequest, PatternQuestion], Awaitable[Said]]


async def tried(
    request: PatternsRequest,
    question: PatternQuestion,
    pattern: Pattern,
    way: Way,
    following: Progress,
) -> list[Tried]:
    """Ask a pattern a question, and once more. A pattern that fails is told of, and no error; a run
    that was killed, or has failed, goes on with those that have no answer."""
    first, second = uuid4(), uuid4()
    tenant = f"comparison-{first}"

    async def ask(run: UUID, *, again: bool) -> Tried:
        started = time.perf_counter()
        with apart(run, request.budget(), tenant):
            async with asyncio.timeout(request.max_minutes * 60):
                said = await way(request, question)
        seconds = time.perf_counter() - started
        return Tried(
            pattern=pattern,
            question=question.id,
            again=again,
            run=run,
            answer=said.answer,
            right=is_right(said, question.expect),
            quotes=len(said.citations),
            verbatim=await _verbatim(request, said.citations),
            seconds=seconds,
        )

    async def twice() -> list[Tried]:
        return [await ask(first, again=False), await ask(second, again=True)]

    try:
        return await once(f"tried-{pattern}-{question.id}", twice, list[Tried])
    except PatternsError as error:
        why = str(error)
    except TimeoutError:
        why = f"It took over {request.max_minutes:g} minutes."
    finally:
        await evict(tenant=tenant)
        await following.advance()
    return [Tried(pattern=pattern, question=question.id, again=False, run=first, failed=why)]


def is_right(said: Said, expect: str | None) -> bool | None:
    """Whether an answer holds what it must; None where nobody has said what that is."""
    if expect is None:
        return None
    if expect:
        return bool(re.search(expect, said.answer, re.IGNORECASE))
    return said.knows is False or bool(_DOES_NOT_KNOW.search(said.answer))


def said_by_documents(answer: CitedAnswer) -> Said:
    """What an answer from documents says."""
    return Said(answer=answer.answer, knows=answer.supported, citations=answer.citations)


async def _verbatim(request: PatternsRequest, citations: Sequence[Citation]) -> int:
    """How many of the quotes stand in the passages that they name, word for word."""
    if not (citations and request.collection):
        return 0
    view = await live_view(request.collection)
    place = {"index": view.index, "version": view.version}
    rows = [
        await fetch("quote_stands", {**place, **each.model_dump(exclude={"context"})})
        for each in citations
    ]
    return sum(row["stands"] for [row] in rows)
