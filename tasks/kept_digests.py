"""What digests found, kept for the next one of the same lineage and days: ids, and titles.

A run keeps one digest, however often it starts, and with it which one it was compared with: a run
that is killed and starts anew is compared with that one again, not with itself.
"""

from datetime import datetime
from typing import NamedTuple

from infra.errors import DatabaseError
from infra.postgres import fetch, transaction
from infra.sql import queries
from tasks.findings import Report
from tasks.records import clean
from tasks.steps import current_root_run

_KEPT = 8  # of a lineage: a run that goes on after some others still finds the one before it


class Kept(NamedTuple):
    """A digest that was kept: of the codebook its ``generation`` and how many ``entries`` it had,
    the ids of all tickets, and of each theme its title, None where that was dropped, and tickets.
    """

    id: int
    made_at: datetime
    generation: int
    entries: int
    tickets: frozenset[str]
    themes: dict[int, tuple[str | None, frozenset[str]]]


async def last_digest(lineage: str, days: int | None) -> Kept | None:
    """The digest that this run's is to be compared with; None where it is the first.

    Raises DatabaseError when this run's was compared with one that is not kept any more.
    """
    run = current_root_run()
    place = {"root_run": run, "lineage": lineage, "days": days or 0}
    before = next((row["id"] for row in await fetch("digest_before", place)), None)
    if before is None:
        return None
    rows = await fetch("read_digest", {"id": before})
    if not rows:
        raise DatabaseError(
            f"Run {run} was compared with digest {before}, which is not kept any more: {_KEPT} of "
            "a source are. Start a new digest."
        )
    themes = await fetch("read_digest_themes", {"id": before})
    found = rows[0] | {
        "tickets": frozenset(rows[0]["tickets"]),
        "themes": {row["theme"]: (row["title"], frozenset(row["tickets"])) for row in themes},
    }
    return Kept(**found)


async def keep(
    lineage: str, report: Report, days: int | None, after: int | None, made_at: datetime
) -> None:
    """Keep a report's themes with their tickets as this run's digest, and drop those too old.

    ``after``: the digest that it was compared with.
    """
    place = {"lineage": lineage, "days": days or 0}
    head = place | {
        "root_run": current_root_run(),
        "source": report.source,
        "after": after,
        "generation": report.generation,
        "tickets": list(report.tickets),
        "made_at": made_at,
    }
    async with transaction() as connection:
        cursor = await connection.execute(queries()["keep_digest"], head)
        [row] = await cursor.fetchall()
        await connection.execute(queries()["drop_digest_themes"], row)
        themes = [
            {
                "digest": row["id"],
                "theme": int(each.id[1:]),
                "title": clean(each.title),
                "tickets": list(each.ticket_ids),
            }
            for each in report.themes
        ]
        await connection.cursor().executemany(queries()["keep_digest_theme"], themes)
        await connection.execute(queries()["drop_old_digests"], place | {"kept": _KEPT})
