"""What is written with new tokens beside them: what cannot be kept, and that a grant will end."""

from dataclasses import replace
from typing import Any

import pytest

from consentry.model import Connection
from consentry.oauth.provider import Provider
from consentry.refresh.policy import Outcome
from tests.support.catalogue import CRM, METRICS
from tests.support.deployment import Deployment
from tests.support.logs import Log
from tests.support.provider import tokens
from tests.support.vaulted import FIRST_REFRESH, Vaulted

DAY = 86_400
SECOND = tokens(access_token="CNRY-access-second", refresh_token="CNRY-refresh-second")
NEVER_ENDING = replace(CRM, token=replace(CRM.token, expires_in_default_seconds=None))


def connected(deployment: Deployment, provider: Provider, *, expires_in: int | None = 1800) -> Vaulted:
    made = Vaulted(deployment)
    made.crm = provider
    made.connect(expires_in=expires_in)
    return made


def refreshed_at(vaulted: Vaulted, time: int, **answer: Any) -> Connection:  # noqa: ANN401 - fields of an answer
    """Refresh at that time, due or not; return the record as it is then."""
    vaulted.clock.time = float(time)
    vaulted.provider.then(tokens(**answer))
    assert vaulted.refresh(rejected_gen=vaulted.record.gen).outcome is Outcome.REFRESHED
    return vaulted.record


# A refresh token that is none


@pytest.mark.parametrize(
    "unusable", [7, 0, False, {}, {"token": "CNRY-inside"}, ["CNRY-inside"], "CNRY-" + "x" * 16_384]
)
def test_an_unusable_refresh_token_is_said_loudly_and_the_stored_one_stays(
    vaulted: Vaulted, unusable: object, log_lines: Log
) -> None:
    vaulted.provider.then(tokens(access_token="CNRY-access-second", refresh_token=unusable))
    assert vaulted.refresh().outcome is Outcome.REFRESHED
    assert (vaulted.access_token, vaulted.refresh_token) == ("CNRY-access-second", FIRST_REFRESH)
    (line,) = log_lines.named("the provider sent a refresh token that cannot be kept")
    assert (line["level"], line["tenant"], line["connection"]) == ("CRITICAL", "acme", "crm#default")
    assert "CNRY-" not in log_lines.text


@pytest.mark.parametrize("absent", [None, ""])
def test_an_absent_refresh_token_is_nothing_to_speak_of(vaulted: Vaulted, absent: str | None, log_lines: Log) -> None:
    vaulted.provider.then(tokens(refresh_token=absent))
    assert vaulted.refresh().outcome is Outcome.REFRESHED
    assert log_lines.named("the provider sent a refresh token that cannot be kept") == []


def test_customers_credentials_need_no_refresh_token_of_any_kind(deployment: Deployment, log_lines: Log) -> None:
    vaulted = Vaulted(deployment)
    vaulted.connect_with_credentials()
    vaulted.fall_due()
    vaulted.provider.then(tokens(refresh_token=7))
    assert vaulted.refresh().outcome is Outcome.REFRESHED
    assert log_lines.named("the provider sent a refresh token that cannot be kept") == []


# A grant that ends


@pytest.mark.parametrize(
    "provider",
    [
        replace(CRM, credential_lifetime_days=365),
        replace(CRM, refresh=replace(CRM.refresh, absolute_lifetime_seconds=365 * DAY)),
    ],
)
def test_the_first_refresh_within_thirty_days_of_a_grant_s_end_says_so_once(
    deployment: Deployment, provider: Provider, log_lines: Log
) -> None:
    vaulted = connected(deployment, provider)
    ends = vaulted.clock.now() + 365 * DAY
    assert (vaulted.record.grant_expires_at, vaulted.record.warned_at) == (ends, 0)
    assert refreshed_at(vaulted, ends - 30 * DAY - 1).warned_at == 0
    assert log_lines.named("credentials end soon") == []
    warned = refreshed_at(vaulted, ends - 30 * DAY + 60)
    assert (warned.warned_at, warned.grant_expires_at) == (ends - 30 * DAY + 60, ends)
    assert refreshed_at(vaulted, ends - 29 * DAY).warned_at == warned.warned_at
    (line,) = log_lines.named("credentials end soon")
    assert (line["level"], line["connection"]) == ("WARNING", "crm#default")


def test_a_token_that_never_ends_comes_due_for_the_warning_alone(deployment: Deployment) -> None:
    vaulted = connected(deployment, replace(NEVER_ENDING, credential_lifetime_days=365), expires_in=None)
    warn_at = vaulted.clock.now() + 335 * DAY
    assert (vaulted.record.expires_at, vaulted.record.due_at) == (None, warn_at)
    vaulted.fall_due()
    vaulted.provider.then(tokens(expires_in=None))
    assert vaulted.refresh().outcome is Outcome.REFRESHED
    assert (vaulted.record.warned_at, vaulted.record.due_at) == (warn_at, None)


def test_a_look_by_a_clock_that_is_behind_warns_a_minute_later_at_the_latest(deployment: Deployment) -> None:
    vaulted = connected(deployment, replace(NEVER_ENDING, credential_lifetime_days=365), expires_in=None)
    vaulted.fall_due()
    vaulted.clock.advance(-5)
    for _ in range(2):
        vaulted.provider.then(tokens(expires_in=None))
        assert vaulted.refresh().outcome is Outcome.REFRESHED
        if vaulted.record.due_at is not None:
            vaulted.fall_due()
    assert vaulted.record.warned_at > 0
    assert vaulted.record.due_at is None


def test_a_grant_that_lives_less_than_a_month_is_warned_of_by_its_first_refresh(deployment: Deployment) -> None:
    vaulted = connected(deployment, replace(CRM, credential_lifetime_days=7))
    assert vaulted.record.due_at == vaulted.clock.now() + 60
    vaulted.fall_due()
    vaulted.provider.then(SECOND)
    assert vaulted.refresh().outcome is Outcome.REFRESHED
    assert vaulted.record.warned_at == vaulted.clock.now()
    assert (vaulted.record.due_at or 0) >= vaulted.clock.now() + 900


def test_a_grant_without_an_end_is_never_warned_of(vaulted: Vaulted, log_lines: Log) -> None:
    assert refreshed_at(vaulted, vaulted.clock.now() + 3650 * DAY).warned_at == 0
    assert vaulted.record.grant_expires_at is None
    assert log_lines.named("credentials end soon") == []


def test_keys_of_a_customer_that_live_a_year_are_warned_of(deployment: Deployment) -> None:
    assert METRICS.credential_lifetime_days is None
    vaulted = Vaulted(deployment)
    vaulted.connect_with_credentials()
    assert vaulted.record.grant_expires_at is None
