"""How good a ranking is, given what is relevant. Ranks count from 1, metrics are from 0 to 1."""

import math
from collections.abc import Collection, Mapping, Sequence


def ndcg_at(k: int, ranking: Sequence[str], relevance: Mapping[str, float]) -> float:
    """Normalized discounted cumulative gain (Järvelin & Kekäläinen 2002) of the first ``k``, with
    the relevance itself as the gain. 0 when nothing is relevant."""
    best = _gained(sorted(relevance.values(), reverse=True)[:k])
    return _gained([relevance.get(each, 0.0) for each in ranking[:k]]) / best if best else 0.0


def recall_at(k: int, ranking: Sequence[str], relevant: Collection[str]) -> float:
    """The share of what is relevant that is among the first ``k``. 0 when nothing is relevant."""
    return len({*relevant} & {*ranking[:k]}) / len({*relevant}) if relevant else 0.0


def reciprocal_rank_at(k: int, ranking: Sequence[str], relevant: Collection[str]) -> float:
    """One divided by the rank of the first that is relevant, 0 when none is among the first ``k``.
    The mean over queries is the MRR."""
    ranks = (rank for rank, each in enumerate(ranking[:k], 1) if each in relevant)
    return 1 / rank if (rank := next(ranks, None)) else 0.0


def _gained(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
