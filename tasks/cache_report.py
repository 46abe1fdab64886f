"""The cache's upkeep as an artifact that a person reads."""

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from tasks.cache_upkeep import Lesson, Stock, Tended
from tasks.markdown import escaped


class Upkeep(BaseModel):
    """What one upkeep did, and the stock after it. ``checked``: semantic hits."""

    model_config = ConfigDict(frozen=True)

    checked: int
    tended: Tended
    stock: Stock


def upkeep_markdown(upkeep: Upkeep) -> str:
    """The upkeep as Markdown: what is kept and saved, how right the semantic hits are."""
    stock, tended = upkeep.stock, upkeep.tended
    uses = stock.exact_hits + stock.semantic_hits + stock.misses
    cost = stock.saved_usd
    saved = "unknown: a price is missing" if cost is None else f"{cost:.4f} USD"
    rows = {
        "Kept replies": f"{stock.entries:,}, of them {stock.questions:,} to questions",
        "Exact hits": _share(stock.exact_hits, uses),
        "Semantic hits": _share(stock.semantic_hits, uses),
        "Misses": _share(stock.misses, uses),
        "Saved": saved,
        "Wrong semantic hits": wrong_hits(stock),
        "Checked in this run": f"{upkeep.checked:,}",
        "Dropped": f"{tended.expired:,} too old or damaged, {tended.above_limit:,} above the limit",
        "Embedded anew": f"{tended.embedded:,}",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"| | |\n|---|---|\n{table}\n\n{_lessons(stock.lessons)}\n"


def wrong_hits(stock: Stock) -> str:
    """How many semantic hits were found wrong, in words."""
    if stock.false_hit_rate is None or stock.interval is None:
        return "none was checked yet"
    low, high = stock.interval
    return (
        f"{stock.false_hit_rate:.1%} of {stock.checked:,} checked "
        f"(95 % interval {low:.1%} to {high:.1%})"
    )


def _share(count: int, uses: int) -> str:
    return f"{count:,} ({count / uses:.1%})" if uses else f"{count:,}"


def _lessons(lessons: tuple[Lesson, ...]) -> str:
    if not lessons:
        return "No question was asked yet of a prompt that names its `question`."
    rows = "\n".join(
        f"| {escaped(each.prompt)} | `{each.version[:12]}` | {escaped(each.model)} | {each.state} "
        f"| {'–' if each.threshold is None else f'{each.threshold:.3f}'} |"
        for each in lessons
    )
    head = "| Prompt | Version | Model | Semantic hits | From a similarity of |"
    return f"{head}\n|---|---|---|---|---|\n{rows}"


@task(name="publish upkeep", cache_policy=NO_CACHE, persist_result=False)
async def publish_upkeep(upkeep: Upkeep) -> None:
    """Leave the upkeep on the run's page."""
    await acreate_markdown_artifact(
        upkeep_markdown(upkeep), key="cache-upkeep", description="The caching layer"
    )
