"""How many calls at once an endpoint bears: a clock that is moved by hand."""

import pytest

from infra import pace
from infra.pace import LONGEST_PAUSE, Pace


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def at_once(found: Pace) -> int:
    """How many calls it admits at once; 1000 stand for any number."""
    return next((n for n in range(1000) if not found.admits(n)), 1000)


def test_an_endpoint_that_refuses_nothing_is_asked_whatever_there_is(clock: Clock) -> None:
    found = Pace()
    for _ in range(3):
        found.answered()
    assert (at_once(found), found.answers) == (1000, 3)


def test_a_refusal_among_answers_takes_a_quarter_and_answers_give_it_back(clock: Clock) -> None:
    found = Pace()
    found.answered()
    for in_flight in (40, 39, 38):  # one burst
        found.refused(in_flight, 0, None)
    assert (at_once(found), found.silence) == (30, 0)
    for _ in range(40):
        found.answered()
    assert at_once(found) == 40


def test_refusals_with_no_answer_between_leave_it_alone_for_as_long_as_it_says(
    clock: Clock,
) -> None:
    found = Pace()
    for left in range(20, 0, -1):  # one burst
        found.refused(left, 0, 7.0)
    assert (at_once(found), found.closed_for(), found.silence) == (0, 7.0, 1)
    clock.now += 7
    assert at_once(found) == 1
    found.answered()
    assert (at_once(found), found.silence) == (2, 0)


def test_it_is_left_alone_for_longer_each_time_when_it_does_not_say_how_long(clock: Clock) -> None:
    found, pauses = Pace(), list[float]()
    for _ in range(10):
        while not (pause := found.closed_for()):
            found.refused(1, found.silence, None)
        pauses.append(pause)
        clock.now += pause
    assert pauses[:4] == [0.5, 1, 2, 4]
    assert pauses[-1] == LONGEST_PAUSE


@pytest.mark.parametrize("limit", [1, 3, 20, 64])
def test_a_limit_of_calls_at_once_is_found_in_either_direction(clock: Clock, limit: int) -> None:
    found, refused, answered = Pace(), 0, 0
    for each in (128, limit, 128):
        refused = answered = 0
        for _ in range(60):  # rounds: what is too much is refused at once, the rest answered later
            clock.now += found.closed_for()
            asked, silence = min(128, at_once(found)), found.silence
            for left in range(asked, each, -1):
                found.refused(left, silence, None)
                refused += 1
            for _ in range(min(asked, each)):
                found.answered()
                answered += 1
        if each == limit:
            assert answered >= 60 * limit / 2
            assert refused <= 128 + answered
    assert refused == 0
    assert at_once(found) >= 128
