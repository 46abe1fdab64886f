"""`patterns resume`: go on with a run that has failed, or whose process has died."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from deployments.terminal import AsJson, bars, go_on, run_async, show
from infra.errors import InputError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

    from infra.signs_of_life import Sign


def resume(
    run: Annotated[str, typer.Argument(help="Id or name of the run, as its page shows it.")],
    dead: Annotated[
        bool,
        typer.Option(
            "--dead",
            help="It counts as running, but its process is gone: do not wait for two minutes.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that has failed, or was killed: only what it has not finished is done."""
    from deployments.server import use_server
    from infra.settings import get_settings

    use_server(get_settings().home)
    found, flow = run_async(_found(run))
    sign = run_async(_last_sign(found))
    _require_ended(found, sign, dead=dead)
    entrypoint = _entrypoint(flow)
    from tasks.tool_calls import forget_failures

    run_async(forget_failures(found.id))
    if found.deployment_id:
        run_async(_scheduled(found))
        words = f"{found.name} is run again by who serves its deployment: see `patterns up`."
        show({"run": str(found.id), "name": found.name, "result": None}, words, as_json=as_json)
        return
    with bars():
        result = go_on(entrypoint, found)
    told = result.model_dump(mode="json") if hasattr(result, "model_dump") else result
    words = str(getattr(result, "answer", "")) or f"{found.name} is done."
    show({"run": str(found.id), "name": found.name, "result": told}, words, as_json=as_json)


async def _found(said: str) -> tuple["FlowRun", str]:
    """The run of an id or a name, and the name of its flow."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterName

    try:
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(said)]))
    except ValueError:
        wanted = FlowRunFilter(name=FlowRunFilterName(any_=[said]))
    async with get_client() as client:
        runs = await client.read_flow_runs(flow_run_filter=wanted, limit=2)
        if not runs:
            raise InputError(f"There is no run {said!r}. Its name stands on its page in the UI.")
        if len(runs) > 1:
            raise InputError(f"Several runs are called {said!r}. Give the id of the one you mean.")
        [run] = runs
        return run, (await client.read_flow(run.flow_id)).name


async def _last_sign(run: "FlowRun") -> "Sign | None":
    """The last sign of life that it has given since it is in its state."""
    from infra.signs_of_life import signs_of_life

    sign = (await signs_of_life([run.id])).get(run.id)
    return sign if sign and run.state and sign.at >= run.state.timestamp else None


def _require_ended(run: "FlowRun", sign: "Sign | None", *, dead: bool) -> None:
    """Raise InputError for a run that is done, is still to come, or may be at work."""
    state, kind = str(run.state_name).lower(), run.state_type.value if run.state_type else ""
    if kind == "COMPLETED":
        raise InputError(f"{run.name} is completed: there is nothing to go on with.")
    if kind == "SCHEDULED":
        raise InputError(f"{run.name} is {state}, and will be run.")
    if kind == "PAUSED" and run.deployment_id:
        raise InputError(f"{run.name} waits for a person: see `patterns review list`.")
    if kind not in ("FAILED", "CRASHED", "CANCELLED") and not (dead or (sign and not sign.fresh)):
        raise InputError(
            f"{run.name} is {state}"
            + (f", and gave a sign of life at {sign.at:%H:%M:%S}" if sign else "")
            + ". If its process is gone, say so with --dead"
            + (", or wait for two minutes without a sign" if sign else "")
            + ": two processes at one run would do the same work."
        )


def _entrypoint(flow: str) -> str:
    from deployments.serve import declarations

    for declared in declarations():
        if declared.load().name == flow:
            return declared.entrypoint
    raise InputError(f"The flow {flow} is none of this project's.")


async def _scheduled(run: "FlowRun") -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Scheduled

    async with get_client() as client:
        await client.set_flow_run_state(run.id, Scheduled(), force=True)
