"""Records of streams that can be read, and all those that cannot."""

from copy import deepcopy
from typing import Any

import pytest

from consentry.aws.changes import change_of
from consentry.errors import UnreadableRecord
from consentry.events.change import ConnectionChange, HealthChange
from tests.support.streams import NOW, health, image, row, stream_record


def test_ciphertexts_are_left_out_before_anything_is_read() -> None:
    change = change_of(stream_record(row(), row(gen=4)))
    assert isinstance(change, ConnectionChange)
    assert change.before is not None
    assert (change.seen.record.access_token, change.before.record.grant) == (b"", b"")
    assert change.seen.record.account == ""
    assert "CNRY" not in repr(change)


def test_a_fraction_of_a_second_is_left_out() -> None:
    record = stream_record(None, row())
    record["dynamodb"]["ApproximateCreationDateTime"] = NOW + 0.9
    change = change_of(record)
    assert change
    assert change.moment.at == NOW


def test_a_health_record_written_by_hand_counts_as_far_as_it_can_be_read() -> None:
    record = stream_record(None, health(opened=1, open_until=NOW + 30))
    record["dynamodb"]["NewImage"]["failed"] = {"S": "many"}
    change = change_of(record)
    assert isinstance(change, HealthChange)
    assert (change.after.integration, change.after.opened, change.after.failed) == ("crm", 1, 0)


def broken(**changed: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever somebody writes
    """A record whose part `dynamodb` has other members; None takes one away."""
    record = deepcopy(stream_record(row(), row(gen=4)))
    told = record["dynamodb"] | changed
    return {**record, "dynamodb": {name: value for name, value in told.items() if value is not None}}


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"dynamodb": None},
        {"dynamodb": {}},
        {**stream_record(None, row()), "eventID": ""},
        {**stream_record(None, row()), "eventID": 7},
        broken(SequenceNumber=None),
        broken(SequenceNumber=7),
        broken(Keys=None),
        broken(Keys={}),
        broken(Keys={"integration": {"N": "1"}}),
        broken(Keys={"integration": {"S": "not an identifier#health"}}),
        broken(ApproximateCreationDateTime=None),
        broken(ApproximateCreationDateTime="2026-01-01"),
        broken(ApproximateCreationDateTime=True),
        broken(NewImage=None, OldImage=None),
        broken(NewImage=[]),
        broken(NewImage={}),
        broken(NewImage={"v": "1"}),
        broken(NewImage={"v": {"N": "one"}}),
        broken(NewImage={"v": {"X": "1"}}),
        broken(OldImage=image(row(v=2))),
        broken(NewImage=image(row(v=2))),
        broken(NewImage=image(row(status="unheard-of"))),
        broken(NewImage=image(row(gen=0))),
        broken(NewImage=image(row(gen="3"))),
        broken(NewImage=image(row(connection="crm"))),
        broken(NewImage=image(row(lost_scopes="tickets"))),
        broken(NewImage=image(row(lost_scopes=[1]))),
    ],
)
def test_a_record_that_is_not_understood_is_refused_whole(record: dict[str, Any]) -> None:
    with pytest.raises(UnreadableRecord) as refused:
        change_of(record)
    assert "CNRY" not in str(refused.value) + refused.value.detail


def test_what_stands_beside_the_attributes_that_are_told_may_be_of_any_shape() -> None:
    odd = {"X": ["nonsense"]}
    record = broken(NewImage={**image(row(gen=4)), "grant": odd, "metadata": odd, "account": odd})
    assert change_of(record) is not None
