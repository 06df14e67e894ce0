"""Every port call of a refresh dies, fails, lies or hangs: what can be kept is kept, what is lost is flagged."""

from collections import Counter

import pytest

from tests.simulation.crashes import ROTATIONS, crash, farewell, happy, pairs, singles
from tests.simulation.faults import Fate

ASK = -2  # the request and the commit are the last two calls
COMMIT = -1


def test_a_refresh_makes_few_calls_and_the_commit_follows_the_request_at_once() -> None:
    assert happy("strict") == ("dynamo", "dynamo", "kms", "kms", "kms", "secrets", "dynamo", "provider", "dynamo")


@pytest.mark.parametrize("kind", ["grace", "none", "remint"])
def test_no_single_fault_costs_a_connection_whose_provider_forgives(kind: str) -> None:
    assert {
        tuple(plan.items()): ending for plan in singles(kind) if (ending := crash(kind, plan).ended) != "fresh"
    } == {}


def test_a_strict_provider_costs_a_connection_only_between_its_commit_and_ours() -> None:
    ask, commit = len(happy("strict")) + ASK, len(happy("strict")) + COMMIT
    lost = {
        next(iter(plan.items())): ended
        for plan in singles("strict")
        if (ended := crash("strict", plan).ended) != "fresh"
    }
    assert lost == dict.fromkeys(
        [(ask, Fate.DIE_AFTER), (ask, Fate.LOST), (ask, Fate.HANG), (commit, Fate.DIE_BEFORE), (commit, Fate.HANG)],
        "ambiguous_rotation",
    )


def test_a_farewell_reads_claims_revokes_says_so_and_erases() -> None:
    alone = ("dynamo", "dynamo", "kms", "secrets", "dynamo", "provider", "dynamo", "dynamo")
    assert farewell("strict", {}).calls == alone
    assert farewell("grace", {}).calls == (*alone[:2], "dynamo", *alone[2:])  # who shares the account


@pytest.mark.parametrize("kind", ["strict", "grace", "none"])
def test_no_single_fault_keeps_a_disconnected_connection_or_its_grant(kind: str) -> None:
    last = len(farewell(kind, {}).calls) - 1
    assert {
        next(iter(plan.items())): ending
        for plan in singles(kind, farewell)
        if (ending := farewell(kind, plan).ended) != "revoked"
    } == {(last, Fate.DIE_AFTER): ""}  # gone, revoked, and nobody left to say so


@pytest.mark.parametrize("kind", ROTATIONS)
def test_two_faults_never_break_an_invariant_and_never_cost_a_forgiving_provider_s_connection(kind: str) -> None:
    endings = Counter(crash(kind, plan).ended for plan in pairs(kind))
    assert endings.keys() == ({"fresh", "ambiguous_rotation"} if kind == "strict" else {"fresh"})
