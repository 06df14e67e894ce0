"""The keys are replaced while everything goes on and fails: nothing is lost, and nothing stays under the first key."""

from collections import Counter
from typing import Any

import pytest

from consentry.aws import sealed
from consentry.aws.dynamodb import Refused, Update, apply
from consentry.rekey.ports import Row
from tests.simulation import replacing
from tests.simulation.edges import ONE_KEY
from tests.simulation.many import prepared
from tests.simulation.replacing import replaced
from tests.simulation.runs import BrokenInvariant

SCHEDULES = 1_000
TRIED = 400


@pytest.fixture(scope="module")
def counts() -> Counter[str]:
    prepared()
    found = Counter[str]()
    for seed in range(SCHEDULES):
        found.update(replaced(seed).counts)
    return found


def test_no_read_fails_no_grant_is_lost_and_in_the_end_the_first_key_is_needed_by_nobody(counts: Counter[str]) -> None:
    assert counts["sealed anew"] > SCHEDULES


def test_refreshes_readers_farewells_and_faults_came_in_between(counts: Counter[str]) -> None:
    wanted = ("raced", "reads", "refreshed", "disconnects", "error, but applied", "die after", "applied twice", "pause")
    assert [each for each in wanted if counts[each] < 10] == []


def breaks() -> str:
    """Return the number of the first invariant that breaks."""
    for seed in range(TRIED):
        try:
            replaced(seed)
        except BrokenInvariant as error:
            return error.what[:4]
    return ""


def whatever_stands_there(self: sealed.DynamoRows, row: Row, successors: Any) -> bool:  # noqa: ANN401 - the port's
    """Write without looking whether somebody was faster."""
    update = Update().set({what.value: each for what, each in successors.items()})
    update.require(f"attribute_exists({update.name('tenant')})")
    request = update.request(self._table, {"tenant": row.place[0], "connection": row.place[1]})
    try:
        apply(self._client.update_item, request, "replace keys")
    except Refused:
        return False
    return True


def test_it_breaks_if_a_write_does_not_ask_for_the_ciphertext_that_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed.DynamoRows, "replace", whatever_stands_there)
    assert breaks() == "K-03"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_ANNOUNCED", ONE_KEY),  # nobody knows the second key when the first functions seal with it
        ("_REPLACED", replacing._DONE),  # the first key is not known any more before anything is replaced
    ],
)
def test_it_breaks_if_a_step_is_left_out(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    monkeypatch.setattr(replacing, name, value)
    assert breaks() == "K-01"
