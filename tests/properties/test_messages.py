"""Whatever arrives in a queue or an event does no more than a check, and no batch suffers from one of its messages."""

import pytest

from tests.properties.many import bounded, explore, quick
from tests.simulation.mutations import commit_over_any_generation


def test_any_batch_of_hints_fails_only_those_that_are_none() -> None:
    counts = explore("deliveries", bounded(200, derandomized=True))
    assert counts["done"] > 200
    assert counts["failed"] > 200


def test_any_direct_event_is_refused_or_does_what_it_says() -> None:
    counts = explore("direct events", bounded(250, derandomized=True))
    assert counts["refused"] > 30
    assert counts["understood"] > 30


def test_any_escrow_message_is_written_over_its_predecessor_or_not_at_all() -> None:
    counts = explore("escrow messages", bounded(200, derandomized=True))
    assert counts["restored"] > 30
    assert counts["left alone"] > 100


def test_a_commit_that_asks_for_no_predecessor_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    commit_over_any_generation(monkeypatch)
    with pytest.raises(AssertionError):
        explore("escrow messages", quick(100))
