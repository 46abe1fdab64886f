"""The rules that proposed changes have to keep, and whether a person has to see them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation

from tasks.change_proposals import Proposal
from tasks.change_rules import ColumnRule, Rules


def faults_of(proposals: Sequence[Proposal], rules: Rules) -> list[str]:
    """Every rule that the proposals break, each in its own words; of none, nothing."""
    if not proposals:
        return ["There is nothing to change: the records are as the request wants them"]
    return [*_faults_of_cells(proposals, rules), *_faults_of_sets(proposals, rules)]


def needs_review(proposals: Sequence[Proposal], rules: Rules) -> bool:
    """Whether a person has to see them: a column of high risk, or more records than go unseen."""
    records = {(each.table, each.key) for each in proposals}
    risky = any(rules.tables[each.table].change[each.column].risk == "high" for each in proposals)
    return risky or len(records) > rules.low_risk_rows


def _faults_of_sets(proposals: Sequence[Proposal], rules: Rules) -> Iterator[str]:
    cells = Counter((each.table, each.key, each.column) for each in proposals)
    for (table, key, column), times in cells.items():
        if times > 1:
            yield f"{table}.{column} of record {key} is to change in {times} ways"
    for table, records in Counter(
        table for table, _ in {(e.table, e.key) for e in proposals}
    ).items():
        rule = rules.tables.get(table)
        if rule and records > rule.max_rows:
            yield f"{records} records of {table} are to change, and {rule.max_rows} may"


def _faults_of_cells(proposals: Sequence[Proposal], rules: Rules) -> Iterator[str]:
    for each in proposals:
        table = rules.tables.get(each.table)
        if table is None:
            yield f"The table {each.table} may not be changed"
        elif each.column not in table.change:
            yield f"The column {each.table}.{each.column} may not be changed"
        else:
            for fault in _faults_of_value(each, table.change[each.column]):
                yield f"{each.cell} {fault}"


def _faults_of_value(each: Proposal, rule: ColumnRule) -> Iterator[str]:
    if each.old == each.new:
        yield "has this value already"
    if each.new is None:
        if rule.required:
            yield "may not be empty"
        return
    if rule.one_of is not None and each.new not in rule.one_of:
        yield f"may only be one of {', '.join(rule.one_of)}"
    if rule.pattern is not None and not re.fullmatch(rule.pattern, each.new):
        yield "does not have the form that it has to have"
    if (rule.min, rule.max, rule.max_change) != (None, None, None):
        yield from _faults_of_number(each, rule)


def _faults_of_number(each: Proposal, rule: ColumnRule) -> Iterator[str]:
    new, old = _number(each.new), _number(each.old or "0")
    if new is None or old is None:
        yield "has to be a number"
        return
    if rule.min is not None and new < Decimal(str(rule.min)):
        yield f"may not be less than {rule.min:g}"
    if rule.max is not None and new > Decimal(str(rule.max)):
        yield f"may not be more than {rule.max:g}"
    if rule.max_change is not None and abs(new - old) > Decimal(str(rule.max_change)):
        yield f"may not change by more than {rule.max_change:g}"


def _number(written: str | None) -> Decimal | None:
    try:
        number = Decimal(written or "")
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
