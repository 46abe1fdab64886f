"""How many calls at once an endpoint bears, learnt from what it answers.

An endpoint that refuses a call among others that it answers is asked for a quarter less at once.
One that refuses many with no answer between is left alone for as long as it says, and then tried
with one call. Every answer admits more: one until near what was too much before, then a quarter. So
a limit that changes in the midst of a run, of requests a minute or at once, is found again in
either direction, and calls wait for their turn instead of using up their tries. It is how TCP finds
what a network bears (Jacobson, Congestion Avoidance and Control, 1988).
"""

import math
import time

LONGEST_PAUSE = 60.0  # seconds that an endpoint is left alone
_RUN = 3  # refusals with no answer between them, at least: no accident any more
_LESS = 0.75  # of the calls at once, after a refusal among answers
_MORE = 0.25  # calls at once for each answer, near what was too much before


class Pace:
    """The pace that one model's endpoint bears. ``answers``: how many it gave so far; ``silence``:
    how often it has been left alone since it gave the last one."""

    def __init__(self) -> None:
        self.answers = 0
        self.silence = 0
        self._most = math.inf  # calls at once
        self._safe = math.inf  # of which so many were not too much before
        self._refusals = 0  # since the last answer, or since it was left alone
        self._opens_at = -math.inf

    def admits(self, in_flight: int) -> bool:
        """Whether one more call may be made beside those in flight."""
        return self.closed_for() <= 0 and in_flight < self._most

    def closed_for(self) -> float:
        """Seconds, at least, until the next call may be made."""
        return max(0.0, self._opens_at - time.monotonic())

    def answered(self) -> None:
        """A call was answered."""
        self.answers += 1
        self.silence = self._refusals = 0
        self._most += 1 if self._most < self._safe else _MORE

    def refused(self, in_flight: int, began: int, retry_after: float | None) -> None:
        """A call was refused that was made at the count ``began`` of `silence`. ``in_flight``:
        calls at that moment, this one too; ``retry_after``: seconds that the endpoint asked for."""
        if began != self.silence:  # made before it was left alone, or answered since: known by now
            return
        self._refusals += 1
        trial = self._most <= 1
        if self._refusals == 1:
            self._most = self._safe = max(1.0, _LESS * min(self._most, in_flight))
        if not trial and self._refusals < max(_RUN, in_flight / 4):
            return
        self.silence += 1
        self._refusals, self._most, self._safe = 0, 1.0, max(1.0, self._safe / 2)
        pause = 0.25 * 2.0**self.silence if retry_after is None else retry_after
        self._opens_at = time.monotonic() + min(LONGEST_PAUSE, pause)
