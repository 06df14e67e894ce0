"""Two consents, a refresh and a disconnect in many orders: one consent wins, and the other leaves nothing (S-45)."""

import itertools
from collections.abc import Mapping
from typing import Final

import pytest

from consentry.connect import exchange, store
from tests.simulation.orderings import ONE, STAYING, STEPS, TWO, check, orderings
from tests.support.logs import recorded

EACH: Final = 31  # prime to everything that the orders are made of
WINS: Final = {(ONE, 200, 409), (TWO, 409, 200)}
GOES: Final = {("", 200, 409), ("", 409, 200), ("", 409, 409)}


def some(steps: Mapping[str, int], each: int = EACH) -> list[tuple[str, ...]]:
    return list(itertools.islice(orderings(steps), 0, None, each))


def test_every_order_has_everybody_s_steps_and_none_comes_twice() -> None:
    every = list(orderings())
    assert len(set(every)) == len(every) == 2520  # 9! / (3! 3! 2! 1!), halved: the consents are alike
    assert {tuple(order.count(name) for name in STEPS) for order in every} == {tuple(STEPS.values())}


@pytest.mark.parametrize(
    ("existing", "steps", "each", "ends"),
    [(False, STEPS, EACH, WINS), (True, STEPS, EACH, GOES), (True, STAYING, 5, WINS)],
)
def test_what_is_stored_works_and_no_consent_leaves_a_grant_behind(
    *, existing: bool, steps: Mapping[str, int], each: int, ends: set[tuple[str, int, int]]
) -> None:
    with recorded() as lines:
        assert ends <= {check(order, existing=existing) for order in some(steps, each)}
        assert lines.named("unforeseen") == []


@pytest.mark.parametrize(
    ("module", "name"),
    [(store, "refuse_what_was_overtaken"), (exchange, "refuse_what_was_overtaken"), (exchange, "RevokeStray")],
)
def test_without_one_of_the_controls_a_grant_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str
) -> None:
    monkeypatch.setattr(module, name, lambda *_: lambda *_: None)

    def play() -> None:
        for order in some(STAYING, 3):
            check(order, existing=True)

    with recorded(), pytest.raises(AssertionError, match=r"left behind|replaced each other"):
        play()
