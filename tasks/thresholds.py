"""How similar is similar enough: a threshold that is learned, with a bound on the wrong answers.

Each observation is a request, the similarity of the stored question that it would have been
answered with, and whether that answer would have been right. The threshold is the lowest at which
the share of *requests* that get a wrong answer is certified to stay under the bound: the upper end
of its 95 % Clopper-Pearson interval (Clopper & Pearson 1934, Biometrika 26) is under it. Thresholds
are tried from the highest downwards on a fixed grid until one is not certified, so that trying many
costs no certainty (fixed-sequence testing; Bauer 1991). Without one that is certified there are no
semantic hits. That a threshold is learned for each use and its errors bounded is the idea of vCache
(Schroeder et al. 2025, "vCache: Verified Semantic Prompt Caching").
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CONFIDENCE = 0.95
_FEWEST = 20  # hits that were seen at a threshold: of fewer, their share says nothing
_LOWEST, _STEPS = 0.5, 200  # of the grid, which is finer near 1


class Certified(BaseModel):
    """What a threshold does on the observations that it was learned on, or is tested on.

    ``threshold``: None when none is certified. ``wrong_share``: of requests, with its interval.
    """

    model_config = ConfigDict(frozen=True)

    threshold: float | None
    requests: int
    hits: int
    wrong_hits: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share of requests that get a wrong answer."""
        return interval(self.wrong_hits, self.requests)

    @property
    def hit_rate(self) -> float:
        """Hits as a share of requests."""
        return self.hits / self.requests if self.requests else 0.0

    @property
    def wrong_share(self) -> float:
        """Wrong hits as a share of requests."""
        return self.wrong_hits / self.requests if self.requests else 0.0


def interval(wrong: int, of: int) -> tuple[float, float]:
    """The 95 % Clopper-Pearson interval of a share; (0, 1) of nothing."""
    from scipy.special import betaincinv  # the quantiles of beta; scipy.stats takes a second

    rest = (1 - CONFIDENCE) / 2
    low = float(betaincinv(wrong, of - wrong + 1, rest)) if wrong else 0.0
    high = float(betaincinv(wrong + 1, of - wrong, 1 - rest)) if wrong < of else 1.0
    return low, high


def learn(similarities: "Sequence[float | None]", right: Sequence[bool], bound: float) -> Certified:
    """The lowest threshold whose wrong answers are certified to stay under the bound.

    ``similarities``: None for a request that no stored question could answer.
    """
    import numpy as np

    best = Certified(threshold=None, requests=len(right), hits=0, wrong_hits=0)
    for step in np.linspace(0, 1, _STEPS + 1):
        tried = judge(similarities, right, float(1 - (1 - _LOWEST) * step**2))
        if tried.interval[1] > bound:
            break
        if tried.hits > best.hits and tried.hits >= _FEWEST:
            best = tried
    return best


def judge(
    similarities: "Sequence[float | None]", right: Sequence[bool], threshold: float | None
) -> Certified:
    """What a threshold does on observations."""
    hits = _similar(similarities) >= (2.0 if threshold is None else threshold)
    return Certified(
        threshold=threshold,
        requests=len(right),
        hits=int(hits.sum()),
        wrong_hits=int((hits & ~_as_bools(right)).sum()),
    )


def _similar(similarities: "Sequence[float | None]") -> "npt.NDArray[np.float64]":
    import numpy as np

    # Rounding may make them a little more than 1, which no threshold is.
    return np.array([-1.0 if each is None else each for each in similarities], dtype=np.float64)


def _as_bools(right: Sequence[bool]) -> "npt.NDArray[np.bool_]":
    import numpy as np

    return np.array(right, dtype=bool)
