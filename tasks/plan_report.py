"""What a summary would take, as an artifact that a person decides by."""

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.markdown import escaped, table
from tasks.summaries import Plan


def plan_markdown(plan: Plan) -> str:
    """The plan as Markdown."""
    cost = "unknown: a price is missing" if plan.cost_usd is None else f"{plan.cost_usd:.4f} USD"
    time = "unknown: no such call was made lately" if plan.seconds is None else _time(plan.seconds)
    rows = [
        ("Tickets", f"{plan.tickets:,}"),
        ("Passages", f"{plan.passages:,}"),
        ("Strategy", plan.strategy),
        ("Model", escaped(plan.model)),
        ("Facts to make", f"{plan.facts_to_make:,}"),
        ("Passages a call", f"{plan.passages_a_call:,}"),
        ("Nodes to word", f"about {plan.nodes:,}"),
        ("Model calls", f"{plan.model_calls:,}, at most {plan.calls_at_once:,} at once"),
        ("Tokens", f"{plan.prompt_tokens:,} in, {plan.completion_tokens:,} out"),
        ("Cost", cost),
        ("The model's time", time),
    ]
    return table(("What a summary would take", ""), "lr", rows)


@task(name="publish plan", cache_policy=NO_CACHE, persist_result=False)
async def publish_plan(plan: Plan) -> None:
    """Leave the plan on the run's page."""
    await acreate_markdown_artifact(
        plan_markdown(plan), key="summary-plan", description="What a summary would take"
    )


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
