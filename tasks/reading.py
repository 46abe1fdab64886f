"""Map with a model: it reads packs of passages and fills one required field for each of them, so
that none is forgotten and none invented. What was read is kept per passage and never read again."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.errors import (
    ContextOverflow,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
    ReplyMalformed,
    ReplyTruncated,
)
from infra.llm import made_ready
from infra.messages import storable
from infra.postgres import Connection, Jsonb, fetch, repeated
from infra.providers import context_of, is_local, model_of, slots_of
from infra.sql import queries
from tasks.asking import ask
from tasks.embedding import vectors
from tasks.facts import PROMPT, Strategy, extractor_of, has_words, kept_facts
from tasks.passages import estimated_tokens
from tasks.progress import Progress
from tasks.prompts import load_prompt
from tasks.replies import PassageFact, facts_by_label
from tasks.runs import is_transient, together

if TYPE_CHECKING:
    import pandas as pd

PACK_PASSAGES, PACK_PASSAGES_LOCAL = 25, 4  # of one call, at most
PACK_TOKENS = 6000
_SMALL_PACK = 10  # passages; still smaller ones would pay more for the prompt than for the passages
_REPLY_TOKENS = 110  # of one passage's fact, at most
_PROMPT_TOKENS = 1000  # of a call, beside its passages, at most
_STEP_TOKENS = 500  # of what a reply may take
_LABEL = re.compile(r"\[(?=P\d+\])")  # in a text, where it would pass for another passage's
# A word, or one character of a script that puts no spaces between words.
_WORD = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|[^\W\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]+"
)
_BATCHES = 32  # most task runs of one map: each takes 10 ms, and all of them begin at once


class Batch:
    """Packs of passages, each read in one call. Opaque to Prefect: it holds text."""

    __slots__ = ("number", "packs")

    def __init__(self, number: int, packs: list[list[tuple[str, str]]]) -> None:
        self.number, self.packs = number, packs

    @property
    def size(self) -> int:
        """Passages in it."""
        return sum(map(len, self.packs))


def packs(passages: Sequence[tuple[str, str, int]], model: str) -> list[list[tuple[str, str]]]:
    """Passages (hash, text, tokens) in packs of (hash, text), each small enough for one call: by
    the model's context, and so that a corpus of its size keeps the model's slots at work."""
    most = PACK_PASSAGES_LOCAL if is_local(model) else PACK_PASSAGES
    most = min(most, max(_SMALL_PACK, -(-len(passages) // slots_of(model))))
    room = min(PACK_TOKENS, context_of(model) - _PROMPT_TOKENS)
    found: list[list[tuple[str, str]]] = []
    filled = 0
    for sha256, text, tokens in passages:
        cost = tokens + _REPLY_TOKENS
        if not found or len(found[-1]) == most or filled + cost > room:
            found.append([])
            filled = 0
        found[-1].append((sha256, text))
        filled += cost
    return found


async def unread(passages: "pd.DataFrame", strategy: Strategy) -> list[tuple[str, str, int]]:
    """Distinct passages (hash, text, tokens) that a model has yet to read, in canonical order."""
    if strategy == "embed":
        return []
    distinct = passages.drop_duplicates("sha256")
    known = await kept_facts("known_passages", distinct["sha256"])
    rows = zip(distinct["sha256"], distinct["text"], distinct["tokens"], strict=True)
    return [row for row in rows if row[0] not in known and has_words(row[1])]


@task(name="plan reading", cache_policy=NO_CACHE, persist_result=False)
async def plan_reading(passages: "pd.DataFrame", strategy: Strategy) -> list[Batch]:
    """The passages to read, in packs, in at most 32 batches: a batch is a task run."""
    model, todo = model_of(load_prompt(PROMPT).model), await unread(passages, strategy)
    planned = await _replied(todo, model)
    begun = {sha256 for pack in planned for sha256, _ in pack}
    planned += packs([passage for passage in todo if passage[0] not in begun], model)
    size = max(1, -(-len(planned) // _BATCHES))
    starts = range(0, len(planned), size)
    return [Batch(n, planned[start : start + size]) for n, start in enumerate(starts, 1)]


async def _replied(todo: list[tuple[str, str, int]], model: str) -> list[list[tuple[str, str]]]:
    """The packs of which a killed run had the reply and not yet the facts, as they were then: a
    passage in another pack would be another question."""
    text_of = {sha256: text for sha256, text, _ in todo}
    of = {"prompt": PROMPT, "version": load_prompt(PROMPT).version, "model": model}
    rows = await fetch("sources_replied_to", {**of, "sources": list(text_of)}) if todo else []
    found: list[list[tuple[str, str]]] = []
    for sources in (row["sources"] for row in rows):
        if text_of.keys() >= set(sources):
            found.append([(sha256, text_of.pop(sha256)) for sha256 in sources])
    return found


@task(
    name="read passages",
    task_run_name="read passages, batch {batch.number}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=is_transient,
)
async def read_batch(batch: Batch, following: Progress) -> dict[str, str]:
    """Read the packs of a batch at once and keep their facts. Passages given up -> why.

    Their vectors are made here, while other batches wait for the model.
    """
    failed = await together(_read_pack(pack, following) for pack in batch.packs)
    kept = await kept_facts("read_facts", (sha256 for pack in batch.packs for sha256, _ in pack))
    said = [fact["problem"] for row in kept.values() for fact in row["facts"]]
    await vectors(said, quiet=True)
    return {passage: reason for each in failed for passage, reason in each.items()}


async def _read_pack(pack: list[tuple[str, str]], following: Progress) -> dict[str, str]:
    try:
        async with made_ready(model_of(load_prompt(PROMPT).model)):
            await _keep(pack, await ask_pack(pack))
    except (ContextOverflow, ReplyTruncated, ReplyMalformed, ModelRefused) as error:
        if len(pack) == 1:
            await following.advance()
            return {pack[0][0]: f"the model could not read it ({type(error).__name__})"}
        middle = len(pack) // 2
        halves = await together(
            _read_pack(half, following) for half in (pack[:middle], pack[middle:])
        )
        return halves[0] | halves[1]
    except (ModelUnavailable, ModelRateLimited) as error:
        if error.endpoint_down:
            raise
        await following.advance(len(pack))
        return {sha256: f"no answer ({type(error).__name__})" for sha256, _ in pack}
    await following.advance(len(pack))
    return {}


async def ask_pack(pack: Sequence[tuple[str, str]]) -> dict[str, PassageFact]:
    """What the model read in each passage (hash, text) of a pack, by hash, in one call.

    Raises what `tasks.asking.ask` raises.
    """
    labels = tuple(f"P{n}" for n in range(1, len(pack) + 1))
    passages = "\n\n".join(
        f"[{label}] {_LABEL.sub('(', text)}" for label, (_, text) in zip(labels, pack, strict=True)
    )
    sources = tuple(sha256 for sha256, _ in pack)
    fills = facts_by_label(labels)
    inputs, divisible = {"passages": passages}, len(pack) > 1
    # What a reply may take has to fit in the model's context along with the passages.
    context = context_of(model_of(load_prompt(PROMPT).model))
    room = context - _PROMPT_TOKENS - sum(estimated_tokens(text) for _, text in pack)
    most = max(1, room // _STEP_TOKENS) * _STEP_TOKENS
    reply = await ask(
        PROMPT, inputs, fills=fills, sources=sources, divisible=divisible, max_tokens=most
    )
    return {s: getattr(reply.value, label) for s, label in zip(sources, labels, strict=True)}


async def _keep(pack: list[tuple[str, str]], read: dict[str, PassageFact]) -> None:
    extractor, rows = extractor_of("read"), list[dict[str, Any]]()
    for sha256, text in pack:
        found, reason = facts_of(text, read[sha256])
        said = " ".join(fact["problem"] for fact in found)
        row = {
            "passage": sha256,
            "extractor": extractor,
            "facts": Jsonb(found),
            "reason": reason,
            "borrowed_from": [bytes.fromhex(each) for each in borrowed_from(said, text, pack)],
        }
        rows.append(row)

    async def kept(connection: Connection) -> None:
        await connection.cursor().executemany(queries()["keep_facts"], rows)

    await repeated(kept)


def borrowed_from(said: str, text: str, pack: Sequence[tuple[str, str]]) -> list[str]:
    """Those passages (hash, text) of a pack that have words of what was said of another text, which
    that text itself has not: the model may have mixed them up."""
    foreign = _words(said) - _words(text)
    return [sha256 for sha256, other in pack if foreign & _words(other)]


@lru_cache(maxsize=2 * PACK_PASSAGES)  # each passage of a pack is held against all the others
def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))


def facts_of(text: str, read: PassageFact) -> tuple[list[dict[str, Any]], str | None]:
    """The facts of a passage from what the model read in it, or the reason why there are none."""
    if read.kind == "none" or not has_words(read.problem):
        return [], "it reports no problem, request or question"
    quote = verbatim(read.quote, text)
    dropped = quote is None and has_words(read.quote)
    first = {
        "problem": storable(read.problem).strip(),
        "severity": read.severity,
        "quote": quote,
        "quote_dropped": dropped,
    }
    if not has_words(read.also):
        return [first], None
    also = {"problem": storable(read.also).strip(), "severity": read.severity, "quote": None}
    return [first, {**also, "quote_dropped": False}], None


def verbatim(quote: str, text: str) -> str | None:
    """The words of the text that a quote copies, but for white space; None when it does not."""
    words = quote.split()
    if not words:
        return None
    found = re.search(r"\s+".join(map(re.escape, words)), text)
    return found[0] if found else None
