"""What a request asks to change, as typed proposals: the model names fields, code finds records.

The model sees which fields there are and the request, and fills a form whose lists hold nothing but
what the rules allow. It sees no record and writes none.
"""

import json
from collections.abc import Sequence
from contextlib import suppress

from pydantic import BaseModel, ConfigDict

from infra.errors import DatabaseError, DatabaseUnavailable, ProposalRefused
from infra.guarded_tables import find, written
from tasks.asking import ask
from tasks.change_rules import Rules, TableRule
from tasks.replies import ProposedChange, changes_by_field


class Proposal(BaseModel):
    """One cell of one record. ``old``, ``new``: as PostgreSQL writes them; None is null."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str
    key: str
    column: str
    old: str | None
    new: str | None
    reason: str

    @property
    def cell(self) -> str:
        """What is changed, in words that hold no value."""
        return f"{self.table}.{self.column} of record {self.key}"


class ChangeSet(BaseModel):
    """All that one request changes: what a person approves, and what is applied.

    ``rules``: version of those that held when it was proposed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: str
    proposals: tuple[Proposal, ...]

    @property
    def text(self) -> str:
        """The bytes that are approved: the same for the same changes."""
        return json.dumps(self.model_dump(), ensure_ascii=False, indent=1, sort_keys=True)


async def propose(request: str, rules: Rules, reasons: Sequence[str] = ()) -> ChangeSet:
    """The changes that a request asks for, with the records as they are now.

    ``reasons``: why earlier proposals for it were rejected. Raises ProposalRefused when it names
    nothing that may be changed, no record, too many, or values that are none; what
    `tasks.asking.ask` raises.
    """
    lookups = tuple(f"{name}.{by}" for name, rule in rules.tables.items() for by in rule.find_by)
    reply = await ask(
        "propose_changes",
        {
            "fields": fields_text(rules),
            "request": request,
            "rejected": "\n".join(f"- {reason}" for reason in reasons) or "none",
        },
        fills=changes_by_field(tuple(rules.fields), lookups),
    )
    said: list[ProposedChange] = getattr(reply.value, "changes", [])
    if not said:
        raise ProposalRefused(["The request names nothing that may be changed"])
    proposals, faults = list[Proposal](), list[str]()
    for change in said:
        try:
            proposals += await _resolved(change, rules)
        except ProposalRefused as refused:
            faults += refused.faults
    if faults:
        raise ProposalRefused(faults)
    # Small models say the same again.
    different = {(each.table, each.key, each.column, each.new or ""): each for each in proposals}
    ordered = tuple(different[cell] for cell in sorted(different))
    return ChangeSet(rules=rules.version, proposals=ordered)


def fields_text(rules: Rules) -> str:
    """The fields that may be changed, a line each under their table: name, what it may become."""
    lines = list[str]()
    for name, table in rules.tables.items():
        lookups = " or ".join(f"{name}.{by}" for by in table.find_by)
        lines.append(f"{name}, found by {lookups}:")
        lines += [f"{name}.{column}: {_kind(table, column)}" for column in table.change]
    return "\n".join(lines)


def _kind(table: TableRule, column: str) -> str:
    allowed = table.change[column].one_of
    return f"one of {', '.join(allowed)}" if allowed else table.types[column]


async def _resolved(change: ProposedChange, rules: Rules) -> list[Proposal]:
    """What a change comes to in the records that it names."""
    table, column = rules.fields[change.field]
    rule, by = rules.tables[table], change.find_by.rpartition(".")[2]
    if change.find_by != f"{table}.{by}":
        raise ProposalRefused([f"{change.field} cannot be found by {change.find_by}"])
    empty = change.new_value.strip().lower() in ("", "null")
    new = None if empty else await _written(change.new_value, rule.types[column], change.field)
    by, wanted = await _lookup(change, rule, by)
    found = await find(rule.place(table), by, wanted, column, rule.max_rows + 1)
    if not found:
        raise ProposalRefused([f"No record of {table} that may be changed has such a {by}"])
    if len(found) > rule.max_rows:
        raise ProposalRefused([f"More than {rule.max_rows} records of {table} have such a {by}"])
    made = (
        Proposal(
            table=table,
            key=row["key"],
            column=column,
            old=row["old"],
            new=new,
            reason=change.reason.strip(),
        )
        for row in found
    )
    return [each for each in made if each.old != each.new]


async def _lookup(change: ProposedChange, rule: TableRule, by: str) -> tuple[str, str]:
    """By which column to look for what. Small models name the key and give the name: where a value
    is none of the column's type, it is that of another one."""
    for other in (by, *rule.find_by):
        with suppress(ProposalRefused):
            return other, await _written(change.find, rule.types[other], change.find_by)
    raise ProposalRefused([f"{change.find_by}: the value is no {rule.types[by]}"])


async def _written(value: str, kind: str, field: str) -> str:
    try:
        return await written(value.strip(), kind)
    except DatabaseUnavailable:
        raise
    except DatabaseError:
        raise ProposalRefused([f"{field}: the value is no {kind}"]) from None
