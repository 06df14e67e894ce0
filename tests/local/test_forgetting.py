"""What the local stack's emulator forgets, and what it keeps."""

import gc
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.common_models import BaseModel
from moto.dynamodb.models.dynamo_type import Item
from moto.dynamodb.models.table import StreamShard

from dev.forgetting import Newest, forgetful_streams, untracked_models
from tests.support.tables import AWS_ENVIRONMENT, REGION


def test_positions_count_from_the_first_one_ever() -> None:
    newest: Newest[int] = Newest(3)
    for number in range(10):
        newest.append(number)
    assert (len(newest), newest[9], newest[-1], newest[7:], newest[0:8], newest[:3]) == (10, 9, 9, [7, 8, 9], [7], [])


@mock_aws
def test_a_stream_read_late_begins_with_what_is_still_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(StreamShard, "__init__", StreamShard.__init__)  # put back afterwards
    forgetful_streams(kept=4)
    table: Any = boto3.client("dynamodb", REGION).create_table(
        TableName="rows",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]
    for number in range(10):
        boto3.client("dynamodb", REGION).put_item(TableName="rows", Item={"id": {"S": str(number)}})
    streams: Any = boto3.client("dynamodbstreams", REGION)
    shard = streams.describe_stream(StreamArn=table["LatestStreamArn"])["StreamDescription"]["Shards"][0]
    iterator = streams.get_shard_iterator(
        StreamArn=table["LatestStreamArn"], ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = streams.get_records(ShardIterator=iterator)["Records"]
    assert [record["dynamodb"]["NewImage"]["id"]["S"] for record in records] == ["6", "7", "8", "9"]
    sequence = [int(record["dynamodb"]["SequenceNumber"]) for record in records]
    assert [each - sequence[0] for each in sequence] == [0, 1, 2, 3]


@mock_aws
def test_a_record_that_was_replaced_is_gone_from_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(BaseModel, "__new__", BaseModel.__new__)  # put back afterwards
    untracked_models()
    client = boto3.client("dynamodb", REGION)
    client.create_table(
        TableName="rows",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    client.put_item(TableName="rows", Item={"id": {"S": "1"}, "count": {"N": "0"}})
    before = _items_alive()
    for number in range(20):
        client.put_item(TableName="rows", Item={"id": {"S": "1"}, "count": {"N": str(number)}})
    assert client.get_item(TableName="rows", Key={"id": {"S": "1"}})["Item"]["count"] == {"N": "19"}
    assert _items_alive() == before


def _items_alive() -> int:
    gc.collect()
    return sum(isinstance(each, Item) for each in gc.get_objects())
