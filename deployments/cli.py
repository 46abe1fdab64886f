"""The command line: `patterns …`.

Commands import what they need when they run, so that `patterns --help` is quick.
"""

import sys

import typer

from deployments import (
    accounting,
    caching,
    changing,
    comparing,
    doctor,
    forgetting,
    keeping,
    listening,
    platform,
    prompting,
    pursuing,
    resuming,
    retrieval,
    reviewing,
    sampling,
    specializing,
    summarizing,
    worker,
)
from infra.errors import PatternsError

app = typer.Typer(
    help="LLM architecture patterns as Prefect flows on one PostgreSQL.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(summarizing.summarize)
app.command()(summarizing.digest)
app.command()(prompting.prompt)
app.command()(retrieval.ingest)
app.command()(retrieval.search)
app.command()(retrieval.ask)
app.command()(reviewing.reply)
app.command()(changing.change)
app.command()(changing.undo)
app.command()(pursuing.task)
app.command()(pursuing.goal)
app.command()(specializing.route)
app.command()(comparing.compare)
app.command()(resuming.resume)
app.command()(forgetting.forget)
app.command()(listening.serve)
app.command()(accounting.cost)
app.command()(platform.up)
app.command()(platform.down)
app.command()(worker.worker)
app.command()(platform.env)
app.command()(sampling.samples)
app.command()(keeping.backup)
app.command()(keeping.restore)
app.command()(doctor.doctor)
app.command()(doctor.setup)
app.add_typer(prompting.prompts, name="prompts")
app.add_typer(comparing.anti_patterns, name="anti-patterns")
app.add_typer(caching.cache, name="cache")
app.add_typer(changing.changes, name="changes")
app.add_typer(retrieval.collections, name="collections")
app.add_typer(retrieval.evaluate, name="evaluate")
app.add_typer(reviewing.review, name="review")
app.add_typer(summarizing.corpus, name="corpus")
app.add_typer(pursuing.workflow, name="workflow")
app.add_typer(specializing.specialist, name="specialist")


def main() -> None:
    """Run a command. Exit status: 0 done, 1 not done (the reason is on stderr), 2 wrong usage."""
    try:
        app()
    except PatternsError as error:
        typer.echo(f"patterns: {error}", err=True)
        sys.exit(1)
