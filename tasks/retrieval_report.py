"""Ingests and evaluations of retrieval as artifacts that a person reads."""

from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.ingestion import Ingested
from tasks.markdown import escaped, table
from tasks.plots import ACCENT, PALE, WARNING, panels, picture
from tasks.retrieval_evaluation import AMONG, Answered, Evaluation, Quality

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 20  # documents that could not be read, queries that find nothing


def ingested_markdown(done: Ingested) -> str:
    """What an ingest did, as Markdown."""
    rows = {
        "Collection": escaped(done.collection),
        "Version": f"{done.version}, {'live' if done.live else '**refused: not live**'}",
        "Documents": f"{done.documents:,}, in {done.passages:,} passages",
        "Embedded": f"{done.embedded:,}, new or changed",
        "Unchanged": f"{done.unchanged:,}",
        "Removed": f"{done.removed:,}",
        "Pinned questions": _recall(done),
        "Time": f"{done.seconds:.1f} s",
    }
    parts = [table(["", ""], "ll", rows.items())]
    parts += _listed("Pinned questions that find fewer of their documents", done.lost)
    parts += _listed("Documents that could not be read", done.skipped)
    parts += _listed("Decided on reading", done.notes)
    return "\n\n".join(parts) + "\n"


def evaluation_markdown(found: Evaluation) -> str:
    """An evaluation as Markdown: a row a version and mode, a plot, and what finds nothing."""
    head = ["Version", "Mode", "nDCG@10", "Recall@10", "MRR@10", "Queries", "p50", "p95"]
    rows = [
        [
            str(each.version),
            each.mode,
            f"{each.ndcg_at_10:.3f}",
            f"{each.recall_at_10:.3f}",
            f"{each.mrr_at_10:.3f}",
            f"{each.queries:,}",
            f"{each.p50_ms:.1f} ms",
            f"{each.p95_ms:.1f} ms",
        ]
        for each in found.qualities
    ]
    parts = [
        f"Collection {escaped(found.collection)}, documents; times without embedding the query.",
        table(head, "llrrrrrr", rows),
        _plot(found.qualities),
    ]
    if found.answers:
        parts.append(_answers(found.answers))
    parts += _listed(
        f"Queries that find none of their documents among {AMONG}",
        [query for query, rank in found.qualities[-1].ranks.items() if rank is None],
    )
    return "\n\n".join(parts) + "\n"


@task(name="publish ingest", cache_policy=NO_CACHE, persist_result=False)
async def publish_ingested(done: Ingested) -> None:
    """Leave what was done on the run's page."""
    await acreate_markdown_artifact(
        ingested_markdown(done), description=f"Ingest into {done.collection}"
    )


@task(name="publish evaluation", cache_policy=NO_CACHE, persist_result=False)
async def publish_evaluation(found: Evaluation) -> None:
    """Leave the evaluation on the run's page."""
    await acreate_markdown_artifact(
        evaluation_markdown(found), description=f"Retrieval in {found.collection}"
    )


def _recall(done: Ingested) -> str:
    if not done.embedded and not done.removed:
        return "nothing has changed, so none was asked"
    if done.recall is None:
        return "none: pin some, and an ingest that finds less does not go live"
    before = "" if done.recall_before is None else f", before {done.recall_before:.1%}"
    return f"{done.recall:.1%} of their documents among the first {AMONG}{before}"


def _answers(answers: Answered) -> str:
    rows = [
        ["Answered with support", _share(answers.supported, answers.asked)],
        ["A relevant document is cited", _share(answers.cited_relevant, answers.asked)],
        ["Off-topic questions refused", _share(answers.refused, answers.off_topic)],
    ]
    return table(["Answers", ""], "lr", rows)


def _share(count: int, of: int) -> str:
    return f"{count} of {of} ({count / of:.0%})" if of else "none asked"


def _listed(title: str, lines: "Sequence[str]") -> list[str]:
    if not lines:
        return []
    shown = [f"- {escaped(' '.join(line.split()))}" for line in lines[:_SHOWN]]
    more = [f"- and {len(lines) - _SHOWN:,} more"] if len(lines) > _SHOWN else []
    return [f"**{title}: {len(lines):,}**\n\n" + "\n".join([*shown, *more])]


def _plot(qualities: "Sequence[Quality]") -> str:
    figure, (metrics, ranks) = panels(2)
    names = ("ndcg_at_10", "recall_at_10", "mrr_at_10")
    width = 0.8 / len(qualities)
    for place, each in enumerate(qualities):
        left = [x + (place - (len(qualities) - 1) / 2) * width for x in range(len(names))]
        shade = _shade(place, len(qualities))
        label = f"{each.version} {each.mode}"
        metrics.bar(left, [getattr(each, name) for name in names], width, color=shade, label=label)
    metrics.set_xticks(range(len(names)), ["nDCG@10", "recall@10", "MRR@10"])
    metrics.set_ylim(0, 1)
    metrics.set_title("By version and mode", fontsize=9, loc="left")
    metrics.legend(
        fontsize=7, frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0
    )
    _draw_ranks(ranks, qualities[-1])
    return picture(figure, "Metrics by version and mode; rank of the first relevant document")


def _draw_ranks(axes: Any, quality: Quality) -> None:
    found = [*quality.ranks.values()]
    counts = [sum(rank == place for rank in found) for place in range(1, AMONG + 1)]
    axes.bar(range(1, AMONG + 1), counts, color=ACCENT)
    axes.bar([AMONG + 1], [found.count(None)], color=WARNING)
    axes.set_xticks(range(1, AMONG + 2), [*map(str, range(1, AMONG + 1)), "none"])
    axes.set_title(f"First relevant document, {quality.mode}", fontsize=9)


def _shade(place: int, of: int) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("", [PALE, ACCENT])(place / max(1, of - 1))
