"""The real clock and the real randomness, as far as anything depends on them."""

import time

import pytest

from consentry.system import SystemClock, SystemRandomness


class Context:
    """What Lambda hands over with an invocation."""

    def __init__(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


def test_outside_an_invocation_no_time_is_left() -> None:
    assert SystemClock().remaining_seconds() == 0.0


def test_the_time_left_is_that_of_the_newest_invocation_at_this_moment() -> None:
    clock, first, second = SystemClock(), Context(1500), Context(29_000)
    clock.begin(first)
    assert clock.remaining_seconds() == 1.5
    first.milliseconds = 250
    assert clock.remaining_seconds() == 0.25
    clock.begin(second)
    assert clock.remaining_seconds() == 29.0


def test_the_clock_counts_whole_seconds_and_sleeps_as_long_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.9)
    monkeypatch.setattr(time, "sleep", slept.append)
    clock = SystemClock()
    clock.sleep(0.3)
    assert (clock.now(), slept) == (1_800_000_000, [0.3])


def test_fractions_lie_between_nought_and_one_and_spread() -> None:
    fractions = [SystemRandomness().fraction() for _ in range(1000)]
    assert all(0 <= each < 1 for each in fractions)
    assert min(fractions) < 0.25
    assert max(fractions) > 0.75
