"""`patterns review`: what waits for a person, what people decided, and whether that is all true."""

from typing import TYPE_CHECKING, Annotated

import typer

from deployments.terminal import AsJson, run_async, show

if TYPE_CHECKING:
    from tasks.decisions import Kept

review = typer.Typer(help="Drafts that wait for a person, and decisions.", no_args_is_help=True)


@review.callback()
def _without_a_run() -> None:
    from deployments.server import use_no_server
    from infra.settings import get_settings

    use_no_server(get_settings().home)


@review.command("list")
def list_reviews(
    decided: Annotated[bool, typer.Option("--all", help="Those that are decided, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Name the drafts that wait, the oldest first."""
    from tasks.decisions import reviews

    found = run_async(reviews(decided=decided))
    lines = "\n".join(map(_line, found)) or "Nothing waits for a person."
    result = {"reviews": [each.model_dump(mode="json", exclude={"text"}) for each in found]}
    show(result, lines, as_json=as_json)


@review.command("show")
def show_review(
    number: Annotated[int, typer.Argument(help="Number of the review.")], as_json: AsJson = False
) -> None:
    """Print a draft as it was stored, and what was decided on it."""
    from tasks import decisions

    found = run_async(decisions.read_review(number))
    show(found.model_dump(mode="json"), f"{_line(found)}\n\n{found.text}", as_json=as_json)


@review.command("verify")
def verify(as_json: AsJson = False) -> None:
    """Check the whole chain of decisions; exit status 1 when a row or a draft was tampered with."""
    from tasks import decisions

    found = run_async(decisions.verify())
    words = [*found.faults] or [f"{found.decisions:,} decisions, each as it was made."]
    show(found.model_dump(mode="json"), "\n".join(words), as_json=as_json)
    if found.faults:
        raise typer.Exit(1)


def _line(each: "Kept") -> str:
    state = "waits"
    if each.verdict:
        state = f"{each.verdict} by {each.reviewer}" + (f": {each.reason}" if each.reason else "")
    return f"{each.id}  {each.opened_at:%Y-%m-%d %H:%M}  {each.title}  {state}"
