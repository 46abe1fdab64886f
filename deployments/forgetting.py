"""`patterns forget`: a ticket's text is in nothing that is kept any more."""

from typing import TYPE_CHECKING, Annotated

import typer

from deployments.terminal import AsJson, absolute, bars, run_flow, show, user_name

if TYPE_CHECKING:
    from tasks.forgetting import Forgotten


def forget(
    ticket: Annotated[str, typer.Option(help="Id of the ticket.")],
    source: Annotated[
        str | None,
        typer.Option(help="Where it stands: corpus:NAME, or a file. Empty: any kept corpus."),
    ] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column of the ids of a file.")] = None,
    text: Annotated[
        list[str] | None, typer.Option("--text", help="Column of the text of a file.")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Minutes to wait for runs that are under way.")
    ] = 10,
    by: Annotated[str | None, typer.Option(help="Who asks. Empty: you.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take a ticket's text, and what was made of it, out of everything that is kept. It cannot be
    undone. A file that it stands in is left as it is."""
    request = {
        "ticket": ticket,
        "source": absolute(source) if source else None,
        "columns": {"id": id_, "text": tuple(text or ())},
        "wait_minutes": wait,
        "requester": by or user_name(),
    }
    with bars():
        done = run_flow("flows.forgetting.forget_ticket", asks=False, request=request)
    show(done.model_dump(mode="json"), _words(done), as_json=as_json)


def _words(done: "Forgotten") -> str:
    pieces = ", ".join(f"{count} {place}" for place, count in done.removed.items())
    tickets = " and ".join(done.tickets)
    return f"{tickets} of {', '.join(done.sources)} is forgotten. Removed: {pieces or 'nothing'}."
