"""`patterns summarize` and `patterns corpus`: the main job at the terminal."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.terminal import (
    AsJson,
    absolute,
    bars,
    run_async,
    run_flow,
    show,
    tell,
    without_a_run,
)

if TYPE_CHECKING:
    from tasks.digests import Digest
    from tasks.findings import Figures
    from tasks.summaries import Plan

corpus = typer.Typer(help="Corpora that are kept in PostgreSQL and grow.", no_args_is_help=True)


corpus.callback()(without_a_run)


Source = Annotated[
    str,
    typer.Argument(help="A file, a folder of transcripts, corpus:NAME, sql:FILE or query:SELECT …"),
]
IdColumn = Annotated[str | None, typer.Option("--id", help="Column of the ids.")]
TextColumns = Annotated[list[str] | None, typer.Option("--text", help="Column of the text.")]
TimeColumn = Annotated[str | None, typer.Option("--time", help="Column of the times.")]
GroupColumn = Annotated[str | None, typer.Option("--group-by", help="Column to compare by.")]
Strategy = Annotated[
    str | None, typer.Option(help="read: a model reads every passage; embed: none does.")
]
MaxCost = Annotated[float | None, typer.Option(help="Most USD that the run may cost.")]
MaxFailedShare = Annotated[float, typer.Option(help="Share of the work that may fail for good.")]
Out = Annotated[Path | None, typer.Option(help="Folder of the report.")]


def summarize(
    source: Source,
    id_: IdColumn = None,
    text: TextColumns = None,
    time: TimeColumn = None,
    group_by: GroupColumn = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only records from this time on (UTC).")
    ] = None,
    strategy: Strategy = None,
    refit: Annotated[bool, typer.Option("--refit", help="Find the themes anew.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would take; call no model.")
    ] = False,
    max_cost: MaxCost = None,
    max_failed_share: MaxFailedShare = 0.0,
    out: Out = None,
    shards: Annotated[
        int | None, typer.Option(help="Runs on workers that help to read; see `patterns worker`.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Summarize a corpus: themes with counts, quotes and every ticket behind them."""
    import pandas  # noqa: F401 - which the run needs at once, and its time is its own

    request = _request(source, id_, text, time, group_by, strategy, max_cost, max_failed_share, out)
    request |= {"since": since, "refit": refit, "shards": shards}
    if shards and not dry_run:
        _tell_whether_served()
    name = "plan_summary" if dry_run else "summarize_corpus"
    with bars():
        result = run_flow(f"flows.recursive_summary.{name}", asks=not dry_run, request=request)
    text_of = _plan_text if dry_run else _figures_text
    show(result.model_dump(mode="json"), text_of(result), as_json=as_json)


def digest(
    source: Source,
    id_: IdColumn = None,
    text: TextColumns = None,
    time: TimeColumn = None,
    group_by: GroupColumn = None,
    days: Annotated[
        int | None, typer.Option(help="Only records of the last so many days. Unset: all.")
    ] = None,
    strategy: Strategy = None,
    max_cost: MaxCost = None,
    max_failed_share: MaxFailedShare = 0.0,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Tell what has changed since the last digest: themes new, grown, shrunk and vanished."""
    request = _request(source, id_, text, time, group_by, strategy, max_cost, max_failed_share, out)
    with bars():
        found = run_flow("flows.recursive_summary.digest_corpus", request={**request, "days": days})
    show(found.model_dump(mode="json"), _digest_text(found), as_json=as_json)


@corpus.command("add")
def add(
    source: Source,
    name: Annotated[str, typer.Argument(help="Name of the kept corpus.")],
    id_: IdColumn = None,
    text: TextColumns = None,
    time: TimeColumn = None,
    group_by: GroupColumn = None,
    as_json: AsJson = False,
) -> None:
    """Add a source's records to a kept corpus; a record with a known id replaces it."""
    from tasks.columns import Columns
    from tasks.corpus import load_corpus
    from tasks.kept_corpora import Addition, add_records

    columns = Columns(id=id_, text=tuple(text or ()), time=time, group_by=group_by)

    async def added() -> Addition:
        return await add_records(name, await load_corpus(source, columns))

    done = run_async(added())
    words = f"corpus:{name}: {done.added} added, {done.changed} changed, {done.unchanged} unchanged"
    show(done.model_dump(), words, as_json=as_json)


@corpus.command("list")
def list_(as_json: AsJson = False) -> None:
    """The kept corpora."""
    from tasks.kept_corpora import list_corpora

    found = run_async(list_corpora())
    lines = [f"corpus:{each.name}  {each.records} records" for each in found]
    result = {"corpora": [each.model_dump(mode="json") for each in found]}
    show(result, "\n".join(lines) or "No corpus is kept yet.", as_json=as_json)


@corpus.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="Name of the kept corpus.")],
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Only this record; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove records from a kept corpus, or all of it."""
    from tasks.kept_corpora import remove_corpus, remove_records

    if ids is None:
        run_async(remove_corpus(name))
        show({"corpus": name, "removed": "all"}, f"corpus:{name} is removed.", as_json=as_json)
        return
    gone = run_async(remove_records(name, ids))
    missing = [id_ for id_ in dict.fromkeys(ids) if id_ not in gone]
    words = f"Removed: {', '.join(gone) or 'none'}"
    words += f". Not there: {', '.join(missing)}" if missing else ""
    if gone:
        tell("What was made of them stays. To have their words nowhere: `patterns forget`, before.")
    show({"corpus": name, "removed": gone, "missing": missing}, words, as_json=as_json)
    raise typer.Exit(1 if missing else 0)


def _request(
    source: str,
    id_: str | None,
    text: list[str] | None,
    time: str | None,
    group_by: str | None,
    strategy: str | None,
    max_cost: float | None,
    max_failed_share: float,
    out: Path | None,
) -> dict[str, Any]:
    """What a summary and a digest are both asked for."""
    return {
        "source": absolute(source),
        "columns": {"id": id_, "text": tuple(text or ()), "time": time, "group_by": group_by},
        "strategy": strategy,
        "max_cost": max_cost,
        "max_failed_share": max_failed_share,
        "out": out.expanduser().absolute() if out else None,
    }


def _digest_text(found: "Digest") -> str:
    from tasks.digest_report import says

    cost = "price unknown" if found.cost_usd is None else f"{found.cost_usd:.4f} USD"
    tell(f"{found.model_calls} model calls, {cost}, {found.seconds:.0f} s.")
    lines = [
        f"{kind:<8}  {each.theme:<5} {each.before:>6,} → {each.now:<6,} {each.title}"
        for kind in ("new", "grown", "shrunk", "vanished")
        for each in getattr(found, kind)
    ]
    return "\n".join([says(found), *lines, found.digest])


def _tell_whether_served() -> None:
    from deployments.server import use_server
    from infra.settings import get_settings

    use_server(get_settings().home)
    from deployments.serve import register_pooled
    from tasks.shards import NOBODY, is_served

    async def served() -> bool:
        await register_pooled()
        return await is_served()

    if not run_async(served()):
        tell(NOBODY)


def _figures_text(figures: "Figures") -> str:
    cost = "price unknown" if figures.cost_usd is None else f"{figures.cost_usd:.4f} USD"
    tell(
        f"{figures.tickets} tickets: {figures.covered} covered, {figures.unassigned} unassigned, "
        f"{figures.findings} findings. {figures.model_calls} model calls, {figures.cache_hits} "
        f"cache hits, {figures.prompt_tokens} + {figures.completion_tokens} tokens, {cost}, "
        f"{figures.seconds:.0f} s."
    )
    return figures.report or ""


def _plan_text(plan: "Plan") -> str:
    cost = "price unknown" if plan.cost_usd is None else f"about {plan.cost_usd:.4f} USD"
    time = "time unknown" if plan.seconds is None else f"about {plan.seconds:.0f} s"
    read = f"{plan.passages_a_call} passages a call. " if plan.passages_a_call else ""
    return (
        f"{plan.tickets} tickets in {plan.passages} passages, strategy {plan.strategy}, "
        f"{plan.model}: {plan.facts_to_make} facts to make, about {plan.nodes} nodes, "
        f"{plan.model_calls} calls, {plan.prompt_tokens} + {plan.completion_tokens} tokens, "
        f"{cost}. {read}At most {plan.calls_at_once} calls at once, of {plan.slots} slots; {time}."
    )
