import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ranking_metrics import ndcg_at, recall_at, reciprocal_rank_at

RANKING = ["a", "b", "c", "d"]


def test_gain_is_discounted_by_the_logarithm_of_the_rank() -> None:
    best = 1 + 1 / math.log2(3)
    assert ndcg_at(10, RANKING, {"a": 1, "c": 1}) == pytest.approx((1 + 0.5) / best)
    assert ndcg_at(10, RANKING, {"b": 2}) == pytest.approx(1 / math.log2(3))
    assert ndcg_at(1, RANKING, {"b": 1}) == 0


def test_recall_is_the_share_that_is_found() -> None:
    assert recall_at(2, RANKING, ["a", "c", "z"]) == pytest.approx(1 / 3)
    assert recall_at(10, RANKING, []) == 0


def test_the_reciprocal_rank_is_that_of_the_first_that_is_relevant() -> None:
    assert reciprocal_rank_at(10, RANKING, {"c", "d"}) == pytest.approx(1 / 3)
    assert reciprocal_rank_at(2, RANKING, {"c"}) == 0


@given(st.permutations("abcdefgh"), st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0.1, 3)))
def test_every_metric_is_between_nothing_and_all(
    ranking: list[str], relevance: dict[str, float]
) -> None:
    best = sorted(relevance, key=lambda each: -relevance[each])
    for found in (ndcg_at(10, ranking, relevance), recall_at(3, ranking, relevance)):
        assert 0 <= found <= 1 + 1e-9
    assert ndcg_at(10, best, relevance) == pytest.approx(1 if relevance else 0)
