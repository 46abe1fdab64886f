"""What an agent is asked to do, and which tools it will take: settled before anything is read.

The plan is made from the task alone. An agent is then offered the plan's tools and no others, so
that nothing that it reads on the way can make it call one besides (Beurer-Kellner et al. 2025,
"Design Patterns for Securing LLM Agents against Prompt Injections", plan-then-execute).
"""

from collections.abc import Mapping

from prefect import task
from pydantic import BaseModel, ConfigDict, Field

from infra.budget import Budget
from infra.errors import InputError, PlanRefused
from tasks.asking import ask
from tasks.replies import TaskPlan, task_plan_of
from tasks.runs import RETRIED
from tasks.steps import once
from tasks.tools import Tool, tools_text


class TaskRequest(BaseModel):
    """A task for an agent, and what it may take."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    task: str = Field(
        min_length=3,
        max_length=4000,
        description="What is to be done, in words. Only this is obeyed.",
        json_schema_extra={"position": 0},
    )
    material: str = Field(
        "",
        max_length=20_000,
        description="A text that the task is about, such as a ticket. What it says is not obeyed.",
        json_schema_extra={"position": 1},
    )
    tools: tuple[str, ...] = Field(
        (),
        description="The only tools that may be used. Empty: all.",
        json_schema_extra={"position": 2},
    )
    review: bool = Field(
        False,
        description="Hold the answer back until a person releases it.",
        json_schema_extra={"position": 3},
    )
    requester: str = Field(
        "",
        description="Who asks for it: somebody else has to approve what it writes.",
        json_schema_extra={"position": 4},
    )
    max_turns: int = Field(12, ge=1, le=100, description="Most turns of the model.")
    max_tool_calls: int = Field(30, ge=1, le=500, description="Most calls of tools.")
    max_minutes: float = Field(30, gt=0, description="Most minutes of work, without waiting.")
    max_revisions: int = Field(1, ge=0, le=5, description="Answers that the critic sends back.")
    max_model_calls: int | None = Field(None, ge=1, description="Most calls of models.")
    max_tokens: int | None = Field(None, ge=1, description="Most tokens, in and out.")
    max_cost: float | None = Field(None, gt=0, description="Most USD.")

    def budget(self) -> Budget:
        """What the run may use."""
        return Budget(self.max_model_calls, self.max_tokens, self.max_cost)


@task(name="plan task", **RETRIED)
async def plan_task(request: TaskRequest, tools: Mapping[str, Tool]) -> TaskPlan:
    """The tools that a task takes, in order; planned once for a run. Raises PlanRefused for a task
    that none of them serves."""
    if not request.task.strip():
        raise InputError("The task says nothing. Say what is to be done.")

    async def from_model() -> TaskPlan:
        inputs = {"tools": tools_text(tools.values()), "task": request.task}
        reply = await ask("plan_task", inputs, fills=task_plan_of(tuple(tools)))
        assert isinstance(reply.value, TaskPlan)
        return TaskPlan.model_validate(reply.value.model_dump())

    plan = await once("task-plan", from_model, TaskPlan)
    if not plan.steps:
        raise PlanRefused(f"No tool serves this task. There are: {', '.join(tools)}.")
    return plan


def plan_lines(plan: TaskPlan) -> str:
    """The plan in numbered lines."""
    told = (f"{n}. {step.tool}: {step.purpose}" for n, step in enumerate(plan.steps, 1))
    return "\n".join(told)
