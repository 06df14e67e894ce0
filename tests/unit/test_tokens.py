"""When to look at a connection again."""

from hypothesis import given
from hypothesis import strategies as st

from consentry.model import ConnectionKey, skew_seconds
from consentry.tokens import Lifetime

NOW = 1_800_000_000
TICK = 60
WORKER = 45


def due_after(life: int, *, name: str = "default", refreshable: bool = True) -> int:
    key = ConnectionKey("acme", "crm", name)
    lifetime = Lifetime(key=key, now=NOW, min_refresh_seconds=60, refreshable=refreshable)
    return lifetime.due_at(NOW + life) - NOW


@given(life=st.integers(300, 10**8), name=st.from_regex(r"[a-z]{1,20}", fullmatch=True))
def test_a_token_is_due_early_enough_for_a_late_tick_and_a_slow_worker(life: int, name: str) -> None:
    assert due_after(life, name=name) >= 60
    assert due_after(life, name=name) + TICK + WORKER <= life - skew_seconds(life)


@given(name=st.from_regex(r"[a-z]{1,20}", fullmatch=True))
def test_an_ordinary_token_is_due_between_half_and_three_quarters_of_its_life(name: str) -> None:
    assert 900 <= due_after(1800, name=name) <= 1350


def test_connections_made_together_do_not_come_due_together() -> None:
    due = {due_after(3600, name=f"n{number}") for number in range(200)}
    assert len(due) > 100
    assert max(due) - min(due) > 3600 / 5


def test_the_time_is_the_same_each_time() -> None:
    assert due_after(1800, name="a") == due_after(1800, name="a")


def test_what_cannot_be_refreshed_is_looked_at_when_it_ends() -> None:
    assert due_after(1800, refreshable=False) == 1800


@given(life=st.integers(0, 10**8))
def test_no_lifetime_makes_a_loop(life: int) -> None:
    assert due_after(life) >= 60
