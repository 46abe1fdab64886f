"""How sure is sure: probabilities that mean what they say, and how few of them to act upon.

Temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks") divides logits by
one number, so that of the answers given with 0.8, eight in ten are right. A threshold on the
confidence is one at which the accuracy of what is above it is certified (Geifman & El-Yaniv 2017,
"Selective Classification for Deep Neural Networks"): the lower end of its one-sided 95 %
Clopper-Pearson interval is no less than the target. Coverages are fixed beforehand and tried from
half upwards until one is not certified (fixed-sequence testing; Bauer 1991), so that trying several
costs no certainty.
"""

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import beta

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Logits = NDArray[np.float32]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

RISK = 0.05  # that a certified accuracy is not reached
NEVER = 1.0  # a threshold that no confidence is above
# Coverages that are tried one after the other until one fails, each row with its share of the risk:
# the second is for models that are not good enough for the first.
_SEQUENCES = ((np.linspace(0.5, 1.0, 21), 0.6), (np.linspace(0.15, 0.475, 14), 0.4))
_BINS = 15  # of confidences, as the literature counts the calibration error


class Threshold(BaseModel):
    """A confidence above which answers are acted upon, and what it does on held-back data.

    ``value``: the first confidence that is not acted upon, so that those above it are a sample of
    all that ever will be; 1 where no threshold is certified, and nothing is acted upon.
    ``accuracy``: of what is, None of nothing; ``certified``: the accuracy that it is at least, at
    95 %.
    """

    model_config = ConfigDict(frozen=True)

    value: float
    coverage: float
    accuracy: float | None
    certified: float | None

    def lets_through(self, confidence: "Floats") -> "Bools":
        """Which confidences are acted upon."""
        acted: Bools = confidence > self.value
        return acted


def temperature(logits: "Logits", truth: "Ints") -> float:
    """The number that logits (n, classes) are divided by, so that their likelihood is greatest;
    near to 1 where there are few of them, or all are right, which no number would be too small for.
    """
    rows = np.arange(len(truth))

    def loss(log_t: float) -> float:
        unlikely = -log_softmax(logits / np.exp(log_t), axis=1)[rows, truth].sum()
        return float(unlikely + log_t**2)

    found = minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded")
    return float(np.exp(found.x))


def confidences(logits: "Logits", temperature: float) -> "Floats":
    """The probability of each row's likeliest class."""
    probabilities: Floats = softmax(logits / temperature, axis=1).max(axis=1)
    return probabilities


def calibration_error(confidence: "Floats", right: "Bools") -> float:
    """Expected calibration error: the mean distance of confidence and accuracy, over 15 bins of
    equal width, each as heavy as it is full."""
    total = 0.0
    for bin_ in reliability(confidence, right):
        total += bin_[2] * abs(bin_[0] - bin_[1])
    return total / max(1, len(right))


def reliability(confidence: "Floats", right: "Bools") -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and number of the answers in each bin that has any."""
    place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    return [
        (float(confidence[here].mean()), float(right[here].mean()), int(here.sum()))
        for each in range(_BINS)
        if (here := place == each).any()
    ]


def certified_threshold(confidence: "Floats", right: "Bools", target: float) -> Threshold:
    """The lowest threshold that is found with which the accuracy is certified to reach the target:
    from half of the answers upwards as far as each is certified, else from a seventh."""
    for coverages, share in _SEQUENCES:
        best: Threshold | None = None
        for coverage in coverages[_can_be(coverages, len(right), target, share * RISK)]:
            found = _certified(confidence, right, target, coverage, share * RISK)
            if not found:
                break
            best = found
        if best:
            return best
    return Threshold(value=NEVER, coverage=0.0, accuracy=None, certified=None)


def _can_be(coverages: "Floats", of: int, target: float, risk: float) -> "Bools":
    """Which coverages can be certified at all: with so few texts some could not, were all right."""
    found: Bools = risk ** (1 / np.maximum(1, np.round(coverages * of))) >= target
    return found


def _certified(
    confidence: "Floats", right: "Bools", target: float, coverage: float, risk: float
) -> Threshold | None:
    """The threshold of that coverage, where its accuracy is certified at that risk."""
    kept = max(1, round(coverage * len(right)))
    below = confidence[confidence < np.sort(confidence)[-kept]]
    value = float(below.max()) if len(below) else 0.0
    above = confidence > value
    number, correct = int(above.sum()), int(right[above].sum())
    low = float(beta.ppf(risk, correct, number - correct + 1)) if correct else 0.0
    if low < target:
        return None
    share = number / len(right)
    return Threshold(value=value, coverage=share, accuracy=correct / number, certified=low)


def accuracy_by_coverage(confidence: "Floats", right: "Bools") -> tuple["Floats", "Floats"]:
    """Shares of the answers, the surest first, and the accuracy of so many."""
    order = np.argsort(-confidence, kind="stable")
    number = np.arange(1, len(right) + 1)
    return number / len(right), np.cumsum(right[order]) / number


def coverage_at(confidence: "Floats", right: "Bools", target: float) -> float:
    """The largest share of answers, the surest, of which the target is right; 0 where none is."""
    coverage, accuracy = accuracy_by_coverage(confidence, right)
    enough = coverage[accuracy >= target]
    return float(enough.max()) if len(enough) else 0.0


def auroc(inside: "Floats", outside: "Floats") -> float | None:
    """How well a score tells inside (greater) from outside: the probability that it does for one
    of each. None without one of each."""
    if not len(inside) or not len(outside):
        return None
    ordered = np.sort(outside)
    below = np.searchsorted(ordered, inside, "left") + np.searchsorted(ordered, inside, "right")
    return float(below.mean() / (2 * len(outside)))
