"""What became of drafted replies, as an artifact: ids, no word of a ticket or a reply."""

from collections.abc import Sequence

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.markdown import escaped, table
from tasks.reply_release import RepliesDone, TicketOutcome
from tasks.review_form import Spent, spent
from tasks.steps import current_root_run

_MOST_ROWS = 500  # an artifact is kept small


def replies_markdown(done: RepliesDone, taken: Spent) -> str:
    """Counts, cost, and each ticket with what became of it and the review that decided."""
    cost = "unknown" if taken.cost_usd is None else f"{taken.cost_usd:.6f} USD"
    counts = (
        ("Tickets", done.tickets),
        ("Released as drafted", done.released),
        ("Released after an edit", done.edited),
        ("Rejected", done.rejected),
        ("Without a draft", done.failed),
        ("Model calls", taken.model_calls),
        ("Tokens", taken.prompt_tokens + taken.completion_tokens),
    )
    told = [(name, f"{count:,}") for name, count in counts] + [("Cost", cost)]
    parts = [table(("", ""), "lr", told), _outcomes(done.outcomes[:_MOST_ROWS])]
    if len(done.outcomes) > _MOST_ROWS:
        parts.append(f"The first {_MOST_ROWS} of {len(done.outcomes):,} are shown.")
    if done.file:
        parts.append(f"The released replies are in {escaped(done.file)}.")
    return "\n\n".join(parts) + "\n"


@task(name="publish replies", cache_policy=NO_CACHE, persist_result=False)
async def publish_replies(done: RepliesDone) -> None:
    """Leave the outcome on the run's page."""
    markdown = replies_markdown(done, await spent(current_root_run()))
    await acreate_markdown_artifact(markdown, description="Replies to tickets")


def _outcomes(outcomes: Sequence[TicketOutcome]) -> str:
    rows = (
        (
            escaped(" ".join(each.ticket.split())),
            each.outcome,
            str(each.review or ""),
            escaped(" ".join(each.why.split())),
        )
        for each in outcomes
    )
    return table(("Ticket", "Outcome", "Review", "Why"), "llrl", rows)
