"""Thousands of schedules of the real engine among faults: no invariant breaks, and nothing is left untried."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from consentry.refresh.policy import Outcome
from tests.simulation.faults import Answer, Fate
from tests.simulation.runs import Options, run
from tests.simulation.world import KINDS

SCHEDULES = 10_000
# Made elsewhere than in the engine: the schedules use no disabled or unreadable connections.
NOT_IN_SCHEDULES = {Outcome.UNFORESEEN, Outcome.UNREADABLE}
FLAGS = ("grant_revoked", "ambiguous_rotation", "credential_rejected", "no_refresh_token")


@pytest.fixture(scope="module")
def summary() -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seeds", str(SCHEDULES), "--processes", "2"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert ran.stdout, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout)
    return result


def test_no_invariant_breaks(summary: dict[str, Any]) -> None:
    assert summary["schedules"] == SCHEDULES
    assert summary["broken"] == [], summary["broken"][0]["trace"]


def test_every_fault_occurred(summary: dict[str, Any]) -> None:
    faults = [
        *(set(Fate) - {Fate.GOOD}),
        *Answer,
        "pause",
        "dynamo outage",
        "kms outage",
        "secrets outage",
        "user revokes",
    ]
    assert {fault: summary["counts"].get(fault, 0) for fault in faults if summary["counts"].get(fault, 0) < 100} == {}


def test_every_outcome_occurred(summary: dict[str, Any]) -> None:
    assert [outcome for outcome in set(Outcome) - NOT_IN_SCHEDULES if not summary["counts"].get(outcome)] == []


def test_every_cause_and_every_kind_of_rotation_occurred(summary: dict[str, Any]) -> None:
    wanted = [*(f"flagged {cause}" for cause in FLAGS), *(f"kind {kind}" for kind in KINDS)]
    assert [each for each in wanted if not summary["counts"].get(each)] == []


def test_every_kind_of_farewell_occurred(summary: dict[str, Any]) -> None:
    counts = summary["counts"]
    endings = ("revoked", "in_doubt", "client_credentials", "no_refresh_token")
    wanted = [*(f"erased {ending}" for ending in endings), "handed over"]
    assert [each for each in wanted if not counts.get(each)] == []
    assert any(each.startswith("erased given_up:") for each in counts)


def test_a_seed_tells_the_same_story_twice() -> None:
    for seed in range(40):
        first, second = run(seed), run(seed)
        assert first.trace == second.trace
        assert first.counts == second.counts


def test_seeds_tell_different_stories() -> None:
    assert len({tuple(run(seed).trace) for seed in range(10)}) == 10


@pytest.mark.parametrize("seed", [3_015_204, 3_058_299, 10_082_147, 30_002_429])
def test_a_schedule_that_once_broke_an_invariant_breaks_none_any_more(seed: int) -> None:
    assert run(seed, Options(farewells=0)).posts > 0


@pytest.mark.parametrize("seed", [51_139_349, 51_177_056])
def test_disconnecting_waits_for_no_request_with_a_grant_that_was_replaced(seed: int) -> None:
    assert run(seed).counts["erased revoked"] > 0
