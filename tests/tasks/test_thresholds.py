"""The threshold of the semantic cache: learned, and bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from tasks.thresholds import interval, judge, learn

SEEN = st.lists(st.tuples(st.none() | st.floats(0, 1), st.booleans()), max_size=300)


@pytest.mark.parametrize(("wrong", "of"), [(0, 10), (3, 1000), (10, 10), (0, 368), (5, 7)])
def test_the_interval_is_that_of_clopper_and_pearson(wrong: int, of: int) -> None:
    exact = binomtest(wrong, of).proportion_ci(0.95, method="exact")
    assert interval(wrong, of) == pytest.approx((exact.low, exact.high))


def test_of_nothing_anything_is_possible() -> None:
    assert interval(0, 0) == (0.0, 1.0)


def test_without_enough_observations_nothing_is_certified() -> None:
    assert learn([0.99] * 367, [True] * 367, 0.01).threshold is None
    assert learn([0.99] * 368, [True] * 368, 0.01).threshold is not None


def test_a_few_hits_certify_nothing_whatever_the_number_of_requests() -> None:
    assert learn([0.1] * 900 + [0.9] * 19, [True] * 919, 0.01).threshold is None
    assert learn([0.1] * 900 + [0.9] * 20, [True] * 920, 0.01).threshold is not None


def test_the_threshold_is_the_lowest_that_keeps_the_bound() -> None:
    similar = [0.9] * 500 + [0.7] * 500
    right = [True] * 500 + [False] * 500
    learned = learn(similar, right, 0.01)
    assert learned.threshold is not None
    assert 0.7 < learned.threshold <= 0.9
    assert (learned.hits, learned.wrong_hits) == (500, 0)


def test_a_request_that_nothing_could_answer_is_never_hit() -> None:
    learned = learn([None] * 500 + [0.9] * 500, [True] * 1000, 0.01)
    assert learned.hits == 500
    assert judge([None], [False], learned.threshold).wrong_hits == 0


def test_similarities_that_rounding_made_more_than_one_are_hits() -> None:
    assert judge([1.0003], [True], 1.0).hits == 1


@given(SEEN, st.floats(0.001, 0.5))
def test_what_is_certified_keeps_its_bound_where_it_was_learned(
    seen: list[tuple[float | None, bool]], bound: float
) -> None:
    learned = learn([s for s, _ in seen], [r for _, r in seen], bound)
    if learned.threshold is None:
        assert learned.hits == 0
    else:
        assert learned.interval[1] <= bound
        assert learned == judge([s for s, _ in seen], [r for _, r in seen], learned.threshold)


@given(SEEN, st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_a_wider_bound_hits_no_less(
    seen: list[tuple[float | None, bool]], one: float, other: float
) -> None:
    narrow, wide = (
        learn([s for s, _ in seen], [r for _, r in seen], b) for b in sorted((one, other))
    )
    assert narrow.hits <= wide.hits
