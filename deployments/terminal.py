"""What the commands share: results on stdout, everything else on stderr, flows run to their end."""

import asyncio
import gc
import getpass
import json
import logging
import os
import sys
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from infra.errors import InputError

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun, State

    from tasks.reviews import Review

T = TypeVar("T")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]


def show(result: dict[str, Any], text: str, *, as_json: bool) -> None:
    """The result of a command, for a script or for a person."""
    typer.echo(json.dumps(result, ensure_ascii=False) if as_json else text)


def table_text(head: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A table for a person at the terminal; all but the first columns are numbers."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(head):
        table.add_column(name, justify="left" if number < left else "right")
    for row in rows:
        table.add_row(*row)
    console = Console(width=200, color_system=None)
    with console.capture() as written:
        console.print(table)
    return "\n".join(line.rstrip() for line in written.get().splitlines())


def tell(message: str) -> None:
    """A word to the person at the terminal, beside the result."""
    typer.echo(message, err=True)


def run_flow(entrypoint: str, *, asks: bool = True, **parameters: Any) -> Any:
    """Run the flow ``package.module.name`` here, on the Prefect server that is meant. ``asks``:
    whether it calls models.

    Returns its result and raises its errors. Its log, tracebacks included, goes to its page in the
    UI, whose address is told; to the terminal only where PREFECT_LOGGING_LEVEL is set. The flow is
    imported here because Prefect reads its settings when it is imported.
    """
    with _on_the_server():
        gc.disable()  # modules are no garbage, now or later: to look at them takes seconds
        try:
            flow = _flow(entrypoint)
            _validate(flow, parameters)
            return run_async(_made_ready(flow(**parameters), asks=asks))
        finally:
            gc.enable()


def go_on(entrypoint: str, run: "FlowRun") -> Any:
    """`run_flow` for a run that there is already: whatever its state, it starts from the top, and
    finds what it has finished."""
    with _on_the_server():
        return run_async(_again(_flow(entrypoint), run))


def without_a_run() -> None:
    # What a command does that makes no run; as a callback of a group, whose help its text would be.
    from deployments.server import use_no_server
    from infra.settings import get_settings

    use_no_server(get_settings().home)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, run in the process's one event loop.

    What libraries print meanwhile goes to stderr.
    """

    async def to_its_end() -> T:
        from infra.llm import close_door

        try:
            return await work
        finally:
            await close_door()

    with redirect_stdout(sys.stderr):
        return asyncio.run(to_its_end())


def user_name() -> str:
    """The name of the user at the terminal. Raises InputError when he has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # as in a container
        raise InputError("This user has no name: say who you are with --by.") from None


def absolute(source: str) -> str:
    """A path as the run's own record should name it; other sources as they are."""
    if source.startswith(("corpus:", "sql:", "query:")):
        return source
    return str(Path(source).expanduser().absolute())


@contextmanager
def bars() -> Iterator[None]:
    """A bar on stderr for each long piece of work, as the tasks tell of it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from tasks.progress import listeners

    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    shown: dict[str, Any] = {}

    def listen(what: str, done: int, of: int) -> None:
        if of and what not in shown:
            shown[what] = bars.add_task(what, total=of)
        if of:
            bars.update(shown[what], completed=done, total=of)

    listeners.append(listen)
    try:
        with bars:
            yield
    finally:
        listeners.remove(listen)


@contextmanager
def _on_the_server() -> Iterator[None]:
    """Run flows here on the server that is meant, told of reviews."""
    from deployments.server import use_server
    from infra.errors import EmbeddedServerError
    from infra.settings import get_settings

    server = use_server(get_settings().home)
    import httpx

    try:
        with _told_of_reviews():
            yield
    except httpx.HTTPError as error:
        raise EmbeddedServerError(
            f"The Prefect server {server.url} went away during the run: {error}. "
            "See `patterns doctor`, and run it again."
        ) from error


def _flow(entrypoint: str) -> "Flow[..., Any]":
    module, _, name = entrypoint.rpartition(".")
    flow: Any = getattr(import_module(module), name)
    if "PREFECT_LOGGING_LEVEL" not in os.environ:
        _silence_console()
    return flow.with_options(on_running=[_tell_address])  # type: ignore[no-any-return]


async def _made_ready(run: Coroutine[Any, Any, Any], *, asks: bool) -> Any:
    """Make ready what the first call would wait for, and await the run: the clients of the models
    take seconds to import, and a run's time is its own."""
    from infra.errors import PatternsError
    from infra.llm import open_door

    if asks:
        with suppress(PatternsError):  # it will fail in the run, and be shown there
            await open_door()
    gc.freeze()
    gc.enable()
    return await run


async def _again(flow: "Flow[..., Any]", run: "FlowRun") -> Any:
    from prefect import flow_engine
    from prefect.client.orchestration import get_client
    from prefect.states import Pending

    async with get_client() as client:
        await client.set_flow_run_state(run.id, Pending(), force=True)
        run = await client.read_flow_run(run.id)
    going: Any = flow_engine.run_flow(flow, flow_run=run, parameters=run.parameters)
    return await going


def _validate(flow: "Flow[..., Any]", parameters: dict[str, Any]) -> None:
    """Raise InputError naming the options that do not fit, before a run is made."""
    from prefect.exceptions import ParameterTypeError
    from pydantic import ValidationError

    try:
        flow.validate_parameters(parameters)
    except ParameterTypeError as error:
        cause = error.__cause__ or error.__context__
        if not isinstance(cause, ValidationError):
            raise InputError(f"The run refuses its parameters: {error}") from error
        faults = [f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in cause.errors()]
        raise InputError(f"{'; '.join(faults)}. Mend the option and run it again.") from None


@contextmanager
def _told_of_reviews() -> Iterator[None]:
    """Say on stderr that a run waits for a person, and how to answer it."""
    from tasks.review_notices import listeners

    def say(review: "Review") -> None:
        tell(
            f"Review {review.id} waits for a person: {review.title}. Answer it on the run's page, "
            f"or see `patterns review show {review.id}`."
        )

    listeners.append(say)
    try:
        yield
    finally:
        listeners.remove(say)


def _silence_console() -> None:
    from prefect.logging.handlers import PrefectConsoleHandler

    for handler in logging.getLogger().handlers:
        if isinstance(handler, PrefectConsoleHandler):
            handler.setLevel(logging.CRITICAL + 1)


def _tell_address(flow: Any, run: "FlowRun", state: "State[Any]") -> None:
    from prefect.utilities.urls import url_for

    tell(f"Run {run.name}: {url_for(run)}")
