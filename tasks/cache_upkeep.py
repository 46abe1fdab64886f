"""The cache's stock, and what keeps it small and honest."""

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from infra.embeddings import embed, embedder_name
from infra.errors import InputError
from infra.postgres import HalfVector, fetch
from infra.settings import get_settings
from infra.slots import LEASE
from tasks.corpus import load_corpus
from tasks.passages import passages
from tasks.prompts import prompt_names
from tasks.semantic_cache import relearn
from tasks.thresholds import interval

_BLOCK = 256  # questions embedded anew at a time


class Lesson(BaseModel):
    """What the cache has learned of a prompt's version with a model and an embedder.

    ``threshold``: None while there are no semantic hits; ``state``: learning, on or off.
    """

    model_config = ConfigDict(frozen=True)

    prompt: str
    version: str
    model: str
    embedder: str
    threshold: float | None
    state: str


class Stock(BaseModel):
    """What is in the cache and what it has done.

    ``false_hit_rate``: wrong ones among the semantic hits that were checked, with its 95 %
    ``interval``; both None when none was. ``saved_usd``: None when a price is unknown.
    """

    model_config = ConfigDict(frozen=True)

    entries: int
    questions: int
    exact_hits: int
    semantic_hits: int
    misses: int
    checked: int
    false_hit_rate: float | None
    interval: tuple[float, float] | None
    saved_usd: float | None
    lessons: tuple[Lesson, ...]


class Tended(BaseModel):
    """What one upkeep did: replies that may not be given any more and replies above the limit that
    were dropped, questions embedded anew, lessons learned again."""

    model_config = ConfigDict(frozen=True)

    expired: int
    above_limit: int
    embedded: int
    lessons: int


async def stock() -> Stock:
    """Take stock of the cache."""
    [counts] = await fetch("cache_stock")
    [checks] = await fetch("checked_hits")
    [saved] = await fetch("saved")
    checked, wrong = checks["checked"], checks["wrong"]
    return Stock(
        **counts,
        **saved,
        checked=checked,
        false_hit_rate=wrong / checked if checked else None,
        interval=interval(wrong, checked) if checked else None,
        lessons=tuple(Lesson.model_validate(row) for row in await fetch("lessons")),
    )


async def evict(
    prompt: str | None = None,
    model: str | None = None,
    source: str | None = None,
    tenant: str | None = None,
) -> int:
    """Drop the kept replies of a prompt, a model and a tenant that quote a source; how many.

    ``source``: what `tasks.corpus.load_corpus` takes. Raises InputError when nothing of these is
    named, or the prompt is not known, or the source cannot be read.
    """
    if prompt is model is source is tenant is None:
        raise InputError("Name what to evict: a prompt, a model, a source or a tenant.")
    sources = list(passages(await load_corpus(source))["sha256"]) if source else None
    count = await _evicted(prompt=prompt, model=model, sources=sources, tenant=tenant)
    if not count and prompt is not None and prompt not in prompt_names():
        raise InputError(f"There is no prompt {prompt!r}. There are: {', '.join(prompt_names())}.")
    return count


async def clear() -> int:
    """Drop every kept reply; how many. The ledger and what was learned stay."""
    return await _evicted()


async def drop_unusable() -> int:
    """Drop the kept replies that are too old to be given, or damaged; how many."""
    return await _evicted(unusable=True)


async def tend() -> Tended:
    """Drop what may not be given any more and what is above the limit; embed anew the questions of
    another embedder; learn from all observations."""
    settings, above = get_settings(), 0
    expired = await drop_unusable()
    if settings.cache_entries is not None:
        [row] = await fetch("evict_least_used", {"entries": settings.cache_entries})
        above = row["evicted"]
    lessons = await fetch("lessons")
    embedded = await _embed_anew()
    for lesson in lessons:
        await relearn(lesson["id"])
    return Tended(expired=expired, above_limit=above, embedded=embedded, lessons=len(lessons))


@task(name="take stock", cache_policy=NO_CACHE, persist_result=False)
async def take_stock() -> Stock:
    """`stock` as a task."""
    return await stock()


@task(name="tend replies", cache_policy=NO_CACHE, persist_result=False)
async def tend_replies() -> Tended:
    """`tend` as a task."""
    return await tend()


async def _embed_anew() -> int:
    done, name = 0, embedder_name()
    while rows := await fetch("questions_to_embed", {"embedder": name, "most": _BLOCK}):
        vectors = await embed([row["question"] for row in rows])
        for row, vector in zip(rows, vectors, strict=True):
            params = {"key": row["key"], "embedding": HalfVector(vector), "embedder": name}
            await fetch("embed_question", params)
        done += len(rows)
    return done


async def _evicted(
    prompt: str | None = None,
    model: str | None = None,
    sources: list[str] | None = None,
    tenant: str | None = None,
    *,
    unusable: bool = False,
) -> int:
    params = {
        **{"prompt": prompt, "model": model, "sources": sources, "tenant": tenant},
        **{"unusable": unusable, "ttl": get_settings().cache_ttl, "lease": LEASE},
    }
    [row] = await fetch("evict", params)
    return int(row["evicted"])
