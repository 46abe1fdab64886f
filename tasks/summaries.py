"""What a summary is asked for, what it would take, and when it is whole."""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict, Field

from infra.budget import Budget
from infra.errors import WorkIncomplete
from infra.postgres import fetch
from infra.providers import model_of, price_of, slots_of
from infra.settings import get_settings
from infra.shared_budget import SharedBudget
from tasks.codebook import load_codebook
from tasks.columns import Columns
from tasks.facts import PROMPT, Strategy, default_strategy, lineage_of
from tasks.findings import Report
from tasks.passages import estimated_tokens
from tasks.prompts import load_prompt

if TYPE_CHECKING:
    import pandas as pd

    from tasks.corpus import Corpus
    from tasks.reading import Batch

_FACT_TOKENS = 70  # of one fact in a reply
_SAMPLE = 6  # facts that a leaf is worded from
_SHOWN = 5  # lost pieces that a message names
MOST_SHARDS = 64


class SummaryRequest(BaseModel):
    """A corpus to summarize, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        description="A file, a folder of transcripts, `corpus:NAME`, `sql:FILE`, `query:SELECT …`.",
        json_schema_extra={"position": 0},
    )
    columns: Columns = Field(
        default_factory=Columns,
        description="Recognised where left out.",
        json_schema_extra={"position": 1},
    )
    since: datetime | None = Field(
        None, description="Only records from this time on.", json_schema_extra={"position": 2}
    )
    strategy: Strategy | None = Field(
        None,
        description="read: a model reads every passage. embed: passages are grouped as they are. "
        "Empty: embed for the embedded model, read for others.",
        json_schema_extra={"position": 3},
    )
    refit: bool = Field(
        False,
        description="Find the themes anew, not those of the last run.",
        json_schema_extra={"position": 4},
    )
    max_cost: float | None = Field(
        None, gt=0, description="Most USD that the run may cost.", json_schema_extra={"position": 5}
    )
    max_failed_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the work that may fail for good: passages, nodes, groups.",
        json_schema_extra={"position": 6},
    )
    out: Path | None = Field(
        None,
        description="Folder of the report. Empty: in PATTERNS_HOME.",
        json_schema_extra={"position": 7},
    )
    shards: int | None = Field(
        None,
        ge=1,
        le=MOST_SHARDS,
        description="Runs on workers of the pool patterns that help to read. Empty: none.",
        json_schema_extra={"position": 8},
    )

    @property
    def way(self) -> Strategy:
        """The strategy that is used."""
        return self.strategy or default_strategy()

    @property
    def prompts(self) -> tuple[str, ...]:
        """Names of the prompts that it may take."""
        return prompts_of(self.way, self.columns.group_by)

    def budget(self) -> Budget:
        """What the run may use, with all its shards."""
        if self.shards and self.max_cost:
            return SharedBudget(self.max_cost)
        return Budget(max_cost=self.max_cost)

    def folder(self, name: str, started: datetime) -> Path:
        """Where the report is written."""
        if self.out:
            return self.out.expanduser().absolute()
        short = re.sub(r"\W+", "-", Path(name).name.lower()).strip("-")[:60] or "report"
        return get_settings().home / "reports" / f"{short}-{started:%Y%m%d-%H%M%S-%f}"


def prompts_of(strategy: Strategy, group_by: str | None) -> tuple[str, ...]:
    """Names of the prompts that a summary may take."""
    read = ("extract_facts",) if strategy == "read" else ()
    groups = ("describe_group",) if group_by else ()
    return (*read, "compare_themes", "word_theme", "word_area", *groups, "synthesize")


class Plan(BaseModel):
    """What a summary would take; calls and tokens are estimates, upper ones for a corpus that was
    summarized before. ``cost_usd``: null when a model's price is unknown.

    ``passages_a_call``: that a model reads at once, at most; 0 where it reads none. ``slots``:
    calls that may be in flight; ``calls_at_once``: how many of these will be, at most. ``seconds``:
    the model's time, by what such calls took in the last month; null where none was made.
    """

    model_config = ConfigDict(frozen=True)

    tickets: int
    passages: int
    facts_to_make: int
    nodes: int
    model_calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    passages_a_call: int
    slots: int
    calls_at_once: int
    seconds: float | None
    strategy: Strategy
    model: str


@task(name="plan summary", cache_policy=NO_CACHE, persist_result=False)
async def plan_of(
    corpus: "Corpus", passages: "pd.DataFrame", batches: "list[Batch]", strategy: Strategy
) -> Plan:
    """What a summary would take."""
    distinct = passages.drop_duplicates("sha256")
    codebook = await load_codebook(lineage_of(corpus.name, strategy))
    leaves = len(codebook.leaves) if codebook else expected_themes(len(distinct))
    inner = 1 + (-(-leaves // 12) if leaves > 12 else 0)
    unread = [text for batch in batches for pack in batch.packs for _, text in pack]
    sizes = [len(pack) for batch in batches for pack in batch.packs]
    packs = len(sizes)
    mean = distinct["tokens"].mean() if len(distinct) else 0
    shown = _SAMPLE * min(mean, 70)
    root_in, root_out = load_prompt("synthesize").budget + 12 * 40, 120
    tokens_in = int(
        sum(map(estimated_tokens, unread))
        + packs * load_prompt("extract_facts").budget
        + leaves * (load_prompt("word_theme").budget + shown)
        + (inner - 1) * root_in
    )
    tokens_out = len(unread) * _FACT_TOKENS + leaves * 60 + (inner - 1) * root_out
    model = model_of("fast")
    prices = price_of(model, tokens_in, tokens_out), price_of(model_of("strong"), root_in, root_out)
    return Plan(
        tickets=len(corpus.records),
        passages=len(distinct),
        facts_to_make=len(unread) if strategy == "read" else len(distinct),
        nodes=leaves + inner,
        model_calls=packs + leaves + inner,
        prompt_tokens=tokens_in + root_in,
        completion_tokens=tokens_out + root_out,
        cost_usd=None if None in prices else sum(prices),
        passages_a_call=max(sizes, default=0),
        slots=slots_of(model),
        calls_at_once=min(slots_of(model), max(packs, leaves)),
        seconds=await expected_seconds(
            {PROMPT: packs, "word_theme": leaves, "word_area": inner - 1, "synthesize": 1}
        ),
        strategy=strategy,
        model=model,
    )


async def expected_seconds(calls: Mapping[str, int]) -> float | None:
    """How long so many calls of these prompts will take, one prompt after the other, each in all
    slots of its model: by what its calls took in the last month, and no faster than the endpoint's
    rate allows. None where a prompt was not asked in that time."""
    models = {
        prompt: model_of(load_prompt(prompt).model) for prompt, number in calls.items() if number
    }
    rows = await fetch("usual_seconds", {"prompts": list(models)})
    usual: dict[tuple[str, str], float] = {(r["prompt"], r["model"]): r["seconds"] for r in rows}
    if not all(each in usual for each in models.items()):
        return None
    rounds = (
        -(-calls[prompt] // slots_of(model)) * usual[prompt, model]
        for prompt, model in models.items()
    )
    rate = get_settings().chat_requests_per_minute or math.inf
    return max(sum(rounds), sum(calls.values()) * 60 / rate)


def expected_themes(facts: int) -> int:
    """About how many themes that many facts fall into, before any was seen."""
    return min(120, round(1.3 * math.sqrt(facts)))


def require_whole(report: Report, passages: int, max_failed_share: float) -> None:
    """Raise WorkIncomplete when more failed than is allowed, of all that was asked: passages, the
    words of nodes, comparisons of themes, sentences of groups, the synthesis."""
    asked = passages + 2 * report.figures.nodes + len(report.groups) + 1
    lost = report.lost
    if len(lost) / asked > max_failed_share:
        named = "; ".join(lost[:_SHOWN]) + (" …" if len(lost) > _SHOWN else "")
        raise WorkIncomplete(
            f"{len(lost)} pieces of work failed for good ({named}). The report is written all "
            f"the same, and names the tickets: {report.figures.report}. Run it again to try them "
            "again, or allow a share with --max-failed-share."
        )
