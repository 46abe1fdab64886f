"""Map with a model: it reads packs of passages and fills one required field for each of them, so
that none is forgotten and none invented. What was read is kept per passage and never read again."""

import re
from collections.abc import Sequence
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
from infra.messages import storable
from infra.postgres import Jsonb, transaction
from infra.providers import context_of, is_local, model_of
from infra.sql import queries
from tasks.asking import ask
from tasks.facts import PROMPT, Strategy, extractor_of, has_words, kept_facts
from tasks.progress import Progress
from tasks.prompts import load_prompt
from tasks.replies import PassageFact, facts_by_label
from tasks.runs import is_transient, together

if TYPE_CHECKING:
    import pandas as pd

PACK_PASSAGES, PACK_PASSAGES_LOCAL = 25, 4
PACK_TOKENS = 6000
_REPLY_TOKENS = 110  # of one passage's fact, at most
_LABEL = re.compile(r"\[(?=P\d+\])")  # in a text, where it would pass for another passage's
# A word, or one character of a script that puts no spaces between words.
_WORD = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|[^\W\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]+"
)
_BATCHES = 200  # most task runs of one map


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
    """Passages (hash, text, tokens) in packs of (hash, text), each small enough for one call."""
    most = PACK_PASSAGES_LOCAL if is_local(model) else PACK_PASSAGES
    room = min(PACK_TOKENS, context_of(model) - 1000)
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
    """The passages to read, in packs, in at most 200 batches: a batch is a task run."""
    planned = packs(await unread(passages, strategy), model_of(load_prompt(PROMPT).model))
    size = max(1, -(-len(planned) // _BATCHES))
    starts = range(0, len(planned), size)
    return [Batch(n, planned[start : start + size]) for n, start in enumerate(starts, 1)]


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
    """Read the packs of a batch at once and keep their facts. Passages given up -> why."""
    failed = await together(_read_pack(pack, following) for pack in batch.packs)
    return {passage: reason for each in failed for passage, reason in each.items()}


async def _read_pack(pack: list[tuple[str, str]], following: Progress) -> dict[str, str]:
    try:
        await _keep(pack, await _ask(pack))
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


async def _ask(pack: list[tuple[str, str]]) -> dict[str, Any]:
    labels = tuple(f"P{n}" for n in range(1, len(pack) + 1))
    passages = "\n\n".join(
        f"[{label}] {_LABEL.sub('(', text)}" for label, (_, text) in zip(labels, pack, strict=True)
    )
    sources = tuple(sha256 for sha256, _ in pack)
    fills = facts_by_label(labels)
    reply = await ask(PROMPT, {"passages": passages}, fills=fills, sources=sources)
    return {s: getattr(reply.value, label) for s, label in zip(sources, labels, strict=True)}


async def _keep(pack: list[tuple[str, str]], read: dict[str, PassageFact]) -> None:
    extractor = extractor_of("read")
    async with transaction() as connection:
        for sha256, text in pack:
            found, reason = facts_of(text, read[sha256])
            said = " ".join(fact["problem"] for fact in found)
            lenders = [bytes.fromhex(sha256) for sha256 in borrowed_from(said, text, pack)]
            row = {
                "passage": sha256,
                "extractor": extractor,
                "facts": Jsonb(found),
                "reason": reason,
                "borrowed_from": lenders,
            }
            await connection.execute(queries()["keep_facts"], row)


def borrowed_from(said: str, text: str, pack: Sequence[tuple[str, str]]) -> list[str]:
    """Those passages (hash, text) of a pack that have words of what was said of another text, which
    that text itself has not: the model may have mixed them up."""
    foreign = _words(said) - _words(text)
    return [sha256 for sha256, other in pack if foreign & _words(other)]


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


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
