"""`patterns specialist` and `route`: small models that are trained on labels, at the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.specialist_words import (
    card_of,
    comparison_words,
    routing_words,
    specialist_line,
    specialist_words,
)
from deployments.terminal import (
    AsJson,
    absolute,
    bars,
    run_async,
    run_flow,
    show,
    tell,
    user_name,
    without_a_run,
)

if TYPE_CHECKING:
    from tasks.specialists import Specialist

specialist = typer.Typer(
    help="Small models that are trained on labels, and who of them serves.", no_args_is_help=True
)

By = Annotated[str | None, typer.Option("--by", help="Who you are. Default: the user's name.")]
Name = Annotated[str | None, typer.Option(help="Whose specialist. Default: the only name.")]
Number = Annotated[int, typer.Argument(help="Number of the specialist.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


@specialist.callback()
def _specialists() -> None:
    """Some of these commands make a run, and find their server themselves."""


@specialist.command("train")
def train(
    source: Annotated[str, typer.Argument(help="File of labelled texts, sql:FILE, query:SELECT …")],
    text: Annotated[list[str] | None, typer.Option(help="Column of the text.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the label.")] = None,
    outside: Annotated[
        str | None, typer.Option(help="Label of texts that none of the others fits.")
    ] = None,
    name: Annotated[str, typer.Option(help="What it knows.")] = "tickets",
    target: Annotated[
        float, typer.Option(help="Accuracy of what it is to decide by itself.")
    ] = 0.98,
    encoder: Annotated[
        str | None,
        typer.Option(help="Where training starts: all-minilm-l6-v2, or the folder of another."),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="Who teaches: all-mpnet-base-v2, the folder of another, or none."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Most times each text is learned.")] = None,
    batch: Annotated[int | None, typer.Option(help="Texts of a step.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.")] = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train a specialist on labelled texts, calibrate it, measure it, and register it."""
    from infra.fine_tuning import EMBEDDED, NOBODY

    recipe = {"epochs": epochs, "batch": batch, "seed": seed}
    request: dict[str, Any] = {
        "source": absolute(source),
        "text": tuple(text or ()),
        "label": label,
        "outside": outside,
        "name": name,
        "target_accuracy": target,
        "device": device,
        "recipe": {key: value for key, value in recipe.items() if value is not None},
    }
    for role, given in (("encoder", encoder), ("teacher", teacher)):
        if given:
            request[role] = given if given in (NOBODY, *EMBEDDED) else absolute(given)
    with bars():
        found = run_flow("flows.specialist.train_specialist", request=request)
    for note in found.card.notes:
        tell(note)
    show(card_of(found), specialist_words(found), as_json=as_json)


@specialist.command("list")
def list_(name: Name = None, as_json: AsJson = False) -> None:
    """Name the specialists, the newest first, who serves, and whose files are damaged."""
    without_a_run()
    from tasks.specialist_serving import served
    from tasks.specialists import damage, specialists

    async def found() -> tuple[list["Specialist"], set[int]]:
        each = await specialists(name)
        serving = [await served(known) for known in {one.name for one in each}]
        return each, {numbers[0] for numbers in serving if numbers}

    all_, serving = run_async(found())
    harm = {each.id: damage(each) for each in all_}
    rows = [
        card_of(each) | {"serves": each.id in serving, "damage": harm[each.id]} for each in all_
    ]
    lines = list[str]()
    for each in all_:
        lines += [specialist_line(each, serves=each.id in serving)]
        lines += [f"    {word}"] if (word := harm[each.id]) else []
    words = "\n".join(lines) or "There is no specialist yet. `patterns specialist train` makes one."
    show({"specialists": rows}, words, as_json=as_json)


@specialist.command("evaluate")
def evaluate(
    number: Number,
    against: Annotated[
        int | None, typer.Option(help="Number of the other. Default: the one that serves.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hold a specialist against another, on texts that neither has learned from."""
    request = {"specialist": number, "against": against}
    found = run_flow("flows.specialist.evaluate_specialist", request=request)
    show(found.model_dump(mode="json"), comparison_words(found), as_json=as_json)


@specialist.command("promote")
def promote(number: Number, by: By = None, as_json: AsJson = False) -> None:
    """Let a better specialist serve, once somebody else has approved it."""
    request = {"specialist": number, "requester": by or user_name()}
    done = run_flow("flows.specialist.promote_specialist", request=request)
    place = f" in the place of {done.replaced}" if done.replaced else ""
    who = " and ".join(done.reviewers)
    words = f"Specialist {done.specialist} serves {done.name}{place}: {who}."
    show(done.model_dump(mode="json"), words, as_json=as_json)


@specialist.command("rollback")
def rollback(name: Name = None, by: By = None, as_json: AsJson = False) -> None:
    """Let the specialist serve again that did before the one that does, if it is whole."""
    without_a_run()
    from tasks.specialist_serving import known_name, rolled_back

    async def back() -> tuple["Specialist", str]:
        return await rolled_back(await known_name(name), by or user_name())

    found, damaged = run_async(back())
    if damaged:
        tell(damaged)
    words = f"Specialist {found.id} serves {found.name} again."
    show({"name": found.name, "id": found.id}, words, as_json=as_json)


@specialist.command("correct")
def correct(
    text: Annotated[str, typer.Argument(help="A text that was labelled wrongly.")],
    label: Annotated[str, typer.Option(help="Its label.")],
    name: Name = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Keep the label that a text should have had: the next training learns from it."""
    without_a_run()
    from tasks import people_labels
    from tasks.specialist_serving import serving

    async def keep() -> str:
        found, _ = await serving(name)
        await people_labels.correct(found, text, label, by or user_name())
        return found.name

    known = run_async(keep())
    words = f"Kept: the next specialist for {known} learns from it."
    show({"name": known, "label": label}, words, as_json=as_json)


@specialist.command("retrain")
def retrain(
    name: Name = None,
    fewest: Annotated[int, typer.Option(help="New labels below which nothing is done.")] = 20,
    device: Device = "auto",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Train a challenger on what people have decided since, and propose it where it is better."""
    request = {
        "name": name,
        "fewest": fewest,
        "device": device,
        "requester": by or user_name(),
    }
    with bars():
        done = run_flow("flows.specialist.retrain_specialist", request=request)
    words = f"Specialist {done.specialist} serves {done.name}." if done.serves else done.why
    show(done.model_dump(mode="json"), words, as_json=as_json)


@specialist.command("drift")
def drift(
    name: Name = None,
    weeks: Annotated[int, typer.Option(help="Weeks to look back on.")] = 12,
    as_json: AsJson = False,
) -> None:
    """Say by week whether what comes in is still what the specialist was trained on."""
    request = {"name": name, "weeks": weeks}
    found = run_flow("flows.specialist.report_drift", request=request)
    lines = [
        f"{week.monday}  {week.texts:,} texts, confidence {week.confidence:.3f}, "
        f"not sure of {week.unsure:.1%}, shift of labels {week.shift:.3f}"
        for week in found.weeks
    ]
    result = found.model_dump(mode="json") | {"shifted": found.is_shifted}
    show(result, "\n".join([*lines, found.words]), as_json=as_json)


def route(
    source: Annotated[str, typer.Argument(help="File of texts, corpus:NAME, sql:FILE, query:…")],
    number: Annotated[
        int | None, typer.Option("--specialist", help="Number. Default: the one that serves.")
    ] = None,
    name: Name = None,
    fallback: Annotated[
        bool, typer.Option("--fallback/--no-fallback", help="Ask a model, then people, the rest.")
    ] = True,
    people: Annotated[
        bool, typer.Option("--people/--no-people", help="Ask people what both are not sure of.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option(help="File for the labels: .csv, .jsonl or .parquet.")
    ] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column of the ids.")] = None,
    text: Annotated[list[str] | None, typer.Option(help="Column of the text.")] = None,
    time: Annotated[str | None, typer.Option(help="Column of the time.")] = None,
    batch: Annotated[int, typer.Option(help="Texts that one review decides on.")] = 20,
    max_model_calls: Annotated[int | None, typer.Option(help="Most calls of models.")] = None,
    max_cost: Annotated[float | None, typer.Option(help="Most USD that it may cost.")] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Label texts: a specialist what it is sure of, a model the rest, people what is left."""
    request = {
        "source": absolute(source),
        "specialist": number,
        "name": name,
        "fallback": fallback,
        "people": people and fallback,
        "batch": batch,
        "out": str(out.expanduser().absolute()) if out else None,
        "columns": {"id": id_column, "text": tuple(text or ()), "time": time},
        "requester": by or user_name(),
        "max_model_calls": max_model_calls,
        "max_cost": max_cost,
    }
    with bars():
        done = run_flow("flows.specialist.route_tickets", request=request)
    show(done.model_dump(mode="json"), routing_words(done), as_json=as_json)
