"""Changes as people read them: in the form of their review, and as an artifact."""

from collections.abc import Iterator, Sequence
from typing import Any

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.change_application import Change, Effect, read_change
from tasks.change_proposals import Proposal
from tasks.markdown import escaped, table


def change_markdown(proposals: Sequence[Proposal], effects: Sequence[Effect]) -> str:
    """Proposals, each value before and after, and what else a rehearsal has shown to change. Lines
    and no table: a form is narrow, and would show only what was before."""
    asked = {(each.table, each.key, each.column) for each in proposals}
    told = [
        f"- **{_place(each.table, each.key)}**, {_said(each.column)}: "
        f"{_value(each.old)} → **{_value(each.new)}** ({_said(each.reason) or 'no reason'})"
        for each in proposals
    ]
    others = [
        f"- {_place(effect.table, effect.key)}, {_said(column)}: {_value(before)} → {_value(after)}"
        for effect in effects
        for column, before, after in _changed(effect)
        if (effect.table, effect.key, column) not in asked
    ]
    if others:
        told += ["", "The database changes besides:", "", *others]
    return "\n".join(told)


def report_markdown(change: Change) -> str:
    """A change that was made, as Markdown."""
    rows = [
        (_place(c.table, c.key), _said(c.column), _value(c.before), _value(c.after))
        for c in change.cells
    ]
    by = f"review {change.review}" if change.review else "policy: low risk"
    return (
        f"Change {change.id}, asked for by {_said(change.requester) or 'nobody by name'}, approved "
        f"by {by}. `patterns undo {change.id}` takes it back.\n\n"
        + table(("Record", "Column", "Before", "After"), "llll", rows)
    )


@task(name="publish change", cache_policy=NO_CACHE, persist_result=False)
async def publish_change(number: int) -> None:
    """Leave what was changed on the run's page."""
    change = await read_change(number)
    await acreate_markdown_artifact(report_markdown(change), description=f"Change {number}")


def _changed(effect: Effect) -> Iterator[tuple[str, Any, Any]]:
    for column, after in effect.after.items():
        before = effect.before.get(column)
        if before != after:
            yield column, before, after


def _place(name: str, key: str) -> str:
    return f"{_said(name)} {_said(key)}"


def _value(value: Any) -> str:
    return "*empty*" if value is None else _said(str(value)) or "*no characters*"


def _said(text: str) -> str:
    return escaped(" ".join(text.split()))
