"""The adapters that come with the kit: the vault of this repository, and the usual Python client beside it."""

from dataclasses import replace

import pytest

from tests.torture.conftest import tortured
from torture.report import passed
from torture.stores import authlib_session, consentry_local
from torture.trial import Pace
from torture.verdict import Verdict

TWO = Pace(connections=2, slow_seconds=1, outage_seconds=1, retry_after_seconds=1)


@pytest.mark.stack
def test_consentry_keeps_every_grant() -> None:
    names = ("two-replicas", "lost-reply-grace", "late-loser")
    results = tortured(consentry_local.open_store, *names, pace=TWO)
    assert {each.scenario: each.fates["kept"] for each in results} == dict.fromkeys(names, 2)
    assert [(each.in_flight_max, each.reads_in_vain, each.reads_dead) for each in results] == [(1, 0, 0)] * 3
    assert passed(results)


def test_a_session_without_a_lock_between_processes_is_caught_destroying() -> None:
    pytest.importorskip("authlib", reason="Authlib is not installed: the example that fails was NOT shown to fail")
    (result,) = tortured(authlib_session.open_store, "two-replicas", pace=replace(TWO, between_renewals_seconds=0))
    assert (result.verdict, result.fates["destroyed"]) == (Verdict.FAILED, 2)
    assert (result.in_flight_max, result.presented_twice) == (2, 2)
