"""Confidences that mean what they say, thresholds that keep what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.calibration import (
    NEVER,
    accuracy_by_coverage,
    auroc,
    calibration_error,
    certified_threshold,
    confidences,
    coverage_at,
    reliability,
    temperature,
)


def drawn(number: int, seed: int, heat: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax says how likely each class is, and classes drawn so; ``heat``: how much
    too sure they are."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 4, (number, 6))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.array([draw.choice(6, p=p) for p in chances])
    return (logits * heat).astype(np.float32), truth


@pytest.mark.parametrize("heat", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_how_sure_a_model_is_too_much(heat: float) -> None:
    logits, truth = drawn(4000, 1, heat)
    found = temperature(logits, truth)
    assert found == pytest.approx(heat, rel=0.1)
    right = logits.argmax(axis=1) == truth
    after = calibration_error(confidences(logits, found), right)
    assert after < 0.03
    if heat != 1.0:
        assert after < calibration_error(confidences(logits, 1.0), right) / 2


def test_the_calibration_error_is_the_distance_of_confidence_and_accuracy() -> None:
    confidence = np.array([0.9] * 10 + [0.1] * 10)
    right = np.array([True] * 9 + [False] + [True] * 10)
    assert calibration_error(confidence, right) == pytest.approx((0.0 + 0.9) / 2)
    assert reliability(confidence, right) == [
        (pytest.approx(0.1), 1.0, 10),
        (pytest.approx(0.9), 0.9, 10),
    ]


def test_a_certified_threshold_keeps_its_promise_on_other_texts() -> None:
    broken = 0
    for seed in range(40):
        logits, truth = drawn(1000, seed)
        right, sure = logits.argmax(axis=1) == truth, confidences(logits, 1.0)
        found = certified_threshold(sure, right, 0.9)
        assert found.coverage > 0.2
        more, others = drawn(20_000, seed + 1000)
        acted = found.lets_through(confidences(more, 1.0))
        broken += (more.argmax(axis=1) == others)[acted].mean() < 0.9
    assert broken <= 4  # at most one in twenty is expected


def test_without_enough_right_answers_nothing_is_certified() -> None:
    sure = np.linspace(0, 1, 30)
    for right in (np.ones(30, dtype=bool), np.zeros(30, dtype=bool)):
        found = certified_threshold(sure, right, 0.98)
        assert (found.value, found.coverage, found.certified) == (NEVER, 0.0, None)


def test_a_threshold_is_the_first_confidence_that_is_not_acted_upon() -> None:
    sure = np.linspace(0.001, 1.0, 1000)
    right = sure > 0.4
    found = certified_threshold(sure, right, 0.98)
    left = sure[~found.lets_through(sure)]
    assert found.value == left.max()
    assert sure[found.lets_through(sure)].min() > found.value
    assert found.coverage == pytest.approx(0.6)
    everything = certified_threshold(sure, np.ones(1000, dtype=bool), 0.98)
    assert (everything.value, everything.coverage) == (0.0, 1.0)
    alike = certified_threshold(np.full(1000, 0.7), np.ones(1000, dtype=bool), 0.98)
    assert alike.lets_through(np.array([0.7, 0.0])).tolist() == [True, False]


def test_no_confidence_is_above_a_threshold_that_nothing_is_certified_for() -> None:
    found = certified_threshold(np.ones(9), np.zeros(9, dtype=bool), 0.98)
    assert found.value == NEVER
    assert not found.lets_through(np.array([1.0, 0.999])).any()


@given(st.integers(0, 10_000), st.floats(0.5, 0.99))
def test_whatever_is_certified_was_reached_where_it_was_learned(seed: int, target: float) -> None:
    logits, truth = drawn(300, seed)
    right, sure = logits.argmax(axis=1) == truth, confidences(logits, 1.0)
    found = certified_threshold(sure, right, target)
    if found.accuracy is not None:
        assert found.accuracy >= target
        assert found.certified is not None
        assert found.accuracy >= found.certified >= target
        assert found.lets_through(sure).mean() == pytest.approx(found.coverage)


def test_coverage_is_the_share_of_the_surest_that_are_right_often_enough() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    right = np.array([True, True, False, True])
    coverage, accuracy = accuracy_by_coverage(confidence, right)
    assert (coverage.tolist(), accuracy.tolist()) == ([0.25, 0.5, 0.75, 1], [1, 1, 2 / 3, 0.75])
    assert coverage_at(confidence, right, 0.75) == 1.0
    assert coverage_at(confidence, right, 0.98) == 0.5
    assert coverage_at(confidence, ~right, 0.98) == 0.0


def test_the_auroc_is_the_chance_that_inside_scores_higher() -> None:
    assert auroc(np.array([0.9, 0.8]), np.array([0.1, 0.2])) == 1.0
    assert auroc(np.array([0.9, 0.1]), np.array([0.5])) == 0.5
    assert auroc(np.array([0.5]), np.array([0.5])) == 0.5
    assert auroc(np.array([0.5]), np.array([])) is None
