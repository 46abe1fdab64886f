"""What was forgotten, as an artifact: how many pieces where, no word of them."""

from prefect import task
from prefect.artifacts import acreate_markdown_artifact

from tasks.forgetting import Forgotten
from tasks.markdown import escaped, table
from tasks.runs import RETRIED

PLACES = {
    "calls": "Calls of models, with their questions",
    "checks": "Checks of semantic hits",
    "facts": "Facts read in passages",
    "embeddings": "Vectors",
    "passages_to_read": "Passages that shards were to read",
    "steps": "Steps of runs",
    "reviews": "Reviews",
    "released_replies": "Released replies",
    "corrections": "Corrected labels",
    "changes": "Records of changes",
    "workflows": "Saved workflows",
    "digest_themes": "Titles of themes in digests",
    "passages": "Passages of collections",
    "pinned_questions": "Pinned questions",
    "examples": "Examples of specialists",
    "reports": "Reports",
    "artifacts": "Artifacts",
    "events": "Events of Prefect's server",
    "parameters": "Parameters of runs",
    "forms": "Forms and their answers",
    "results": "Stored results",
}


def forgotten_markdown(done: Forgotten) -> str:
    """Tickets, and how many pieces were removed or emptied in which place."""
    tickets = escaped(" and ".join(" ".join(each.split()) for each in done.tickets))
    parts = [f"**{tickets}** of {escaped(', '.join(done.sources))}"]
    rows = [(PLACES.get(each, each), f"{count:,}") for each, count in done.removed.items()]
    parts.append(table(("Removed from", "Pieces"), "lr", rows) if rows else "Nothing was left.")
    if done.under_way:
        parts.append(
            f"Under way meanwhile, and may know the text: {escaped(', '.join(done.under_way))}. "
            "Run it again when they have ended."
        )
    if done.left:
        left = ", ".join(f"{name} ({count})" for name, count in done.left.items())
        parts.append(f"Words are left in: {escaped(left)}.")
    parts.append(
        "What people have asked for (`--out` of replies and labels, backups, what was kept when "
        "one was restored) is theirs to mend, and so is the file that a ticket was read from."
    )
    return "\n\n".join(parts) + "\n"


@task(name="publish what was forgotten", **RETRIED)
async def publish_forgotten(done: Forgotten) -> None:
    """Leave on the run's page what was removed where."""
    await acreate_markdown_artifact(
        forgotten_markdown(done), key="forgotten", description="What was removed where"
    )
