"""What patterns took for the same questions, by the ledger, and how good they were, by code."""

from collections.abc import Sequence

import numpy as np
from prefect import task
from pydantic import BaseModel, ConfigDict

from infra.errors import WorkIncomplete
from tasks.costs import NOTHING, Cost, costs_of_runs
from tasks.pattern_questions import Pattern, PatternQuestion, PatternsRequest
from tasks.pattern_tries import Tried
from tasks.runs import RETRIED
from tasks.specialist_serving import champion, served_names


class PatternFigures(BaseModel):
    """A pattern on all questions, with the cache (each asked a second time) or without. ``right``:
    of ``checked`` answers; ``verbatim``: of ``quotes``; ``cost``: of all its calls, from the
    ledger; ``p50_s``, ``p95_s``: seconds until an answer was there, None without any."""

    model_config = ConfigDict(frozen=True)

    pattern: Pattern
    cache: bool
    answers: int
    failed: int
    checked: int
    right: int
    quotes: int
    verbatim: int
    cost: Cost
    p50_s: float | None
    p95_s: float | None


class PatternsCompared(BaseModel):
    """Patterns on the same questions. ``not_run``: why a pattern was not, by its name."""

    model_config = ConfigDict(frozen=True)

    questions: int
    rows: tuple[PatternFigures, ...]
    not_run: dict[Pattern, str]
    tries: tuple[Tried, ...]

    @property
    def failed(self) -> list[Tried]:
        """Those that have no answer."""
        return [each for each in self.tries if each.failed]


@task(name="choose patterns", **RETRIED)
async def chosen_patterns(
    request: PatternsRequest, questions: Sequence[PatternQuestion]
) -> tuple[dict[Pattern, str], str | None]:
    """Why a pattern is not run, by its name, and whose specialist labels the questions."""
    specialist = request.specialist or await _labels_them(questions)
    why: dict[Pattern, str] = {}
    if request.collection is None:
        why["rag"] = "no collection was named (--collection)"
    if specialist is None:
        why["specialist"] = (
            "no specialist that serves has the labels that are expected (--specialist names one)"
        )
    return {each: why[each] for each in request.patterns if each in why}, specialist


@task(name="sum up patterns", **RETRIED)
async def summed_up(
    questions: Sequence[PatternQuestion], not_run: dict[Pattern, str], tries: Sequence[Tried]
) -> PatternsCompared:
    """What the tries come to, by pattern, without the cache and with it."""
    taken = await costs_of_runs({each.run: _label(each.pattern, each.again) for each in tries})
    kinds = dict.fromkeys((each.pattern, each.again) for each in tries)
    rows = (
        _figures(
            [each for each in tries if (each.pattern, each.again) == kind],
            taken.get(_label(*kind), NOTHING),
        )
        for kind in kinds
    )
    return PatternsCompared(
        questions=len(questions), rows=tuple(rows), not_run=not_run, tries=tuple(tries)
    )


def require_answers(compared: PatternsCompared) -> None:
    """Raise WorkIncomplete where a pattern has failed on a question."""
    if failed := compared.failed:
        named = "; ".join(
            f"{e.pattern} on {e.question}: {e.failed.rstrip('.')}" for e in failed[:5]
        )
        raise WorkIncomplete(
            f"{len(failed)} answer{'s are' if failed[1:] else ' is'} missing: {named}. The others "
            "are compared on the run's page; `patterns resume` asks those that are missing."
        )


async def _labels_them(questions: Sequence[PatternQuestion]) -> str | None:
    """The name whose specialist has all labels that are expected."""
    expected = {each.expect for each in questions}
    for name in await served_names():
        if (serving := await champion(name)) and expected <= {*serving.card.labels}:
            return name
    return None


def _label(pattern: Pattern, again: bool) -> str:
    return f"{pattern}, again" if again else pattern


def _figures(tries: Sequence[Tried], taken: Cost) -> PatternFigures:
    answered = [each for each in tries if not each.failed]
    times = [each.seconds for each in answered]
    return PatternFigures(
        pattern=tries[0].pattern,
        cache=tries[0].again,
        answers=len(answered),
        failed=len(tries) - len(answered),
        checked=sum(each.right is not None for each in answered),
        right=sum(bool(each.right) for each in answered),
        quotes=sum(each.quotes for each in answered),
        verbatim=sum(each.verbatim for each in answered),
        cost=taken,
        p50_s=float(np.percentile(times, 50)) if times else None,
        p95_s=float(np.percentile(times, 95)) if times else None,
    )
