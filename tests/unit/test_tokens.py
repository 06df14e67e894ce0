"""When to look at a connection again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consentry.errors import UnreadableRecord
from consentry.model import ConnectionKey, Secret, skew_seconds
from consentry.tokens import Lifetime, grant_payload, grant_secrets, stored_refresh_token, warning_at

NOW = 1_800_000_000
TICK = 60
WORKER = 45


def due_after(
    life: int | None,
    *,
    name: str = "default",
    refreshable: bool = True,
    grant: int | None = None,
    idle: int | None = None,
    warn: int | None = None,
) -> int:
    key = ConnectionKey("acme", "crm", name)
    lifetime = Lifetime(
        key=key,
        now=NOW,
        min_refresh_seconds=60,
        refreshable=refreshable,
        idle_seconds=idle,
        warn_at=None if warn is None else NOW + warn,
    )
    due_at = lifetime.due_at(life, grant)
    assert due_at is not None
    return due_at - NOW


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


DAY = 86_400


def test_a_refresh_token_is_used_before_half_of_its_own_life_has_passed() -> None:
    assert due_after(365 * DAY, idle=60 * DAY) == 30 * DAY
    assert due_after(365 * DAY, grant=10 * DAY, idle=60 * DAY) == 5 * DAY
    assert due_after(None, idle=60 * DAY) == 30 * DAY
    assert due_after(1800, idle=60 * DAY) == due_after(1800)


def test_a_refresh_token_that_ends_at_once_makes_no_loop() -> None:
    assert due_after(1800, grant=1) == 60


def test_a_token_without_an_end_and_a_grant_without_one_are_never_due() -> None:
    lifetime = Lifetime(key=ConnectionKey("acme", "crm"), now=NOW, min_refresh_seconds=60, refreshable=True)
    assert lifetime.due_at(None) is None


def test_two_hundred_days_unused_keep_a_grant_of_sixty_idle_days_alive() -> None:
    unused, used = 0, 0
    while unused < 200 * DAY:
        wait = due_after(None, idle=60 * DAY)
        assert wait <= 30 * DAY
        unused, used = unused + wait, used + 1
    assert used == 7


def test_a_warning_comes_thirty_days_before_a_grant_ends() -> None:
    assert warning_at(NOW + 365 * DAY) == NOW + 335 * DAY
    assert warning_at(NOW) == NOW - 30 * DAY
    assert warning_at(None) is None


def test_a_token_is_due_for_the_warning_unless_it_is_due_before() -> None:
    assert due_after(None, warn=335 * DAY) == 335 * DAY
    assert due_after(365 * DAY, warn=10 * DAY) == 10 * DAY
    assert due_after(1800, warn=10 * DAY) == due_after(1800)
    assert due_after(None, idle=60 * DAY, warn=10 * DAY) == 10 * DAY


def test_a_warning_that_is_overdue_makes_no_loop() -> None:
    assert due_after(None, warn=-5 * DAY) == 60
    assert due_after(1800, warn=-5 * DAY) == 60


def test_what_cannot_be_refreshed_is_looked_at_when_it_ends_and_not_for_a_warning() -> None:
    assert due_after(1800, refreshable=False, warn=60) == 1800


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=4))
def test_a_grant_is_read_as_it_was_written(values: dict[str, str]) -> None:
    payload = grant_payload({name: Secret(value) for name, value in values.items()})
    assert {name: secret.reveal() for name, secret in grant_secrets(payload).items()} == values


@pytest.mark.parametrize("stored", ["", "CNRY-a-bare-token", '["CNRY-a-list"]', "null", '{"refresh_token": "CNRY-cut'])
def test_a_grant_that_is_no_object_is_unreadable_and_its_text_is_not_told(stored: str) -> None:
    with pytest.raises(UnreadableRecord) as raised:
        grant_secrets(Secret(stored))
    assert "CNRY-" not in f"{raised.value!r} {raised.value.detail}"
    assert raised.value.detail == "grant is not a JSON object"


@pytest.mark.parametrize(
    "stored", ["{}", '{"client_secret": "CNRY-x"}', '{"refresh_token": ""}', '{"refresh_token": 7}']
)
def test_a_grant_without_a_refresh_token_is_unreadable_where_one_is_needed(stored: str) -> None:
    with pytest.raises(UnreadableRecord) as raised:
        stored_refresh_token(grant_secrets(Secret(stored)))
    assert raised.value.detail == "grant has no refresh token"


def test_the_refresh_token_of_a_grant_is_the_one_that_was_stored() -> None:
    secrets = grant_secrets(grant_payload({"refresh_token": Secret("CNRY-refresh")}))
    assert stored_refresh_token(secrets).reveal() == "CNRY-refresh"
