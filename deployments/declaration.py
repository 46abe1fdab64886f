"""What a deployment is declared by."""

from typing import Any

from prefect import Flow
from prefect.flows import load_flow_from_entrypoint
from pydantic import BaseModel, ConfigDict, Field


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Schedule(_Declared):
    """When a deployment runs by itself.

    The slug keeps it the same schedule across restarts; ``active`` is what it is at first.
    """

    slug: str
    cron: str
    timezone: str = "UTC"
    active: bool = True
    parameters: dict[str, Any] = Field(default_factory=dict)


class WorkPool(_Declared):
    """Where a deployment runs that is not served: on the workers of a pool."""

    name: str


class Declaration(_Declared):
    """One entry of `prefect.yaml`."""

    name: str
    entrypoint: str
    description: str
    tags: list[str]
    parameters: dict[str, Any] = Field(default_factory=dict)
    schedules: list[Schedule] = Field(default_factory=list)
    concurrency_limit: int | None = None
    work_pool: WorkPool | None = None

    def load(self) -> Flow[..., Any]:
        """The flow. Raises what importing it raises."""
        return load_flow_from_entrypoint(self.entrypoint, use_placeholder_flow=False)
