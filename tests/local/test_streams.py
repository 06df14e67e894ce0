"""Streams and their poller: what is tried again, cut in two, and given up by its place."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.dynamodb.models.table import StreamShard
from moto.dynamodbstreams.models import DynamoDBStreamsBackend

from dev import pollers
from dev.deployment import EventSource
from dev.forgetting import Latest, forgetful_iterators
from dev.pollers import StreamPoller
from dev.runtime import Answer
from dev.streams import whole_inserts
from tests.support.tables import AWS_ENVIRONMENT, REGION

STREAM = "arn:aws:dynamodb:eu-central-1:123456789012:table/notes/stream/1"
DEAD_LETTERS = "arn:aws:sqs:eu-central-1:123456789012:dead"

type Client = Any  # boto3 makes its clients at run time


@dataclass
class FakeFunctions:
    """A function that answers each batch, given as its numbers, as `handle` says."""

    handle: Callable[[list[str]], Answer]
    batches: list[list[str]] = field(default_factory=list)

    def invoke(self, _arn: str, payload: bytes) -> Answer:
        numbers = [record["dynamodb"]["SequenceNumber"] for record in json.loads(payload)["Records"]]
        self.batches.append(numbers)
        return self.handle(numbers)


@dataclass
class FakeQueue:
    messages: list[dict[str, Any]] = field(default_factory=list)

    def get_queue_url(self, QueueName: str) -> dict[str, str]:  # noqa: N803 - boto3's own name
        return {"QueueUrl": QueueName}

    def send_message(self, QueueUrl: str, MessageBody: str) -> None:  # noqa: N803 - boto3's own names
        self.messages.append({"queue": QueueUrl, **json.loads(MessageBody)})


class Delivery:
    """A poller of a stream, its function and its dead letters."""

    def __init__(
        self, handle: Callable[[list[str]], Answer], *, retries: int | None = 2, bisects: bool = False
    ) -> None:
        source = EventSource(
            source_arn=STREAM,
            function_arn="f",
            batch_size=10,
            partial_failures=True,
            concurrency=1,
            retries=retries,
            bisects=bisects,
            dead_letters_arn=DEAD_LETTERS,
        )
        self.functions, self.queue, self.said = FakeFunctions(handle), FakeQueue(), list[str]()
        functions: Any = self.functions
        self.poller = StreamPoller(source, None, self.queue, functions, self.said.append, threading.Event())

    def of(self, *numbers: str) -> list[list[str]]:
        self.poller.deliver([{"dynamodb": {"SequenceNumber": each}} for each in numbers], "shard-1")
        return self.functions.batches


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pollers, "LONGEST_PAUSE_SECONDS", 0.0)


def failing(*numbers: str) -> Answer:
    return Answer(json.dumps({"batchItemFailures": [{"itemIdentifier": each} for each in numbers]}).encode())


def crash() -> Answer:
    return Answer(b"{}", failed=True)


def test_a_batch_that_is_done_is_done() -> None:
    delivery = Delivery(lambda _: failing())
    assert delivery.of("1", "2") == [["1", "2"]]
    assert delivery.queue.messages == []


def test_a_batch_goes_on_with_its_first_record_that_failed() -> None:
    answers = iter([failing("3", "2"), failing()])
    assert Delivery(lambda _: next(answers)).of("1", "2", "3") == [["1", "2", "3"], ["2", "3"]]


def test_what_keeps_failing_is_given_up_by_its_place_and_without_a_record() -> None:
    delivery = Delivery(lambda numbers: failing(numbers[0]))
    assert delivery.of("1", "2") == [["1", "2"]] * 3
    (message,) = delivery.queue.messages
    assert message["queue"] == "dead"
    assert message["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert message["requestContext"]["approximateInvokeCount"] == 3
    assert message["DDBStreamBatchInfo"] == {
        "shardId": "shard-1",
        "startSequenceNumber": "1",
        "endSequenceNumber": "2",
        "batchSize": 2,
        "streamArn": STREAM,
    }
    assert delivery.said == [f"stream {STREAM}: gave up on 2 records"]


def test_a_record_with_which_the_function_dies_is_found_by_halves_and_the_others_are_done() -> None:
    delivery = Delivery(lambda numbers: crash() if "3" in numbers else failing(), bisects=True)
    delivery.of("1", "2", "3", "4", "5")
    assert [each["DDBStreamBatchInfo"]["startSequenceNumber"] for each in delivery.queue.messages] == ["3"]
    assert delivery.queue.messages[0]["DDBStreamBatchInfo"]["batchSize"] == 1
    done = [number for batch in delivery.functions.batches if "3" not in batch for number in batch]
    assert done == ["1", "2", "4", "5"]


def test_without_a_limit_a_batch_is_tried_until_it_is_done() -> None:
    answers = iter([crash()] * 40 + [failing()])
    delivery = Delivery(lambda _: next(answers), retries=None)
    assert len(delivery.of("1")) == 41
    assert delivery.said == []


def test_nothing_is_tried_any_more_when_the_stack_stops() -> None:
    delivery = Delivery(lambda _: crash(), retries=None)
    delivery.poller.stopping.set()
    assert delivery.of("1") == []


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(StreamShard, "add", StreamShard.add)  # both are put back afterwards
    monkeypatch.setattr(DynamoDBStreamsBackend, "__init__", DynamoDBStreamsBackend.__init__)
    whole_inserts()
    forgetful_iterators(kept=3)
    with mock_aws():
        yield boto3.client("dynamodb", REGION)


def created(dynamodb: Client) -> tuple[Client, str]:
    """Return a client for the stream of a new table, and an iterator from its beginning."""
    arn = dynamodb.create_table(
        TableName="notes",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]["LatestStreamArn"]
    streams: Client = boto3.client("dynamodbstreams", REGION)
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    began = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    return streams, streams.get_shard_iterator(**began)["ShardIterator"]


def updated(dynamodb: Client, note: str, text: str) -> None:
    dynamodb.update_item(
        TableName="notes",
        Key={"id": {"S": note}},
        UpdateExpression="SET told = :t",
        ExpressionAttributeValues={":t": {"S": text}},
    )


def test_an_item_that_an_update_makes_is_one_change_and_one_with_its_key_alone_is_one_too(dynamodb: Client) -> None:
    streams, iterator = created(dynamodb)
    updated(dynamodb, "a", "1")
    updated(dynamodb, "a", "2")
    dynamodb.put_item(TableName="notes", Item={"id": {"S": "b"}})
    updated(dynamodb, "c", "1")
    records = streams.get_records(ShardIterator=iterator)["Records"]
    assert [(each["eventName"], each["dynamodb"]["NewImage"]) for each in records] == [
        ("INSERT", {"id": {"S": "a"}, "told": {"S": "1"}}),
        ("MODIFY", {"id": {"S": "a"}, "told": {"S": "2"}}),
        ("INSERT", {"id": {"S": "b"}}),
        ("INSERT", {"id": {"S": "c"}, "told": {"S": "1"}}),
    ]
    numbers = [int(each["dynamodb"]["SequenceNumber"]) for each in records]
    assert [number - numbers[0] for number in numbers] == [0, 1, 2, 3]


def test_a_stream_that_is_read_for_long_forgets_where_it_was_read_from(dynamodb: Client) -> None:
    streams, iterator = created(dynamodb)
    for number in range(9):
        updated(dynamodb, str(number), "1")
        answer = streams.get_records(ShardIterator=iterator)
        assert [each["dynamodb"]["Keys"]["id"]["S"] for each in answer["Records"]] == [str(number)]
        iterator = answer["NextShardIterator"]


def test_only_the_latest_are_kept() -> None:
    latest: Latest[int, int] = Latest(3)
    for number in range(9):
        latest[number] = number
    assert list(latest) == [6, 7, 8]
