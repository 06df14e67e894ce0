"""How an integration is doing: pure functions of a record and a clock, as facts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consentry.refresh.health import (
    PROBE_SECONDS,
    Breaker,
    Health,
    Limits,
    Share,
    breaker,
    is_failing,
    is_held,
    is_refusing,
    is_released,
    opening,
    per_minute,
    share,
    turns,
)
from consentry.refresh.policy import CALL, LEASE

NOW = 1_800_000_000
WELL = Health(integration="crm")
OPEN = replace(WELL, opened=1, open_until=NOW + 30)
HALF_OPEN = replace(WELL, opened=1, open_until=NOW)
RAMP = replace(WELL, opened=1, open_until=NOW - 10, recovered_at=NOW)
LIMITS = Limits()
TIMES = st.integers(0, 2 * NOW)
HEALTH = st.builds(
    Health,
    integration=st.just("crm"),
    failed=st.integers(0, 10**6),
    succeeded=st.integers(0, 10**6),
    open_until=TIMES,
    opened=st.integers(0, 10**6),
    recovered_at=TIMES,
    paused_until=TIMES,
    hold_until=TIMES,
    released_until=TIMES,
    budget=st.integers(0, 10**6),
    budget_at=TIMES,
)


# Breaker


def test_where_nothing_is_on_record_all_is_well() -> None:
    assert breaker(WELL, NOW) is Breaker.CLOSED
    assert (is_failing(WELL, LIMITS), is_refusing(WELL, LIMITS), is_held(WELL, NOW)) == (False, False, False)
    assert per_minute(WELL, None, NOW) is None


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (OPEN, Breaker.OPEN),
        (HALF_OPEN, Breaker.HALF_OPEN),
        (replace(HALF_OPEN, open_until=NOW + 1), Breaker.OPEN),
        (replace(HALF_OPEN, recovered_at=NOW), Breaker.RAMP),
        (replace(HALF_OPEN, recovered_at=NOW - 1), Breaker.HALF_OPEN),
        (RAMP, Breaker.RAMP),
        (replace(RAMP, recovered_at=NOW - 599, open_until=NOW - 600), Breaker.RAMP),
        (replace(RAMP, recovered_at=NOW - 600, open_until=NOW - 601), Breaker.CLOSED),
        (replace(WELL, paused_until=NOW + 1), Breaker.OPEN),
        (replace(WELL, paused_until=NOW), Breaker.CLOSED),
        (replace(HALF_OPEN, paused_until=NOW + 1), Breaker.OPEN),
        (replace(HALF_OPEN, paused_until=NOW), Breaker.HALF_OPEN),
        (replace(RAMP, paused_until=NOW + 1), Breaker.OPEN),
    ],
)
def test_a_breaker_is_what_the_record_and_the_clock_say(health: Health, expected: Breaker) -> None:
    assert breaker(health, NOW) is expected


@pytest.mark.parametrize(
    ("failed", "succeeded", "failing"),
    [(9, 0, False), (10, 0, True), (10, 10, True), (10, 11, False), (100, 100, True), (100, 101, False)],
)
def test_ten_failures_that_are_half_of_all_are_too_many(failed: int, succeeded: int, *, failing: bool) -> None:
    assert is_failing(replace(WELL, failed=failed, succeeded=succeeded), LIMITS) is failing


def test_each_opening_in_a_row_lasts_longer_up_to_ten_minutes() -> None:
    found, seconds = WELL, []
    for _ in range(8):
        next_opening = opening(found, NOW, 0.5)
        seconds.append(next_opening.until - NOW)
        found = replace(WELL, opened=next_opening.opened, open_until=NOW)
    assert seconds == [30, 60, 120, 240, 480, 600, 600, 600]


@given(opened=st.integers(1, 10**6), fraction=st.floats(0, 1, exclude_max=True))
def test_openings_are_spread_by_a_tenth_either_way(opened: int, fraction: float) -> None:
    middle = opening(replace(HALF_OPEN, opened=opened), NOW, 0.5).until - NOW
    spread = opening(replace(HALF_OPEN, opened=opened), NOW, fraction).until - NOW
    assert middle * 0.9 - 1 <= spread <= middle * 1.1


def test_a_request_under_way_is_over_before_the_first_opening_is() -> None:
    assert opening(WELL, NOW, 0).until - NOW > CALL


def test_an_opening_after_a_ramp_that_is_over_begins_short_again() -> None:
    recovered = replace(RAMP, opened=7, recovered_at=NOW - 600, open_until=NOW - 700)
    assert opening(recovered, NOW, 0.5).opened == 1
    assert opening(recovered, NOW, 0.5).until == NOW + 30


def test_an_opening_in_the_midst_of_a_ramp_is_one_more_in_a_row() -> None:
    assert opening(replace(RAMP, opened=2), NOW, 0.5).opened == 3


def test_a_number_of_openings_that_cannot_be_is_no_reason_to_fail() -> None:
    assert opening(replace(HALF_OPEN, opened=10**37), NOW, 0.5).until == NOW + 600


def test_who_probes_is_not_running_any_more_when_the_next_one_may() -> None:
    assert PROBE_SECONDS >= LEASE


# How many a minute


def test_an_open_breaker_lets_nothing_through_whatever_the_limit() -> None:
    assert per_minute(OPEN, None, NOW) == per_minute(OPEN, 100, NOW) == 0
    assert per_minute(replace(WELL, paused_until=NOW + 1), 100, NOW) == 0


def test_a_half_open_breaker_lets_three_try() -> None:
    assert per_minute(HALF_OPEN, None, NOW) == per_minute(HALF_OPEN, 100, NOW) == 3


@pytest.mark.parametrize("rate", [1, 2])
def test_probes_stay_below_a_lower_limit(rate: int) -> None:
    assert per_minute(HALF_OPEN, rate, NOW) == rate


def test_a_ramp_doubles_each_minute_until_it_is_over() -> None:
    allowed = [per_minute(RAMP, None, NOW + 60 * minute) for minute in range(11)]
    assert allowed == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, None]
    assert per_minute(RAMP, None, NOW + 59) == 10


def test_a_ramp_never_climbs_above_the_limit() -> None:
    assert [per_minute(RAMP, 35, NOW + 60 * minute) for minute in (0, 1, 2, 3, 10)] == [10, 20, 35, 35, 35]
    assert per_minute(RAMP, 1, NOW) == 1


def test_a_recovery_told_by_a_clock_that_is_ahead_begins_the_ramp() -> None:
    ahead = replace(RAMP, recovered_at=NOW + 5)
    assert per_minute(ahead, None, NOW) == 10


@given(health=HEALTH, rate=st.none() | st.integers(1, 10**6), now=TIMES)
def test_no_record_lets_more_through_than_the_limit(health: Health, rate: int | None, now: int) -> None:
    allowed = per_minute(health, rate, now)
    assert (allowed is None) == (rate is None and breaker(health, now) is Breaker.CLOSED)
    assert allowed is None or 0 <= allowed <= (rate or allowed)


# Rate


def requests(health: Health, allowed: int, now: int = NOW) -> int:
    return share(health, allowed, now).requests


def test_an_integration_that_was_never_asked_has_a_whole_minute_at_its_disposal() -> None:
    assert share(WELL, 10, NOW) == Share(10, NOW)


@pytest.mark.parametrize(
    ("seconds", "left", "expected"),
    [(0, 0, 0), (3, 0, 0), (6, 0, 1), (54, 0, 9), (60, 0, 10), (3600, 0, 10), (0, 4, 4), (30, 4, 9), (60, 4, 10)],
)
def test_a_budget_gathers_as_time_goes_by_and_never_beyond_a_minute(seconds: int, left: int, expected: int) -> None:
    assert requests(replace(WELL, budget=left, budget_at=NOW - seconds), 10) == expected


def test_a_dispatcher_whose_clock_is_behind_finds_no_less_than_nothing() -> None:
    assert requests(replace(WELL, budget=0, budget_at=NOW + 5), 600) == 0


def test_a_dispatcher_that_follows_at_once_finds_nothing() -> None:
    """Whatever the limit: what one took is not there for the next."""
    assert requests(replace(WELL, budget=0, budget_at=NOW), 6000) == 0


def test_what_is_left_of_a_higher_limit_does_not_outlive_it() -> None:
    assert requests(replace(WELL, budget=1000, budget_at=NOW), 3) == 3


def test_a_limit_of_one_a_minute_is_one_a_minute() -> None:
    assert [requests(replace(WELL, budget_at=NOW), 1, NOW + seconds) for seconds in (0, 57, 60, 600)] == [0, 0, 1, 1]


@given(health=HEALTH, allowed=st.integers(0, 10**9), now=TIMES)
def test_a_share_is_between_nothing_and_a_minute_s_worth(health: Health, allowed: int, now: int) -> None:
    assert 0 <= requests(health, allowed, now) <= allowed


@given(
    allowed=st.integers(1, 1000),
    pauses=st.lists(st.integers(1, 200), min_size=1, max_size=30),
)
def test_however_sweeps_come_they_take_no_more_than_time_allows_and_lose_next_to_nothing(
    allowed: int, pauses: list[int]
) -> None:
    found, now, took = WELL, NOW, []
    for pause in [*pauses, 0]:
        got = share(found, allowed, now)
        if got.requests:
            found = replace(found, budget=0, budget_at=got.since)
        took.append(got.requests)
        now += pause
    elapsed = sum(pauses)
    assert sum(took) <= allowed + (elapsed + 2) * allowed / 60
    if max(pauses) <= 60:
        assert sum(took) >= (elapsed - len(pauses)) * allowed / 60 - 1


# Hold


@pytest.mark.parametrize(
    ("gone", "connections", "refusing"),
    [
        (19, 0, False),
        (19, 10, False),
        (20, 0, True),
        (20, 399, True),
        (20, 400, False),  # exactly 5 % is not more than 5 %
        (21, 400, True),
        (50, 1000, False),
        (51, 1000, True),
    ],
)
def test_twenty_connections_that_are_more_than_a_twentieth_are_too_many(
    gone: int, connections: int, *, refusing: bool
) -> None:
    assert is_refusing(replace(WELL, gone=gone, connections=connections), LIMITS) is refusing


def test_a_hold_lasts_until_its_time() -> None:
    held = replace(WELL, hold_until=NOW + LIMITS.hold_seconds)
    assert is_held(held, NOW + LIMITS.hold_seconds - 1)
    assert not is_held(held, NOW + LIMITS.hold_seconds)


def test_a_release_ends_a_hold_while_it_lasts() -> None:
    released = replace(WELL, hold_until=NOW + 100, released_until=NOW + 50)
    assert (is_released(released, NOW), is_held(released, NOW)) == (True, False)
    assert (is_released(released, NOW + 50), is_held(released, NOW + 50)) == (False, True)


# Turns


@pytest.mark.parametrize(
    ("rate", "most", "seconds"),
    [(1, 1, 60), (7, 1, 9), (19, 1, 4), (20, 1, 3), (50, 5, 6), (60, 3, 3), (100, 5, 3), (6000, 300, 3)],
)
def test_a_limit_means_so_many_turns_in_each_window(rate: int, most: int, seconds: int) -> None:
    allowed = turns(replace(WELL, rate=rate, budget_at=NOW), NOW)
    assert allowed is not None
    assert (allowed.most, allowed.seconds) == (most, seconds)
    assert allowed.window(NOW + 1) <= NOW + 1 < allowed.window(NOW + 1) + seconds


@given(rate=st.integers(1, 100_000))
def test_windows_keep_a_limit_and_lose_little_of_it(rate: int) -> None:
    allowed = turns(replace(WELL, rate=rate, budget_at=NOW), NOW)
    assert allowed is not None
    minute = 60 * allowed.most / allowed.seconds
    assert 0.7 * rate <= minute <= rate


def test_a_limit_that_no_sweep_has_kept_for_two_minutes_is_none() -> None:
    assert turns(WELL, NOW) is None
    assert turns(replace(WELL, rate=60, budget_at=NOW - 121), NOW) is None
