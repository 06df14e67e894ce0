"""A batch of changes: told in order, what cannot be told set aside, and what fails reported by its place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from consentry.aws.changes import change_of
from consentry.errors import InvalidRequest
from consentry.events.change import Change, Event
from consentry.events.tell import TellBus
from consentry.ports import StorageUnavailable
from consentry.web.stream import relay
from tests.support.clock import FakeClock
from tests.support.logs import Log
from tests.support.streams import Json, row, stream_record

FLAGGED = {"status": "reauth_required", "status_cause": "grant_revoked"}


@dataclass
class FakeBus:
    """Refuses the events of certain tenants."""

    refused: set[str] = field(default_factory=set)
    taken: list[str] = field(default_factory=list)

    def put(self, events: Sequence[Event]) -> Sequence[tuple[Event, str]]:
        left = [(event, "InternalFailure") for event in events if event.detail["tenant"] in self.refused]
        self.taken += [str(event.detail["tenant"]) for event in events if event.detail["tenant"] not in self.refused]
        return left


@dataclass
class FakeAside:
    is_away: bool = False
    notes: list[dict[str, str]] = field(default_factory=list)

    def put(self, note: dict[str, str]) -> None:
        if self.is_away:
            raise StorageUnavailable("away", detail="set a change aside: InternalError")
        self.notes.append(note)


@dataclass
class Relay:
    bus: FakeBus = field(default_factory=FakeBus)
    aside: FakeAside = field(default_factory=FakeAside)

    def __call__(self, *records: Json) -> list[int]:
        """Return the places of the records that have to come again."""
        answer = relay({"Records": list(records)}, self.read, TellBus(clock=FakeClock(), bus=self.bus), self.aside)
        numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
        return [numbers.index(failure["itemIdentifier"]) for failure in answer["batchItemFailures"]]

    def read(self, record: Mapping[str, Any]) -> Change | None:
        return change_of(record)


def made(tenant: str) -> Json:
    return stream_record(None, row(tenant=tenant))


def quiet(tenant: str) -> Json:
    return stream_record(row(tenant=tenant), row(tenant=tenant, gen=4))


def poison(tenant: str) -> Json:
    return stream_record(None, row(tenant=tenant, v=2))


def test_a_batch_is_told_in_its_order_and_done() -> None:
    relayed = Relay()
    assert relayed(made("a"), quiet("b"), made("c")) == []
    assert relayed.bus.taken == ["a", "c"]


def test_an_event_is_logged_with_the_connection_and_its_cause(log_lines: Log) -> None:
    Relay()(stream_record(row(), row(**FLAGGED)))
    (line,) = log_lines.named("event told")
    assert line["outcome"] == "connection.reauth_required"
    assert (line["tenant"], line["connection"], line["cause"], line["gen"]) == (
        "acme",
        "crm#default",
        "grant_revoked",
        3,
    )
    assert "CNRY" not in log_lines.text


def test_a_change_that_cannot_be_read_is_set_aside_and_its_batch_mates_are_told(log_lines: Log) -> None:
    relayed = Relay()
    bad = poison("b")
    assert relayed(made("a"), bad, made("c")) == []
    assert relayed.bus.taken == ["a", "c"]
    (note,) = relayed.aside.notes
    assert (note["event_id"], note["sequence"]) == (bad["eventID"], bad["dynamodb"]["SequenceNumber"])
    assert (note["table"], note["key_tenant"]) == ("ConnectionsTable", "{'S': 'b'}")
    assert "version 2" in note["reason"]
    assert log_lines.named("change not readable")[0]["level"] == "CRITICAL"
    assert "CNRY" not in log_lines.text + str(note)


def test_a_mistake_of_ours_costs_its_own_change_alone(log_lines: Log) -> None:
    class Mistaken(Relay):
        def read(self, record: Mapping[str, Any]) -> Change | None:
            if record["dynamodb"]["Keys"]["tenant"]["S"] == "b":
                raise ZeroDivisionError("CNRY-text")
            return change_of(record)

    relayed = Mistaken()
    assert relayed(made("a"), made("b"), made("c")) == []
    assert relayed.bus.taken == ["a", "c"]
    assert relayed.aside.notes[0]["reason"] == "unforeseen ZeroDivisionError"
    assert log_lines.named("unforeseen")[0]["where"].startswith("tests.unit.events")
    assert "CNRY" not in log_lines.text


def test_what_cannot_even_be_set_aside_comes_again_and_what_stood_before_it_is_done(log_lines: Log) -> None:
    relayed = Relay(aside=FakeAside(is_away=True))
    assert relayed(made("a"), poison("b"), made("c")) == [1]
    assert relayed.bus.taken == ["a"]
    assert log_lines.named("change not set aside")[0]["detail"] == "set a change aside: InternalError"


def test_an_event_that_is_not_taken_brings_its_change_back_and_all_that_follow() -> None:
    relayed = Relay(bus=FakeBus(refused={"c"}))
    assert relayed(made("a"), quiet("b"), made("c"), made("d")) == [2]
    assert relayed.bus.taken[0] == "a"


def test_of_two_events_of_one_change_both_come_again_if_one_is_not_taken() -> None:
    class First(FakeBus):
        def put(self, events: Sequence[Event]) -> Sequence[tuple[Event, str]]:
            return [(event, "InternalFailure") for event in events if event.kind == "connection.recovered"]

    assert Relay(bus=First())(stream_record(row(**FLAGGED), row(consent_id="consent-2"))) == [0]


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        {},
        {"Records": {}},
        {"Records": [None]},
        {"Records": [{}]},
        {"Records": [{"dynamodb": []}]},
        {"Records": [{"dynamodb": {"SequenceNumber": 7}}]},
        {"Records": [made("a"), {"messageId": "1", "body": ""}]},
    ],
)
def test_whatever_is_no_batch_of_a_stream_is_refused_with_a_sentence(event: object) -> None:
    relayed = Relay()
    with pytest.raises(InvalidRequest, match="a batch of a DynamoDB stream"):
        relay(event, change_of, TellBus(clock=FakeClock(), bus=relayed.bus), relayed.aside)


def test_a_record_without_keys_or_table_is_set_aside_by_what_it_has() -> None:
    relayed = Relay()
    bare: Json = {"dynamodb": {"SequenceNumber": "77"}}
    assert relayed(bare) == []
    (note,) = relayed.aside.notes
    assert (note["sequence"], note["table"]) == ("77", "")


def test_a_note_is_short_whatever_stands_in_the_row() -> None:
    relayed = Relay()
    relayed(poison("t" * 9_000))
    assert max(len(value) for value in relayed.aside.notes[0].values()) == 200
