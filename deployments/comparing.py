"""`patterns compare` and `anti-patterns`: the numbers that a pattern is chosen by."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.terminal import AsJson, absolute, bars, run_flow, show, table_text

if TYPE_CHECKING:
    from tasks.direct_write_comparison import WritesCompared
    from tasks.monolithic_prompt_comparison import PromptsCompared
    from tasks.pattern_comparison import PatternsCompared

anti_patterns = typer.Typer(
    help="What does not scale, done for real beside what does.", no_args_is_help=True
)


@anti_patterns.callback()
def _several() -> None:
    """These commands make a run, and find their server themselves."""


def compare(
    question: Annotated[str, typer.Argument(help="A question, or a file of questions.")],
    collection: Annotated[str | None, typer.Option(help="Documents that RAG answers from.")] = None,
    expect: Annotated[
        str | None,
        typer.Option(
            help="What a right answer must hold, as a regular expression; of a file, the "
            "column that has it (empty cells: nothing answers it)."
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(help="The file's column of questions.")] = None,
    patterns: Annotated[
        list[str] | None, typer.Option("--pattern", help="Only this one; may be repeated.")
    ] = None,
    prompt: Annotated[
        str, typer.Option(help="Prompt that takes the question as its only input.")
    ] = "answer_briefly",
    specialist: Annotated[
        str | None, typer.Option(help="Whose specialist labels the questions.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Most questions of a file.")] = 20,
    max_model_calls: Annotated[
        int, typer.Option(min=1, help="Most calls of models for one answer.")
    ] = 30,
    max_minutes: Annotated[float, typer.Option(help="Most minutes for one answer.")] = 10,
    as_json: AsJson = False,
) -> None:
    """One question through every pattern: how good, how quick, how dear, with and without cache."""
    is_file = _is_file(question)
    request = {
        **(
            {"file": absolute(question), "expected": expect}
            if is_file
            else {"question": question, "expect": expect}
        ),
        "text": text,
        "collection": collection,
        "specialist": specialist,
        "prompt": prompt,
        **({"patterns": tuple(patterns)} if patterns else {}),
        "limit": limit,
        "max_model_calls": max_model_calls,
        "max_minutes": max_minutes,
    }
    with bars():
        done = run_flow("flows.comparison.compare_patterns", request=request)
    show(done.model_dump(mode="json"), _patterns_text(done), as_json=as_json)


@anti_patterns.command("direct-write")
def direct_write(
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most requests of each kind. Default: all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """A model's SQL straight into the database, beside guarded writes, in a scratch schema."""
    with bars():
        done = run_flow("flows.anti_patterns.compare_direct_write", request={"limit": limit})
    show(done.model_dump(mode="json"), _writes_text(done), as_json=as_json)


@anti_patterns.command("monolithic-prompt")
def monolithic_prompt(
    limit: Annotated[int | None, typer.Option(min=1, help="Most messages. Default: all.")] = None,
    as_json: AsJson = False,
) -> None:
    """One prompt for everything, beside small ones, and what one edited sentence breaks."""
    with bars():
        done = run_flow("flows.anti_patterns.compare_monolithic_prompt", request={"limit": limit})
    show(done.model_dump(mode="json"), _prompts_text(done), as_json=as_json)


def _is_file(said: str) -> bool:
    """A file that is there, or what is called like one: then it is told that it is missing."""
    from tasks.tables import SUFFIXES

    one_word = len(said.split()) == 1
    return one_word and (Path(said).expanduser().is_file() or said.lower().endswith(SUFFIXES))


def _patterns_text(done: "PatternsCompared") -> str:
    from tasks.pattern_comparison_report import HEAD, cells

    lines = [table_text(HEAD, map(cells, done.rows), left=2)]
    lines += [f"{name} was not run: {why}." for name, why in done.not_run.items()]
    return "\n".join(lines)


def _writes_text(done: "WritesCompared") -> str:
    from tasks.direct_write_comparison import HEAD, cells

    return f"{table_text(HEAD, map(cells, (done.direct, done.guarded)))}\n\n{done.verdict}"


def _prompts_text(done: "PromptsCompared") -> str:
    from tasks.monolithic_prompt_comparison import HEAD, cells

    return f"{table_text(HEAD, map(cells, (done.monolith, done.small)))}\n\n{done.verdict}"
