"""Workflows that are kept under a name: the project's own skeletons, and what people save.

A skeleton is a file, `tasks/skeletons/NAME.yaml`, and its name is its own. A saved workflow runs
again with other parameters, without the planner.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from infra.errors import InputError
from infra.postgres import Jsonb, fetch
from tasks.decoding import decode
from tasks.kept_names import kept_names
from tasks.suggestions import did_you_mean
from tasks.workflows import Param, Workflow

_SKELETONS = files(__package__).joinpath("skeletons")
_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]{0,98}[A-Za-z0-9])?")
_FIELDS = 5  # of a schedule: a sixth would be seconds
_TIMES = "A time has five fields, such as '0 7 * * 1', Mondays at seven, and a zone such as UTC."
_TAKEN = "run-workflow"  # a saved workflow is a deployment of this flow, under its own name
_TYPES: dict[str, Any] = {"integer": int, "number": float, "boolean": bool}


class Schedule(BaseModel):
    """When a saved workflow runs by itself, and with which parameters."""

    model_config = ConfigDict(frozen=True)

    cron: str
    timezone: str
    params: dict[str, Any]


class SavedWorkflow(BaseModel):
    """A workflow under its name. ``saved_by`` and ``saved_at``: None for a skeleton."""

    model_config = ConfigDict(frozen=True)

    name: str
    workflow: Workflow
    saved_by: str | None = None
    saved_at: datetime | None = None
    schedule: Schedule | None = None


async def saved_workflows() -> dict[str, SavedWorkflow]:
    """All of them, by name."""
    rows = await fetch("saved_workflows", {"name": None})
    return dict(sorted({**skeletons(), **{row["name"]: _saved(row) for row in rows}}.items()))


async def read_workflow(name: str) -> SavedWorkflow:
    """One of them. Raises InputError for a name that none has."""
    if rows := await fetch("saved_workflows", {"name": name}):
        return _saved(rows[0])
    if name in skeletons():
        return skeletons()[name]
    known = await saved_workflows()
    raise InputError(
        f"There is no workflow {name!r}.{did_you_mean(name, known)} `patterns workflow list` "
        "names them."
    )


async def save_workflow(name: str, workflow: Workflow, by: str, root_run: Any = None) -> None:
    """Keep a workflow under a name. Raises InputError for a name that is none, or taken; one of the
    project's own may be kept under its own name."""
    if skeletons().get(name) != SavedWorkflow(name=name, workflow=workflow):
        require_name(name)
    text, version = workflow.text, workflow.version
    row = {"name": name, "text": text, "version": version, "by": by, "root_run": root_run}
    await fetch("save_workflow", row)


def require_name(name: str | None) -> None:
    """Raise InputError for a name that is none, or taken by the project. None will do."""
    if name is None:
        return
    if name == _TAKEN:
        raise InputError(f"{name} is a deployment of its own. Choose another name.")
    if name in skeletons():
        raise InputError(f"{name} is one of the project's own workflows. Choose another name.")
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name[:60]!r} cannot name a workflow: use letters, digits, and _ . - in between."
        )


async def schedule_workflow(
    name: str, cron: str, timezone: str, params: Mapping[str, Any], by: str
) -> None:
    """Have a workflow run by itself. Raises InputError for one that is not there, a time that is
    none, parameters that do not fit."""
    saved = await read_workflow(name)
    _require_times(cron, timezone)
    given = await filled(saved.workflow, params)
    place = {"name": name, "cron": cron, "timezone": timezone, "by": by}
    if saved.saved_by is None:  # a skeleton: what is scheduled stays what it is now
        await save_workflow(name, saved.workflow, by)
    await fetch("schedule_workflow", {**place, "params": Jsonb(given)})


async def unschedule_workflow(name: str) -> bool:
    """Have a workflow run by itself no more; whether it did."""
    return bool(await fetch("unschedule_workflow", {"name": name}))


def parse_workflow(source: str, where: str) -> Workflow:
    """A workflow from YAML or JSON. Raises InputError naming the file and the field."""
    try:
        return Workflow.model_validate(yaml.safe_load(source))
    except yaml.YAMLError as error:
        raise InputError(f"{where} is neither YAML nor JSON: {error}") from error
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise InputError(f"{where} is no workflow: {'; '.join(faults)}.") from None


def read_workflow_file(path: Path) -> Workflow:
    """`parse_workflow` of a file. Raises InputError also for one that cannot be read."""
    try:
        text, _ = decode(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    return parse_workflow(text, str(path))


@cache
def skeletons() -> dict[str, SavedWorkflow]:
    """The project's own, by name."""
    found = sorted(_SKELETONS.iterdir(), key=lambda file: file.name)
    return {
        file.name.removesuffix(".yaml"): SavedWorkflow(
            name=file.name.removesuffix(".yaml"),
            workflow=parse_workflow(file.read_text(encoding="utf-8"), file.name),
        )
        for file in found
        if file.name.endswith(".yaml")
    }


async def filled(workflow: Workflow, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a run: those given, read as their types say, defaults, and the only name
    there is, where a parameter names something kept.

    Raises InputError naming each that is missing, unknown, or does not fit.
    """
    faults = [
        f"{name}: the workflow has no such parameter.{did_you_mean(name, workflow.params)}"
        for name in given
        if name not in workflow.params
    ]
    values = dict[str, Any]()
    for name, param in workflow.params.items():
        value, options = given.get(name, param.default), await options_of(param)
        if value is None and options and len(options) == 1:
            [value] = options
        if value is None:
            faults.append(f"{name} is missing: {(param.description or param.type).rstrip('.')}")
            continue
        try:
            values[name] = TypeAdapter(_TYPES.get(param.type, str)).validate_python(value)
        except ValidationError:
            faults.append(f"{name}: {value!r:.60} is no {param.type}")
            continue
        if options is not None and values[name] not in options:
            near = did_you_mean(str(value), options)
            there = f"There are: {', '.join(options)}" if options else "There is none"
            kind = "such option" if param.options else param.type
            faults.append(f"{name}: there is no {kind} {value!r:.60}.{near} {there}")
    if faults:
        raise InputError(f"{'. '.join(fault.rstrip('.') for fault in faults)}.")
    return values


async def options_of(param: Param) -> tuple[str, ...] | None:
    """All that a parameter can be: its options, or names of what is kept; None where it can be
    anything."""
    if param.options:
        return param.options
    return await kept_names(param.type)


def _require_times(cron: str, timezone: str) -> None:
    from prefect.client.schemas.schedules import CronSchedule

    try:
        CronSchedule(cron=cron, timezone=timezone)
    except ValidationError as error:
        said = "; ".join(str(each["msg"]).removeprefix("Value error, ") for each in error.errors())
        raise InputError(f"{said.rstrip('.')}. {_TIMES}") from None
    if len(cron.split()) != _FIELDS:
        raise InputError(f"{cron!r} has not five fields. {_TIMES}")


def _saved(row: Mapping[str, Any]) -> SavedWorkflow:
    names = ("cron", "timezone", "params")
    schedule = Schedule(**{name: row[name] for name in names}) if row["cron"] else None
    workflow = Workflow.model_validate_json(row["text"])
    beside = {name: row[name] for name in ("name", "saved_by", "saved_at")}
    return SavedWorkflow(workflow=workflow, schedule=schedule, **beside)
