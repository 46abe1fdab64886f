"""`patterns cache`: what is kept, what it saves, and how far the semantic cache can be trusted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.terminal import AsJson, run_async, show, without_a_run

if TYPE_CHECKING:
    from tasks.cache_upkeep import Stock

cache = typer.Typer(help="The caching layer.", no_args_is_help=True)


cache.callback()(without_a_run)


@cache.command("stats")
def stats(as_json: AsJson = False) -> None:
    """What is kept, how often it was used, what it saved, how often semantic hits were wrong."""
    from tasks.cache_upkeep import stock

    found = run_async(stock())
    show(found.model_dump(mode="json"), _stock_lines(found), as_json=as_json)


@cache.command("evict")
def evict(
    prompt: Annotated[str | None, typer.Option(help="Replies of this prompt.")] = None,
    model: Annotated[str | None, typer.Option(help="Replies of this provider:model.")] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Replies that quote this file, folder, corpus:NAME or sql: query."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Replies of this tenant.")] = None,
    as_json: AsJson = False,
) -> None:
    """Drop kept replies, so that they are asked for anew; all that is named must fit.

    What was asked goes with them: such calls cannot be replayed.
    """
    from tasks import cache_upkeep

    count = run_async(cache_upkeep.evict(prompt, model, source, tenant))
    show({"evicted": count}, f"{count} kept replies were dropped.", as_json=as_json)


@cache.command("clear")
def clear(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Drop every kept reply, and what was asked: all is paid for anew, nothing can be replayed."""
    from tasks import cache_upkeep

    if not yes:
        typer.confirm(
            "Every kept reply is paid for anew then, and no call can be replayed. Drop them?",
            abort=True,
            err=True,
        )
    count = run_async(cache_upkeep.clear())
    show({"evicted": count}, f"{count} kept replies were dropped.", as_json=as_json)


@cache.command("evaluate")
def evaluate(
    pairs: Annotated[Path, typer.Argument(help="Table: text_a, text_b, label (1: same meaning).")],
    max_wrong_hits: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Most wrong answers, as a share of requests."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses the half that teaches.")] = 0,
    teach: Annotated[
        str | None, typer.Option(help="Prompt whose cache learns from all pairs afterwards.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What the semantic cache does on labelled pairs: one half teaches, the other is reported."""
    from infra.settings import get_settings
    from tasks import cache_evaluation

    bound = get_settings().max_wrong_hits if max_wrong_hits is None else max_wrong_hits
    read = cache_evaluation.read_pairs(pairs)

    async def work() -> dict[str, object]:
        found = await cache_evaluation.evaluate(read, bound, seed)
        result = found.model_dump(mode="json")
        if teach:
            certified = await cache_evaluation.teach(teach, read)
            result["taught"] = {"prompt": teach, "threshold": certified.threshold}
        return result

    result = run_async(work())
    show(result, _evaluation_lines(result, bound), as_json=as_json)


def _stock_lines(stock: "Stock") -> str:
    from tasks.cache_report import wrong_hits

    saved = "unknown (a price is missing)"
    if stock.saved_usd is not None:
        saved = f"{stock.saved_usd:.4f} USD"
    lines = [
        f"{stock.entries:,} kept replies, {stock.questions:,} of them to questions",
        f"{stock.exact_hits:,} exact hits, {stock.semantic_hits:,} semantic hits, "
        f"{stock.misses:,} misses; saved: {saved}",
        f"Wrong semantic hits: {wrong_hits(stock)}",
    ]
    lines += [
        f"{each.prompt} {each.version[:12]} with {each.model}: {each.state}"
        + (f", from a similarity of {each.threshold:.3f}" if each.threshold is not None else "")
        for each in stock.lessons
    ]
    return "\n".join(lines)


def _evaluation_lines(found: "dict[str, object]", bound: float) -> str:
    if found["threshold"] is None:
        head = (
            f"No threshold keeps wrong answers certified under {bound:.1%} of requests: "
            "no semantic hits. More pairs, or a higher bound, may certify one."
        )
    else:
        head = f"A similarity of {found['threshold']:.3f} is certified for {bound:.1%}."
    tail = (
        f"On the other {found['pairs']:,} pairs: {found['hits']:,} hits ({found['hit_rate']:.1%}), "
        f"{found['wrong_hits']} of them wrong ({found['wrong_share']:.2%} of the pairs"
    )
    of_hits = found["wrong_share_of_hits"]
    tail += f", {of_hits:.1%} of the hits)." if of_hits is not None else ")."
    taught = found.get("taught")
    return "\n".join([head, tail, *([f"Taught: {taught}"] if taught else [])])
