"""How far a mix of labels is from another."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.label_drift import chance, stability

MIXES = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 500), min_size=1).map(Counter)


def test_the_index_of_two_mixes_is_what_the_literature_says() -> None:
    then, now = Counter(a=50, b=50), Counter(a=70, b=30)
    # 0.2 · ln(0.7 / 0.5) − 0.2 · ln(0.3 / 0.5)
    assert stability(then, now) == pytest.approx(0.1695, abs=1e-4)


def test_few_texts_of_the_same_mix_are_seldom_told_to_be_of_another() -> None:
    draw = np.random.default_rng(0)
    trained = Counter(dict.fromkeys("abcdefgh", 100))
    for texts in (8, 40, 400):
        draws = [Counter(draw.choice(list("abcdefgh"), texts).tolist()) for _ in range(300)]
        told = [stability(trained, each) > chance(trained, each) for each in draws]
        assert np.mean(told) < 0.05
    moved = Counter(draw.choice(list("ab"), 60).tolist())
    assert stability(trained, moved) > chance(trained, moved)


@given(MIXES, MIXES)
def test_it_is_nothing_for_the_same_mix_and_never_less(
    one: Counter[str], other: Counter[str]
) -> None:
    assert stability(one, one) == pytest.approx(0)
    assert stability(one, other) >= -1e-12
    assert stability(one, other) == pytest.approx(stability(other, one))
    tenfold = Counter({label: 10 * count for label, count in one.items()})
    assert stability(one, tenfold) == pytest.approx(0)
