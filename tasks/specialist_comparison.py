"""Champion against challenger: on texts that neither has learned from, with intervals.

Texts that came in because the champion was unsure of them, or wrong, and people were asked, say
nothing of how often it is right: they are left out.
"""

from typing import TYPE_CHECKING

import numpy as np
from prefect import task
from pydantic import BaseModel, ConfigDict, Field

from infra.errors import AssetError, InputError
from tasks.calibration import coverage_at
from tasks.labelled_texts import Example
from tasks.people_labels import is_from_people
from tasks.runs import RETRIED
from tasks.specialist_serving import answers, served, whole
from tasks.specialists import Specialist, read_examples, read_specialist
from tasks.steps import once
from tasks.thresholds import interval

if TYPE_CHECKING:
    from tasks.calibration import Bools, Floats

FEWEST = 20  # texts that two are compared on: of fewer, no difference says anything
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
    """One of the two on the common texts: accuracy with its 95 % interval; its target, and
    coverage, the share of its surest answers that is right as often as that; what its threshold
    lets through, and how often that is right."""

    model_config = ConfigDict(frozen=True)

    specialist: int
    accuracy: float
    interval: tuple[float, float]
    target: float
    coverage_at_target: float
    acted_on: float
    acted_on_accuracy: float | None


class Comparison(BaseModel):
    """Two specialists on ``texts`` that neither has learned from. ``difference``: of the accuracy,
    the challenger's less the champion's, with the 95 % interval of a paired bootstrap (Efron &
    Tibshirani 1993). Left out are ``known`` texts, which the champion has learned from, and
    ``asked`` ones, which came in because people were asked about what it does not know. Without a
    champion the challenger is held against the commonest label. ``replaces``: who serves;
    ``damage``: a word on why it is not the one that is compared with."""

    model_config = ConfigDict(frozen=True)

    name: str
    texts: int
    known: int
    asked: int
    challenger: Measured
    champion: Measured | None
    commonest: float
    difference: float
    difference_interval: tuple[float, float]
    replaces: int | None
    damage: str = ""

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
    numbers = await served(challenger.name)
    holder, damage = await whole([request.against] if request.against else numbers)
    if request.against and damage:
        raise AssetError(f"{damage} Compare with another.")
    serve = [] if request.against else numbers[:1]
    if challenger.id in (*serve, holder and holder.id):
        raise InputError(f"Specialist {challenger.id} serves already.")
    tested = [each for each in read_examples(challenger)["test"] if not each.outside]
    parts = read_examples(holder) if holder else {}
    learned = {e.key for part, items in parts.items() if part != "test" for e in items}
    new = [each for each in tested if each.key not in learned]
    seen = {each.key for items in parts.values() for each in items}
    common = [e for e in new if not holder or e.key in seen or not is_from_people(e)]
    if holder and len(common) < FEWEST:
        raise InputError(
            f"There are {len(common)} texts on which specialists {challenger.id} and {holder.id} "
            f"can be compared: that neither has learned from, and that people were not asked about "
            f"for want of sureness. {FEWEST} are the fewest. Train it on more labelled texts."
        )
    right = await _right(challenger, common)
    before = await _right(holder, common) if holder else _commonest(common)
    difference = right[0].astype(float) - before[0]
    return Comparison(
        name=challenger.name,
        texts=len(common),
        known=len(tested) - len(new),
        asked=len(new) - len(common),
        challenger=_measured(challenger, *right),
        champion=_measured(holder, *before) if holder else None,
        commonest=float(_commonest(common)[0].mean()),
        difference=float(difference.mean()),
        difference_interval=_bootstrapped(difference),
        replaces=next(iter(numbers), None),
        damage=damage,
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


def require_champion(found: Comparison) -> None:
    """Raise InputError where the challenger was held against another than who serves."""
    against = found.champion.specialist if found.champion else None
    if against != found.replaces and not found.damage:
        raise InputError(
            f"Specialist {found.challenger.specialist} was held against {against}, and "
            f"{found.replaces or 'nobody'} serves. Compare it with who serves."
        )


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
    acted = specialist.card.threshold.lets_through(sure)
    return Measured(
        specialist=specialist.id,
        accuracy=float(right.mean()),
        interval=(1 - high, 1 - low),
        target=specialist.card.target,
        coverage_at_target=coverage_at(sure, right, specialist.card.target),
        acted_on=float(acted.mean()),
        acted_on_accuracy=float(right[acted].mean()) if acted.any() else None,
    )


def _bootstrapped(differences: "Floats") -> tuple[float, float]:
    drawn = np.random.default_rng(0).integers(len(differences), size=(_RESAMPLES, len(differences)))
    low, high = np.quantile(differences[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)
