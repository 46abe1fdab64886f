"""`patterns change`, `undo` and `changes`: guarded writes at the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.terminal import AsJson, run_async, run_flow, show, user_name, without_a_run

if TYPE_CHECKING:
    from tasks.change_application import Change

changes = typer.Typer(help="Changes of records, and what may be changed.", no_args_is_help=True)

By = Annotated[str | None, typer.Option("--by", help="Who you are. Default: the user's name.")]


changes.callback()(without_a_run)


def change(
    request: Annotated[str, typer.Argument(help="What is to change in which record, in words.")],
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Change records as a request asks for it: within the rules, and approved by somebody else."""
    from infra.errors import InputError

    if len(request.strip()) < 3:
        raise InputError("The request says nothing. Say what is to change in which record.")
    asked = {"request": request, "requester": by or user_name()}
    done = run_flow("flows.guarded_write.change_records", request=asked)
    from tasks.change_application import read_change

    made = run_async(read_change(done.change))
    result = _result(made) | {"approved_by": [*done.approved_by]}
    show(result, _lines(made), as_json=as_json)


def undo(
    number: Annotated[int, typer.Argument(help="Number of the change.")],
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Take a change back, byte for byte, where nothing has changed the records since."""
    without_a_run()
    from tasks import change_application

    done = run_async(change_application.undo(number, by or user_name()))
    show(_result(done), _lines(done), as_json=as_json)


@changes.command("list")
def list_changes(
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Name what was changed and undone."""
    from tasks import change_application

    found = run_async(change_application.changes(limit))
    words = "\n".join(map(_line, found)) or "Nothing was changed yet."
    show({"changes": [_result(each) for each in found]}, words, as_json=as_json)


@changes.command("show")
def show_change(
    number: Annotated[int, typer.Argument(help="Number of the change.")], as_json: AsJson = False
) -> None:
    """Print a change: what was asked for, who approved it, each cell before and after."""
    from tasks import change_application

    found = run_async(change_application.read_change(number))
    words = f"{_lines(found)}\n\nThe request:\n{found.request}"
    show(_result(found) | {"request": found.request}, words, as_json=as_json)


@changes.command("rules")
def rules(
    file: Annotated[Path, typer.Argument(help="YAML file of what may be changed.")],
    setup: Annotated[
        Path | None, typer.Option(help="File of SQL to run before, such as a sample's tables.")
    ] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Register what may be changed, held against the database's catalogue, and grant just that."""
    from tasks.change_rules import register, set_up

    async def registered() -> Any:
        if setup:
            await set_up(setup)
        return await register(file, by or user_name())

    found = run_async(registered())
    words = "\n".join(f"{field} may be changed" for field in found.fields)
    result = {"version": found.version, "fields": [*found.fields]}
    show(result, words, as_json=as_json)


def _result(each: "Change") -> dict[str, Any]:
    names = {"id", "requester", "review", "undo_of", "undone_by", "undone_at", "at", "cells"}
    return each.model_dump(mode="json", include=names)


def _lines(each: "Change") -> str:
    cells = (
        f"  {c.table}.{c.column} of record {c.key}: {_value(c.before)} → {_value(c.after)}"
        for c in each.cells
    )
    return "\n".join((_line(each), *cells))


def _line(each: "Change") -> str:
    count = len(each.cells)
    what = f"undo of {each.undo_of}" if each.undo_of else f"{count} cell{'s' * (count > 1)}"
    how = f"review {each.review}" if each.review else "" if each.undo_of else "low risk"
    undone = f"undone by {each.undone_by}" if each.undone_by else ""
    told = (f"{each.at:%Y-%m-%d %H:%M}", what, f"by {each.requester or '-'}", how, undone)
    return f"{each.id}  " + "  ".join(filter(None, told))


def _value(value: str | None) -> str:
    return "(empty)" if value is None else value
