"""A minute's worth of chaos on the real stack: workers killed, a table and a key taken away, answers spoiled."""

from collections import Counter

import pytest

from tests.chaos.evidence import BROKEN
from tests.chaos.plan import Plan
from tests.chaos.report import Findings
from tests.chaos.soak import run

pytestmark = pytest.mark.stack
PLAN = Plan(
    connections=20,
    rotations=20,
    faults=0.08,
    kills=4,
    outages=True,
    outage_seconds=3,
    readers=3,
    services=("dynamodb", "kms"),
    revocations=1,
    seed=1,
    minutes=0.5,
    pace=4.0,
    calm_seconds=3,
)


@pytest.fixture(scope="module")
def findings() -> Findings:
    return run(PLAN)


def test_no_promise_was_broken(findings: Findings) -> None:
    assert findings.broken == []


def test_every_connection_is_accounted_for(findings: Findings) -> None:
    ends = Counter(end for _, end in findings.ends)
    assert ends.total() == PLAN.connections
    assert not BROKEN & ends.keys()


def test_there_was_chaos(findings: Findings) -> None:
    assert findings.rotations > 0
    assert findings.trouble.kills
    assert {each.service for each in findings.trouble.outages} == set(PLAN.services)
    assert findings.readers.counts["served"] > 0
    assert any(request.pid for request in findings.evidence.presented)
