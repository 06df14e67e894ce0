"""A table's own stream, read back: what the adapters write comes out as events, and EventBridge takes them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.dynamodb.models.table import StreamShard

from consentry.aws.bus import EventBridgeBus, SqsSetAside, source_of
from consentry.aws.changes import change_of
from consentry.aws.connections import DynamoConnections
from consentry.aws.erasures import DynamoErasures
from consentry.aws.health import DynamoHealth
from consentry.aws.removals import DynamoRemovals
from consentry.events.change import Event
from consentry.events.derive import events_of
from consentry.model import Connection, ConnectionKey, Removal, Status
from consentry.ports import Commit, StorageUnavailable
from consentry.refresh.erasures import Claim
from dev.pollers import _in_json
from dev.streams import whole_inserts
from tests.support.tables import AWS_ENVIRONMENT, REGION, template

NOW = 1_795_320_000
KEY = ConnectionKey("acme", "crm")
GRANT = {
    "provider": "crm", "grant_type": "authorization_code", "access_token": b"CNRY-a", "grant": b"CNRY-g",
    "consent_id": "consent-1", "due_at": NOW,
}  # fmt: skip
EVENT = Event(kind="connection.recovered", at=NOW, detail={"id": "e-1", "tenant": "acme"})

type Client = Any  # boto3 makes its clients at run time


class Streamed:
    """Tables with the streams that the template declares."""

    def __init__(self) -> None:
        self.dynamodb: Client = boto3.client("dynamodb", REGION)
        self._streams: Client = boto3.client("dynamodbstreams", REGION)
        self._arns = {name: self._created(name) for name in ("ConnectionsTable", "IntegrationsTable")}
        self.connections = DynamoConnections(self.dynamodb, "ConnectionsTable")

    def _created(self, name: str) -> str:
        properties = template()["Resources"][name]["Properties"]
        wanted = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
        made = self.dynamodb.create_table(
            TableName=name,
            StreamSpecification={"StreamEnabled": True, **properties["StreamSpecification"]},
            **{each: properties[each] for each in wanted if each in properties},
        )
        return str(made["TableDescription"]["LatestStreamArn"])

    def events(self, table: str = "ConnectionsTable") -> list[tuple[str, dict[str, Any]]]:
        """Return kind and detail of all that happened, as Lambda's records come to it."""
        (shard,) = self._streams.describe_stream(StreamArn=self._arns[table])["StreamDescription"]["Shards"]
        iterator = self._streams.get_shard_iterator(
            StreamArn=self._arns[table], ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        records = json.loads(json.dumps(self._streams.get_records(ShardIterator=iterator)["Records"], default=_in_json))
        changes = [change for record in records if (change := change_of(record))]
        return [(event.kind, dict(event.detail)) for change in changes for event in events_of(change)]

    def commit(self, expected_gen: int, **more: Any) -> None:  # noqa: ANN401 - attributes
        consent = more.pop("expected_consent", None)
        self.connections.commit(
            Commit(
                key=KEY,
                expected_gen=expected_gen,
                expected_epoch=1,
                epoch=1,
                commit_id=f"commit-{expected_gen}",
                status=more.pop("status", Status.ACTIVE),
                set_attributes=more,
                remove=(),
                expected_consent=consent,
            )
        )

    @property
    def record(self) -> Connection:
        found = self.connections.read(KEY)
        assert found
        return found


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Streamed]:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(StreamShard, "add", StreamShard.add)  # put back afterwards
    whole_inserts()
    with mock_aws():
        yield Streamed()


def test_a_connection_s_life_is_told_from_its_stream(streamed: Streamed) -> None:
    streamed.commit(0, **GRANT)
    streamed.commit(1, access_token=b"CNRY-b", due_at=NOW + 9, expected_consent="consent-1")
    streamed.commit(2, access_token=b"CNRY-c", warned_at=NOW, due_at=NOW + 9, expected_consent="consent-1")
    streamed.commit(3, **{**GRANT, "consent_id": "consent-2"}, expected_consent="consent-1")
    kinds = [(kind, detail["generation"]) for kind, detail in streamed.events()]
    assert kinds == [
        ("connection.connected", 1),
        ("connection.expiring_soon", 3),
        ("connection.connected", 4),
    ]
    assert "CNRY" not in str(streamed.events())


def test_reading_a_stream_again_comes_to_the_same_ids_in_the_same_order(streamed: Streamed) -> None:
    streamed.commit(0, **GRANT)
    streamed.commit(1, **{**GRANT, "consent_id": "consent-2"}, expected_consent="consent-1")
    first, again = streamed.events(), streamed.events()
    assert first == again
    numbers = [int(detail["sequence"]) for _, detail in first]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("revoked", [True, False])
def test_what_became_of_the_grant_is_found_in_what_was_erased(streamed: Streamed, revoked: bool) -> None:
    erasures = DynamoErasures(streamed.dynamodb, "ConnectionsTable")
    streamed.commit(0, **GRANT)
    DynamoRemovals(streamed.dynamodb, "ConnectionsTable").mark(KEY, now=NOW, removal=Removal.REVOKE)
    claimed = erasures.claim(streamed.record, Claim(owner="eraser", now=NOW, until=NOW + 60, due_at=NOW + 61))
    assert claimed
    assert erasures.erase(claimed, "eraser", revoked=revoked)
    (_, (kind, detail)) = streamed.events()
    assert (kind, detail["revoked"]) == ("connection.disconnected", revoked)


def test_an_integration_s_trouble_is_told_once_and_so_is_its_end(streamed: Streamed) -> None:
    health = DynamoHealth(streamed.dynamodb, "IntegrationsTable")
    now = int(datetime.now(UTC).timestamp())  # the stream says when a hold began
    health.count_failure("crm", succeeded=3, now=now, since=now - 60)
    health.open("crm", until=now + 30, opened=1, now=now)
    health.open("crm", until=now + 99, opened=2, now=now + 31)
    health.recover("crm", now=now + 100)
    health.hold("crm", until=now + 86_400, now=now)
    health.hold("crm", until=now + 86_500, now=now + 1)
    assert [(kind, detail["integration"]) for kind, detail in streamed.events("IntegrationsTable")] == [
        ("integration.failing", "crm"),
        ("integration.recovered", "crm"),
        ("integration.held", "crm"),
    ]


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[EventBridgeBus, Client, str]]:
    """A bus whose rule puts every event into a queue; the queue's client and URL."""
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        sqs: Client = boto3.client("sqs", REGION)
        url = sqs.create_queue(QueueName="events")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events: Client = boto3.client("events", REGION)
        events.put_rule(Name="all", EventPattern=json.dumps({"source": ["consentry.prod"]}))
        events.put_targets(Rule="all", Targets=[{"Id": "queue", "Arn": arn}])
        yield EventBridgeBus(events, "default", source_of("prod")), sqs, url


def test_a_rule_sees_source_kind_time_and_detail(received: tuple[EventBridgeBus, Client, str]) -> None:
    bus, sqs, url = received
    assert bus.put([EVENT]) == []
    told = json.loads(sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"])
    assert (told["source"], told["detail-type"], told["detail"]) == ("consentry.prod", EVENT.kind, EVENT.detail)
    assert datetime.fromisoformat(told["time"]) == datetime.fromtimestamp(NOW, UTC)


def test_a_note_is_put_where_an_operator_finds_it(received: tuple[EventBridgeBus, Client, str]) -> None:
    _, sqs, url = received
    SqsSetAside(sqs, url).put({"reason": "x"})
    assert json.loads(sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"]) == {"reason": "x"}


class Answering:
    """An EventBridge that answers as it is told."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def put_events(self, **_request: object) -> object:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def test_refused_entries_are_named_with_their_codes() -> None:
    other = Event(kind=EVENT.kind, at=NOW, detail={"id": "e-2"})
    entries = [{"EventId": "1"}, {"ErrorCode": "ThrottlingException", "ErrorMessage": "CNRY"}]
    client: Any = Answering({"FailedEntryCount": 1, "Entries": entries})
    assert EventBridgeBus(client, "default", "consentry.prod").put([EVENT, other]) == [(other, "ThrottlingException")]


def test_a_bus_that_is_in_trouble_is_unavailable_storage() -> None:
    client: Any = Answering(ClientError({"Error": {"Code": "InternalException", "Message": "CNRY"}}, "PutEvents"))
    with pytest.raises(StorageUnavailable) as raised:
        EventBridgeBus(client, "default", "consentry.prod").put([EVENT])
    assert raised.value.detail == "put events: InternalException"
