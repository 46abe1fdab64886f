"""Patterns beside each other as an artifact: a table and a plot to choose one by."""

from collections.abc import Sequence

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.markdown import escaped, table
from tasks.pattern_comparison import PatternFigures, PatternsCompared
from tasks.plots import ACCENT, PALE, panels, picture

HEAD = (
    *("Pattern", "Cache", "Right", "Quotes verbatim", "Calls", "Hits", "Tokens in", "out"),
    *("Cost, USD", "p50 s an answer", "p95", "p50 ms a call", "p95", "Failed"),
)
_UNCHECKED = "nothing to check"


@task(name="publish comparison of patterns", cache_policy=NO_CACHE, persist_result=False)
async def publish_patterns(compared: PatternsCompared) -> None:
    """Leave the table and the plot on the run's page, and among the artifacts under their key."""
    await acreate_markdown_artifact(
        patterns_markdown(compared),
        key="comparison-of-patterns",
        description=f"{compared.questions} questions through each pattern",
    )


def patterns_markdown(compared: PatternsCompared) -> str:
    """The comparison as Markdown: the table, a plot, what was not run, and what has failed."""
    count = compared.questions
    parts = [
        f"**{count} question{'s' * (count > 1)}**, each asked twice of each pattern: without the "
        "cache, and again with what it has kept. Calls, tokens and cost are those of the ledger.",
        table(HEAD, "ll" + "r" * (len(HEAD) - 2), map(cells, compared.rows)),
    ]
    if any(row.answers for row in compared.rows):
        parts.append(_plot(compared.rows))
    parts += [f"- **{name}** was not run: {why}." for name, why in compared.not_run.items()]
    parts += [
        f"- **{each.pattern}** has no answer to {escaped(each.question)}: "
        f"{escaped(' '.join(each.failed.split()))}"
        for each in compared.failed
    ]
    return "\n\n".join(parts) + "\n"


def cells(row: PatternFigures) -> list[str]:
    """A row of the table, in the order of its head."""
    cost = row.cost
    counts = (cost.model_calls, cost.cache_hits, cost.prompt_tokens, cost.completion_tokens)
    return [
        row.pattern,
        "with" if row.cache else "without",
        f"{row.right} of {row.checked}" if row.checked else _UNCHECKED,
        f"{row.verbatim} of {row.quotes}" if row.quotes else _UNCHECKED,
        *(f"{each:,}" for each in counts),
        "unknown" if cost.cost_usd is None else f"{cost.cost_usd:.6f}",
        *("" if each is None else f"{each:,.2f}" for each in (row.p50_s, row.p95_s)),
        *("" if each is None else f"{each:,.0f}" for each in (cost.p50_ms, cost.p95_ms)),
        f"{row.failed}",
    ]


def _plot(rows: Sequence[PatternFigures]) -> str:
    """How good, how quick and how large the answers of each pattern are, beside each other."""
    shown = [row for row in rows if row.answers]
    names = [*dict.fromkeys(row.pattern for row in shown)]
    figure, [good, quick, large] = panels(3, width=3.4)
    for cache, colour in ((False, ACCENT), (True, PALE)):
        some = {row.pattern: row for row in shown if row.cache == cache}
        places = [names.index(name) + (0.2 if cache else -0.2) for name in some]
        told = "with the cache" if cache else "without"
        shares = [  # nothing to check is no bar, and not one of height 0
            row.right / row.checked if row.checked else float("nan") for row in some.values()
        ]
        tokens = [
            (row.cost.prompt_tokens + row.cost.completion_tokens) / row.answers
            for row in some.values()
        ]
        good.bar(places, shares, width=0.38, color=colour, label=told)
        quick.bar(places, [row.p50_s or 0 for row in some.values()], width=0.38, color=colour)
        quick.scatter(places, [row.p95_s or 0 for row in some.values()], color=colour, marker="_")
        large.bar(places, tokens, width=0.38, color=colour)
    titles = (
        "Right, share of what was checked",
        "Seconds an answer: p50, line: p95",
        "Tokens an answer",
    )
    for axes, title in zip((good, quick, large), titles, strict=True):
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xticks(range(len(names)), names, fontsize=8, rotation=20)
    good.set_ylim(0, 1)
    figure.legend(fontsize=8, frameon=False, ncols=2, loc="outside lower right")
    return picture(figure, "How good, how quick, how large the answers are")
