"""How good a classifier is, on texts that it has not learned from."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from tasks.calibration import (
    Threshold,
    auroc,
    calibration_error,
    confidences,
    coverage_at,
)
from tasks.thresholds import interval

if TYPE_CHECKING:
    from tasks.calibration import Floats, Ints, Logits


class Figures(BaseModel):
    """Of ``texts`` tested: accuracy with its 95 % interval; coverage, the share of the surest that
    is right as often as the target asks; expected calibration error before and after calibration;
    how well the confidence tells texts outside from inside (None without some outside); what the
    threshold lets through, and how often that is right."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    texts: int
    accuracy: float
    interval: tuple[float, float]
    coverage_at_target: float
    ece_before: float
    ece: float
    outside: int
    outside_auroc: float | None
    acted_on: float
    acted_on_accuracy: float | None
    outside_acted_on: float | None


def figures(
    logits: "Logits",
    sure: "Floats",
    truth: "Ints",
    beyond: "Floats",
    threshold: Threshold,
    target: float,
) -> Figures:
    """The figures of logits (n, classes) and confidences against the truth (n), and of confidences
    in texts outside."""
    right = logits.argmax(axis=1) == truth
    wrong = interval(int((~right).sum()), len(right))
    acted = threshold.lets_through(sure)
    return Figures(
        texts=len(right),
        accuracy=float(right.mean()),
        interval=(1 - wrong[1], 1 - wrong[0]),
        coverage_at_target=coverage_at(sure, right, target),
        ece_before=calibration_error(confidences(logits, 1.0), right),
        ece=calibration_error(sure, right),
        outside=len(beyond),
        outside_auroc=auroc(sure, beyond),
        acted_on=float(acted.mean()),
        acted_on_accuracy=float(right[acted].mean()) if acted.any() else None,
        outside_acted_on=float(threshold.lets_through(beyond).mean()) if len(beyond) else None,
    )
