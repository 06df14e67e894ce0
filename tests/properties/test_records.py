"""Whatever stands in a record, it is refreshed, left alone, or not understood; it is never destroyed."""

import pytest

from consentry.aws import connections
from consentry.aws.rows import connection_from
from tests.properties.many import bounded, explore, quick

OUTCOMES = {
    "refreshed", "not_refreshable", "not_active", "unavailable", "unreadable", "fresh", "other_epoch",
    "erased_unrevoked",
}  # fmt: skip


def test_any_record_keeps_what_this_version_does_not_know() -> None:
    counts = explore("records", bounded(300, derandomized=True))
    assert {outcome for outcome in OUTCOMES if not counts[outcome]} == set()


def test_an_engine_that_looks_at_no_version_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "connection_from", lambda item: connection_from({**item, "v": 1}))
    with pytest.raises(AssertionError):
        explore("records", quick(300))
