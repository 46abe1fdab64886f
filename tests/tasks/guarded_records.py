"""The sample customer database, with rules registered, for tests to change records of."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from tasks.change_application import Change, apply_changes
from tasks.change_proposals import ChangeSet, Proposal
from tasks.change_rules import Rules, register

CRM = Path(__file__).parents[2] / "examples" / "crm"


async def guarded(database: str, rules: Path | None = None) -> Rules:
    """The rules of the sample, registered in a database that has its tables."""
    with psycopg.connect(database) as connection:
        connection.execute((CRM / "schema.sql").read_bytes())
    return await register(rules or CRM / "rules.yaml", "Zoe")


def proposal(
    cell: str, key: str, old: str | None, new: str | None, reason: str = "asked for"
) -> Proposal:
    """``cell``: schema.table.column."""
    table, _, column = cell.rpartition(".")
    return Proposal(table=table, key=key, column=column, old=old, new=new, reason=reason)


def change_set(rules: Rules, *proposals: Proposal) -> ChangeSet:
    return ChangeSet(rules=rules.version, proposals=proposals)


PAUSE = proposal("crm.subscriptions.paused", "101", "false", "true")


async def applied(
    rules: Rules, *proposals: Proposal, run: UUID | None = None, review: int | None = None
) -> Change:
    text = change_set(rules, *proposals).text
    return await apply_changes(run or uuid4(), "Please", "Zoe", text, review)


def records(database: str, table: str = "crm.customers") -> list[tuple[Any, ...]]:
    """All of a table, as it is."""
    with psycopg.connect(database) as connection:
        return connection.execute(
            f"select t::text from {table} as t order by 1"  # type: ignore[arg-type]
        ).fetchall()


def everything(database: str) -> dict[str, list[tuple[Any, ...]]]:
    """All records of the sample."""
    tables = ("customers", "subscriptions", "tickets", "payment_methods")
    return {table: records(database, f"crm.{table}") for table in tables}
