"""How sure a classifier is: one number between 0 and 1, learned from two signals.

How far the likeliest class is ahead of all others, after temperature scaling, and how near the text
is to those that the class was learned from: its Mahalanobis distance among the model's vectors (Lee
et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial
Attacks"). The first tells right from wrong among what is known, the second what is unlike anything
known. Logistic regression on held-back texts weighs them (Platt 1999), so the number is about the
share that is right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

from tasks.calibration import temperature

if TYPE_CHECKING:
    from tasks.calibration import Bools, Floats, Ints, Logits

_SHRINKAGE = 0.001  # of the covariance towards that of a ball: there may be fewer texts than axes
_RIDGE = 1.0  # on how far the weights leave what temperature scaling alone would say


@dataclass(frozen=True)
class Scope:
    """Where the texts of each class lie: means (classes, d), and the inverse of the covariance
    around them (d, d)."""

    means: "Floats"
    precision: "Floats"

    @classmethod
    def of(cls, vectors: "Logits", classes: Sequence[int]) -> Self:
        """That of vectors (n, d) and their classes 0, 1, …"""
        place = np.array(classes)
        means = np.stack([vectors[place == each].mean(axis=0) for each in range(place.max() + 1)])
        apart = (vectors - means[place]).astype(np.float64)
        covariance = apart.T @ apart / len(apart)
        ball = np.trace(covariance) / len(covariance) + np.finfo(float).tiny
        precision = np.linalg.inv(covariance + _SHRINKAGE * ball * np.eye(len(covariance)))
        return cls(means.astype(np.float64), precision)

    def distances(self, vectors: "Logits") -> "Floats":
        """How far each vector is from the nearest mean."""
        own = ((vectors @ self.precision) * vectors).sum(axis=1)[:, None]
        squares = own - 2 * vectors @ self._turned.T + (self._turned * self.means).sum(axis=1)
        found: Floats = np.sqrt(np.maximum(squares.min(axis=1), 1e-9))
        return found

    @cached_property
    def _turned(self) -> "Floats":
        """The means times the precision: the same for every text."""
        return self.means @ self.precision

    def save(self, file: Path) -> None:
        """Write it to a file."""
        np.savez(file, means=self.means, precision=self.precision)

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read it from a file that `save` has written."""
        with np.load(file) as kept:
            return cls(kept["means"], kept["precision"])


class Confidence(BaseModel):
    """What makes the number of logits and distances: a temperature, then the two signals, centred
    and of unit spread, with their weights, and a bias."""

    model_config = ConfigDict(frozen=True)

    temperature: float
    centre: tuple[float, float]
    spread: tuple[float, float]
    weights: tuple[float, float]
    bias: float

    def of(self, logits: "Logits", distances: "Floats") -> "Floats":
        """The confidence of each row's likeliest class."""
        known = (_signals(logits, distances, self.temperature) - self.centre) / self.spread
        found: Floats = expit(known @ np.array(self.weights) + self.bias)
        return found


def learned(
    logits: "Logits", distances: "Floats", truth: "Ints", beyond: "Logits", far: "Floats"
) -> Confidence:
    """What held-back texts teach: logits (n, classes), distances and classes (n) of those that have
    one, logits and distances of those beyond, of which no class is right."""
    heat = temperature(logits, truth)
    signals = _signals(np.concatenate([logits, beyond]), np.concatenate([distances, far]), heat)
    right = np.concatenate([logits.argmax(axis=1) == truth, np.zeros(len(beyond), dtype=bool)])
    centre, spread = signals.mean(axis=0), np.maximum(signals.std(axis=0), 1e-6)
    # What temperature scaling alone would say: the log-odds themselves.
    alone = np.array([spread[0], 0.0, centre[0]])
    weights, bias = _regressed((signals - centre) / spread, right, alone)
    return Confidence(
        temperature=heat,
        centre=(float(centre[0]), float(centre[1])),
        spread=(float(spread[0]), float(spread[1])),
        weights=weights,
        bias=bias,
    )


def _signals(logits: "Logits", distances: "Floats", heat: float) -> "Floats":
    """How far ahead the likeliest class is (log-odds), and how near (n, 2)."""
    scaled = np.sort(logits.astype(np.float64) / heat, axis=1)
    ahead = scaled[:, -1] - logsumexp(scaled[:, :-1], axis=1) if len(scaled) else np.empty(0)
    return np.stack([ahead, -np.log(distances)], axis=1)


def _regressed(
    signals: "Floats", right: "Bools", prior: "Floats"
) -> tuple[tuple[float, float], float]:
    """Weights, none of them negative, and bias of a logistic regression, near to a prior: few
    held-back texts teach little."""

    def loss(coefficients: "Floats") -> float:
        odds = signals @ coefficients[:2] + coefficients[2]
        unlikely = np.logaddexp(0, np.where(right, -odds, odds)).sum()
        return float(unlikely + _RIDGE * ((coefficients - prior) ** 2).sum() / 2)

    bounds = [(0, None), (0, None), (None, None)]
    ahead, near, bias = minimize(loss, prior, bounds=bounds).x
    return (float(ahead), float(near)), float(bias)
