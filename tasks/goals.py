"""Goals, and the plans that are made for them."""

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from infra.budget import Budget
from tasks.workflow_checks import Ceiling, Fault
from tasks.workflows import Workflow

Way = Literal["auto", "saved", "free"]


class Limits(BaseModel):
    """What the work on a workflow may take."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    max_items: int = Field(
        20,
        ge=1,
        le=500,
        description="Most elements that a step is mapped over.",
        json_schema_extra={"position": 20},
    )
    max_model_calls: int = Field(
        200, ge=1, description="Most calls of models.", json_schema_extra={"position": 21}
    )
    max_cost: float | None = Field(
        None, gt=0, description="Most USD that it may cost.", json_schema_extra={"position": 22}
    )

    def budget(self) -> Budget:
        """What the run may use."""
        return Budget(max_calls=self.max_model_calls, max_cost=self.max_cost)

    @property
    def ceiling(self) -> Ceiling:
        """What a plan may take."""
        return Ceiling(items=self.max_items, model_calls=self.max_model_calls, cost=self.max_cost)


class GoalRequest(Limits):
    """A goal to reach."""

    goal: str = Field(
        min_length=3,
        max_length=4000,
        description="What is to be reached, in words.",
        json_schema_extra={"position": 0},
    )
    planning: Way = Field(
        "auto",
        description="saved: a saved workflow whose slots are filled. free: a model plans. auto: "
        "saved where one fits, else free.",
        json_schema_extra={"position": 1},
    )
    tools: tuple[str, ...] = Field(
        (),
        description="The only tools that may be used. Empty: all.",
        json_schema_extra={"position": 2},
    )
    review_plan: bool = Field(
        False,
        description="Wait until a person approves the plan, before anything is done.",
        json_schema_extra={"position": 3},
    )
    requester: str = Field(
        "",
        description="Who asks for it: somebody else has to approve what it writes.",
        json_schema_extra={"position": 4},
    )
    save_as: str | None = Field(
        None,
        description="Keep the workflow under this name, to run it again.",
        json_schema_extra={"position": 5},
    )
    max_replans: int = Field(
        2,
        ge=0,
        le=10,
        description="New plans after a step has failed.",
        json_schema_extra={"position": 23},
    )


class Planned(BaseModel):
    """A plan that passes its checks. ``goal``: in the words of whoever asked; ``saved``: name of
    the saved workflow that it is, None for a model's plan; ``faults``: of the plans before it."""

    model_config = ConfigDict(frozen=True)

    goal: str
    workflow: Workflow
    params: dict[str, Any] = Field(default_factory=dict)
    saved: str | None = None
    faults: tuple[tuple[Fault, ...], ...] = ()

    @property
    def text(self) -> str:
        """Workflow and parameters as JSON: what a person approves."""
        said = {"workflow": json.loads(self.workflow.text), "params": self.params}
        return json.dumps(said, ensure_ascii=False, indent=1, sort_keys=True)
