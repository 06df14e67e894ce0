"""The checker itself, on two protocols small enough to know everything about."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.model.checker import Protocol, Step, TooManyStates, search


class Turnstile(NamedTuple):
    """Two people want to pass one at a time; `asks_first` says whether they look before they go."""

    places: tuple[int, int] = (0, 0)


def turnstile(*, asks_first: bool) -> Protocol[Turnstile]:
    def steps(state: Turnstile) -> Iterator[Step[Turnstile]]:
        for who in (0, 1):
            place, other = state.places[who], state.places[1 - who]
            if place == 2 or (asks_first and place == 0 and other == 1):
                continue
            moved = (place + 1, other) if who == 0 else (other, place + 1)
            yield Step(f"{who} to {place + 1}", Turnstile(moved))

    return Protocol(Turnstile(), steps, lambda state: ["both inside"] if state.places == (1, 1) else [])


def countdown(seconds: int) -> Protocol[int]:
    """A clock that ticks to zero, or is set there at once after its first tick."""

    def steps(left: int) -> Iterator[Step[int]]:
        if left > 0:
            yield Step("tick", left - 1, "rang" if left == 1 else "", ticks=1)
        if left == seconds - 1:
            yield Step("skip", 1)

    return Protocol(seconds, steps, lambda _left: ())


def test_people_who_look_first_never_meet() -> None:
    result = search(turnstile(asks_first=True), horizon=1)
    assert result.violations == {}
    assert result.states == 8


def test_people_who_do_not_look_meet_after_two_steps() -> None:
    result = search(turnstile(asks_first=False), horizon=1)
    assert result.violations == {"both inside": ("0 to 1", "1 to 1")}
    assert result.states == 9


def test_the_shortest_way_to_a_violation_of_a_step_is_told() -> None:
    result = search(countdown(9), horizon=9)
    assert result.violations == {"rang": ("tick", "skip", "tick")}


def test_nothing_is_looked_at_beyond_the_horizon() -> None:
    assert search(countdown(9), horizon=1).violations == {}
    assert search(countdown(9), horizon=1).states == 3
    assert "rang" in search(countdown(9), horizon=2).violations


def test_a_state_that_is_found_again_earlier_is_visited_again() -> None:
    slow_way = {0: [Step("wait", 1, ticks=3), Step("walk", 2)], 2: [Step("walk", 3)], 3: [Step("walk", 1)]}
    rest = {1: [Step("arrive", 4, "arrived", ticks=1)]}
    result = search(Protocol(0, lambda state: (slow_way | rest).get(state, []), lambda _state: ()), horizon=3)
    assert "arrived" in result.violations


def test_a_beginning_that_is_wrong_already_is_said_so() -> None:
    assert search(Protocol(0, lambda _state: [], lambda _state: ["wrong"]), horizon=1).violations == {"wrong": ()}


def test_a_model_that_outgrows_its_bound_is_stopped() -> None:
    endless = Protocol(0, lambda state: [Step("on", state + 1)], lambda _state: ())
    with pytest.raises(TooManyStates, match="more than 100 states"):
        search(endless, horizon=1, most_states=100)
