"""`python -m deployments.serve PORT`: serve every deployment that `prefect.yaml` declares.

It fails at once when an entrypoint does not import or a declaration has a field that nobody reads.
"""

import asyncio
import sys
from importlib.resources import files
from typing import Any

import yaml
from prefect import Flow
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import load_flow_from_entrypoint
from prefect.runner import Runner
from prefect.types.entrypoint import EntrypointType
from pydantic import BaseModel, ConfigDict, Field


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Schedule(_Declared):
    """When a deployment runs by itself. The slug keeps it the same schedule across restarts."""

    slug: str
    cron: str
    timezone: str = "UTC"
    active: bool = True
    parameters: dict[str, Any] = Field(default_factory=dict)


class Declaration(_Declared):
    """One entry of `prefect.yaml`."""

    name: str
    entrypoint: str
    description: str
    tags: list[str]
    parameters: dict[str, Any] = Field(default_factory=dict)
    schedules: list[Schedule] = Field(default_factory=list)
    concurrency_limit: int | None = None

    def load(self) -> Flow[..., Any]:
        """The flow. Raises what importing it raises."""
        return load_flow_from_entrypoint(self.entrypoint, use_placeholder_flow=False)


def declarations() -> list[Declaration]:
    """What `prefect.yaml` declares. Raises ValidationError for a field that is not known here."""
    source = files(__package__).joinpath("prefect.yaml").read_text(encoding="utf-8")
    return [Declaration.model_validate(entry) for entry in yaml.safe_load(source)["deployments"]]


async def deployment_of(declared: Declaration) -> RunnerDeployment:
    """What Prefect's runner serves."""
    return await declared.load().ato_deployment(
        name=declared.name,
        description=declared.description,
        tags=declared.tags,
        parameters=declared.parameters,
        schedules=[_schedule(schedule) for schedule in declared.schedules],
        concurrency_limit=declared.concurrency_limit,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


async def serve(port: int) -> None:
    """Register all deployments and run what is triggered or scheduled, until told to stop.

    Once they are registered, the port on loopback answers any HTTP request. Schedules go on while
    nobody serves: what is due then runs late.
    """
    deployments = [await deployment_of(declared) for declared in declarations()]
    runner = Runner(name="patterns", pause_on_shutdown=False)
    for deployment in deployments:
        await runner.aadd_deployment(deployment)
    async with await asyncio.start_server(_say_yes, "127.0.0.1", port):
        await runner.start()


async def _say_yes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
    writer.close()


def _schedule(declared: Schedule) -> DeploymentScheduleCreate:
    return DeploymentScheduleCreate(
        schedule=CronSchedule(cron=declared.cron, timezone=declared.timezone),
        parameters=declared.parameters,
        slug=declared.slug,
        active=declared.active,
    )


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
