"""Whatever happens to a deployment, in any order, breaks no invariant, and ends in rest."""

import pytest

from tests.properties.many import MACHINE, bounded, explore, quick
from tests.simulation.mutations import Mutation, lease_over_a_lease, lease_without_intent

SEEN = {"refreshed", "in_doubt", "reauth_required", "table_unavailable", "dynamo outage", "flagged grant_revoked"}


def test_no_order_of_events_breaks_an_invariant() -> None:
    counts = explore(MACHINE, bounded(120, derandomized=True))
    assert {each for each in SEEN if not counts[each]} == set()


@pytest.mark.parametrize("mutation", [lease_over_a_lease, lease_without_intent])
def test_a_weakened_engine_is_found_out(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation(monkeypatch)
    with pytest.raises(AssertionError, match=r"I-\d\d|cause"):
        explore(MACHINE, quick(100))
