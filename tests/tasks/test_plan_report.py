from tasks.plan_report import plan_markdown
from tasks.summaries import Plan

PLAN = Plan(
    tickets=10_000,
    passages=10_400,
    facts_to_make=9_000,
    nodes=130,
    model_calls=530,
    prompt_tokens=900_000,
    completion_tokens=300_000,
    cost_usd=0.825,
    passages_a_call=25,
    slots=64,
    calls_at_once=64,
    seconds=150.0,
    strategy="read",
    model="openai:a|b",
)


def test_a_plan_says_what_a_person_decides_by() -> None:
    shown = plan_markdown(PLAN)
    assert "| Model calls | 530, at most 64 at once |" in shown
    assert "| Cost | 0.8250 USD |" in shown
    assert "2 minutes" in shown
    assert "a|b" not in shown  # it would be a column of its own


def test_what_is_unknown_is_said_and_never_zero() -> None:
    shown = plan_markdown(PLAN.model_copy(update={"cost_usd": None, "seconds": None}))
    assert "| Cost | unknown: a price is missing |" in shown
    assert "unknown: no such call was made lately" in shown
