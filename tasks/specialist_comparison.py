"""Champion against challenger: on texts that neither has learned from, with intervals."""

from typing import TYPE_CHECKING

import numpy as np
from prefect import task
from pydantic import BaseModel, ConfigDict, Field

from infra.errors import InputError
from tasks.calibration import coverage_at
from tasks.labelled_texts import Example
from tasks.runs import RETRIED
from tasks.specialist_serving import answers, champion
from tasks.specialists import Specialist, read_examples, read_specialist
from tasks.steps import once
from tasks.thresholds import interval

if TYPE_CHECKING:
    from tasks.calibration import Bools, Floats

_RESAMPLES = 2000  # of the pairs, for the interval of their difference


class ComparisonRequest(BaseModel):
    """A specialist to compare, and with whom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    specialist: int = Field(
        ge=1,
        description="Number of the challenger; `patterns specialist list` has them.",
        json_schema_extra={"position": 0},
    )
    against: int | None = Field(
        None,
        ge=1,
        description="Number of the one that it is held against. Empty: the one that serves.",
        json_schema_extra={"position": 1},
    )
    requester: str = Field(
        "",
        description="Who asks for it: somebody else has to approve a promotion.",
        json_schema_extra={"position": 2},
    )


class Measured(BaseModel):
    """One of the two on the common texts: accuracy with its 95 % interval, and coverage, the share
    of its surest answers that is right as often as its target asks."""

    model_config = ConfigDict(frozen=True)

    specialist: int
    accuracy: float
    interval: tuple[float, float]
    coverage_at_target: float


class Comparison(BaseModel):
    """Two specialists on ``texts`` that neither has learned from. ``difference``: of the accuracy,
    the challenger's less the champion's, with the 95 % interval of a paired bootstrap (Efron &
    Tibshirani 1993); ``known``: texts left out because the champion has learned from them. Without
    a champion the challenger is held against the commonest label."""

    model_config = ConfigDict(frozen=True)

    name: str
    texts: int
    known: int
    challenger: Measured
    champion: Measured | None
    commonest: float
    difference: float
    difference_interval: tuple[float, float]

    @property
    def is_better(self) -> bool:
        """Whether the challenger is right more often."""
        return self.difference > 0


@task(name="compare specialists", **RETRIED)
async def compared(request: ComparisonRequest) -> Comparison:
    """A specialist against another, or the one that serves, on the challenger's tested texts; once
    for a run.

    Raises InputError where there is nothing to compare, AssetError as `tasks.specialists` does.
    """
    return await once("comparison", lambda: compare(request), Comparison)


async def compare(request: ComparisonRequest) -> Comparison:
    """`compared` as it is now."""
    challenger = await read_specialist(request.specialist)
    holder = (
        await read_specialist(request.against)
        if request.against
        else await champion(challenger.name)
    )
    if holder and holder.id == challenger.id:
        raise InputError(f"Specialist {challenger.id} serves already.")
    tested = [each for each in read_examples(challenger)["test"] if not each.outside]
    learned = _learned(holder) if holder else set()
    common = [each for each in tested if each.key not in learned]
    if not common:
        raise InputError(
            f"Specialists {challenger.id} and {request.against} have no text that neither has "
            "learned from."
        )
    right = await _right(challenger, common)
    before = await _right(holder, common) if holder else _commonest(common)
    difference = right[0].astype(float) - before[0]
    return Comparison(
        name=challenger.name,
        texts=len(common),
        known=len(tested) - len(common),
        challenger=_measured(challenger, *right),
        champion=_measured(holder, *before) if holder else None,
        commonest=float(_commonest(common)[0].mean()),
        difference=float(difference.mean()),
        difference_interval=_bootstrapped(difference),
    )


def require_better(found: Comparison) -> None:
    """Raise InputError where the challenger is not right more often."""
    if not found.is_better:
        other = f"specialist {found.champion.specialist}" if found.champion else "the commonest one"
        raise InputError(
            f"Specialist {found.challenger.specialist} is right on {found.challenger.accuracy:.1%} "
            f"of {found.texts} texts, {other} on "
            f"{found.challenger.accuracy - found.difference:.1%}: it is not better, and does not "
            "serve. Give it more labels, or train it longer."
        )


def _learned(specialist: Specialist) -> set[str]:
    parts = read_examples(specialist)
    return {each.key for part, items in parts.items() if part != "test" for each in items}


async def _right(specialist: Specialist, examples: list[Example]) -> tuple["Bools", "Floats"]:
    """Which answers are right, and how sure each is. A label that it does not know is wrong."""
    logits, sure = await answers(specialist, [each.text for each in examples])
    labels = np.array(specialist.card.labels)[logits.argmax(axis=1)]
    right = labels == np.array([each.label for each in examples])
    return right, sure


def _commonest(examples: list[Example]) -> tuple["Bools", "Floats"]:
    labels, counts = np.unique([each.label for each in examples], return_counts=True)
    right = np.array([each.label for each in examples]) == labels[counts.argmax()]
    return right, np.ones(len(examples))


def _measured(specialist: Specialist, right: "Bools", sure: "Floats") -> Measured:
    low, high = interval(int((~right).sum()), len(right))
    return Measured(
        specialist=specialist.id,
        accuracy=float(right.mean()),
        interval=(1 - high, 1 - low),
        coverage_at_target=coverage_at(sure, right, specialist.card.target),
    )


def _bootstrapped(differences: "Floats") -> tuple[float, float]:
    drawn = np.random.default_rng(0).integers(len(differences), size=(_RESAMPLES, len(differences)))
    low, high = np.quantile(differences[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)
