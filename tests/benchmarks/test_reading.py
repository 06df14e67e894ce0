"""The benchmark of reading: what it counts, and that it says which goal was missed."""

from benchmarks.reading.__main__ import measured, missed

GOOD = {"cached_us": 3.0, "ratio": 1.1, "calls": {"GetItem": 4}, "calls_expected": {"GetItem": 4}}


def test_a_miss_is_one_get_and_one_decrypt_and_a_hit_nothing() -> None:
    figures = measured(1, reads=2, hits=50)
    assert figures["calls"] == figures["calls_expected"]
    assert min(figures[name] for name in ("cached_us", "uncached_us", "bare_us", "ratio")) > 0


def test_a_goal_that_is_missed_is_named_with_what_was_measured() -> None:
    assert missed(GOOD) == []
    assert missed({**GOOD, "ratio": 1.3}) == ["ratio is 1.3, the goal 1.25"]
    assert missed({**GOOD, "cached_us": 11.0}) == ["cached_us is 11.0, the goal 10.0"]
    assert missed({**GOOD, "calls": {"GetItem": 5}}) == ["calls were {'GetItem': 5}, not {'GetItem': 4}"]
