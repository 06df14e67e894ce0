"""The checker itself: a store that does everything right passes, and each one that does one thing wrong is caught."""

import pytest

from tests.torture.conftest import Load, tortured
from torture.report import passed, table
from torture.verdict import Verdict

LOCKED = "        with self._locks[connection]:"
GONE = 'answer.json().get("error") == "invalid_grant"'


def test_the_documented_adapter_loses_nothing(load: Load) -> None:
    names = ("two-replicas", "slow-provider", "lost-reply-grace", "provider-down", "late-loser", "garbage-200")
    results = tortured(load(), *names)
    assert [each.fates["kept"] for each in results] == [1] * len(names)
    assert [(each.in_flight_max, each.reads_in_vain) for each in results] == [(1, 0)] * len(names)
    assert passed(results)


def test_twenty_readers_of_an_ended_token_cost_one_request(load: Load) -> None:
    (result,) = tortured(load(), "twenty-readers")
    assert (result.fates["kept"], result.in_flight_max, result.presented_twice, result.reads_refused) == (1, 1, 0, 0)


def test_an_unavoidable_loss_is_no_failure_if_it_is_said(load: Load) -> None:
    (result,) = tortured(load(), "lost-reply-strict")
    assert (result.verdict, result.fates["unavoidable"], result.causes) == (Verdict.PASSED, 1, {"invalid_grant": 1})


def test_an_unavoidable_loss_that_nobody_mentions_is_a_failure(load: Load) -> None:
    (result,) = tortured(load('self._gone[connection] = "invalid_grant"', "pass"), "lost-reply-strict")
    assert (result.verdict, result.fates["silent"]) == (Verdict.FAILED, 1)


def test_a_store_without_a_lock_is_caught_destroying(load: Load) -> None:
    (result,) = tortured(load(LOCKED, "        if True:"), "two-replicas")
    assert (result.verdict, result.fates["destroyed"]) == (Verdict.FAILED, 1)
    assert (result.in_flight_max, result.presented_twice) == (2, 1)
    assert result.why == "1 destroyed"


def test_a_lock_shorter_than_the_providers_answer_is_caught_destroying(load: Load) -> None:
    impatient = "        self._locks[connection].acquire(timeout=0.3)\n        if True:"
    (result,) = tortured(load(LOCKED, impatient), "slow-provider")
    assert (result.verdict, result.fates["destroyed"]) == (Verdict.FAILED, 1)


def test_a_store_that_keeps_the_used_refresh_token_is_caught_at_the_next_renewal(load: Load) -> None:
    (result,) = tortured(load('new["refresh_token"]', "refresh_token"), "garbage-200")
    assert (result.verdict, result.fates["destroyed"]) == (Verdict.FAILED, 1)


def test_a_store_that_takes_an_outage_for_the_end_is_caught_giving_up(load: Load) -> None:
    (result,) = tortured(load(GONE, "not answer.ok"), "provider-down")
    assert (result.verdict, result.fates["given_up"]) == (Verdict.FAILED, 1)
    assert result.reads_in_vain == result.reads_refused > 0


def test_a_losers_failure_that_overwrites_the_winners_success_is_caught(load: Load) -> None:
    (result,) = tortured(load(LOCKED, "        if True:"), "late-loser")
    assert (result.verdict, result.fates["given_up"]) == (Verdict.FAILED, 1)


def test_a_store_that_never_refreshes_proves_nothing(load: Load) -> None:
    results = tortured(load("if known == token and", "if False and"), "garbage-200")
    assert [each.verdict for each in results] == [Verdict.NOT_PROVOKED]
    assert not passed(results)


def test_what_an_adapter_cannot_do_is_said_loudly(load: Load) -> None:
    results = tortured(load(), "kill-strict", "storage-outage")
    assert [each.verdict for each in results] == [Verdict.NOT_APPLICABLE] * 2
    assert "0 of 0 scenarios passed; 2 NOT APPLICABLE, and so not shown." in table("mine", results)


@pytest.mark.parametrize("name", ["lost-reply-grace", "cut-200"])
def test_a_replay_within_the_grace_saves_the_grant(load: Load, name: str) -> None:
    (result,) = tortured(load(), name)
    assert (result.fates["kept"], result.presented_twice) == (1, 1)
