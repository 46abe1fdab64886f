"""How sure a classifier is, from how far ahead a class is and how near the text is to it."""

from pathlib import Path

import numpy as np
import pytest

from tasks.calibration import auroc, calibration_error
from tasks.confidence import Scope, learned


def known(number: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, vectors and classes of texts around three means; the logits err now and then."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(3, size=number)
    vectors = (np.eye(8)[truth] * 6 + draw.normal(0, 1, (number, 8))).astype(np.float32)
    logits = (np.eye(3)[truth] * 3 + draw.normal(0, 1.5, (number, 3))).astype(np.float32)
    return logits, vectors, truth


def strange(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of texts that lie elsewhere, and yet are taken for a class surely."""
    draw = np.random.default_rng(seed)
    vectors = (np.eye(8)[[5] * number] * 6 + draw.normal(0, 1, (number, 8))).astype(np.float32)
    return known(number, seed)[0], vectors


def test_the_distance_is_that_to_the_nearest_mean_in_units_of_the_spread() -> None:
    draw = np.random.default_rng(0)
    classes = [0, 1] * 2000
    vectors = draw.normal(0, 1, (4000, 3)) * [1, 2, 4] + np.array([[0, 0, 0], [50, 0, 0]] * 2000)
    scope = Scope.of(vectors.astype(np.float32), classes)
    found = scope.distances(np.array([[0, 0, 8], [50, 4, 0], [2, 0, 0]], dtype=np.float32))
    assert found == pytest.approx([2, 2, 2], rel=0.1)


def test_a_scope_is_kept_in_a_file(tmp_path: Path) -> None:
    _, vectors, truth = known(50, 1)
    scope = Scope.of(vectors, truth.tolist())
    scope.save(tmp_path / "scope.npz")
    kept = Scope.load(tmp_path / "scope.npz")
    assert kept.distances(vectors).tolist() == scope.distances(vectors).tolist()


def test_fewer_texts_than_axes_are_enough() -> None:
    draw = np.random.default_rng(0)
    vectors = draw.normal(0, 1, (10, 64)).astype(np.float32)
    scope = Scope.of(vectors, [0, 1] * 5)
    assert np.isfinite(scope.distances(vectors)).all()


def test_the_confidence_is_about_the_share_that_is_right() -> None:
    _, vectors, truth = known(2000, 0)
    scope = Scope.of(vectors, truth.tolist())
    logits, near, classes = known(2000, 1)
    none, nowhere = np.empty((0, 3), dtype=np.float32), np.empty(0)
    confidence = learned(logits, scope.distances(near), classes, none, nowhere)
    logits, near, classes = known(4000, 2)
    sure = confidence.of(logits, scope.distances(near))
    assert calibration_error(sure, logits.argmax(axis=1) == classes) < 0.03


def test_what_lies_elsewhere_is_told_by_its_distance_once_some_of_it_was_seen() -> None:
    _, vectors, truth = known(2000, 0)
    scope = Scope.of(vectors, truth.tolist())
    logits, near, classes = known(500, 1)
    beyond, far = strange(100, 2)
    taught = learned(logits, scope.distances(near), classes, beyond, scope.distances(far))
    logits, near, _ = known(1000, 3)
    beyond, far = strange(1000, 4)
    inside = taught.of(logits, scope.distances(near))
    outside = taught.of(beyond, scope.distances(far))
    assert auroc(inside, outside) > 0.95  # type: ignore[operator]


def test_held_back_texts_that_are_all_right_make_nothing_certain() -> None:
    logits, vectors, truth = known(30, 5)
    logits[np.arange(30), truth] += 20
    scope = Scope.of(vectors, truth.tolist())
    none, nowhere = np.empty((0, 3), dtype=np.float32), np.empty(0)
    confidence = learned(logits, scope.distances(vectors), truth, none, nowhere)
    sure = confidence.of(logits, scope.distances(vectors))
    assert np.isfinite(sure).all()
    assert len(np.unique(sure)) == 30  # still in an order
