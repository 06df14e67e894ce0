"""The ordered index answers the dispatcher's queries as the unordered one does, page by page."""

from random import Random
from typing import Any

import pytest

from consentry.aws.connections import SHARDS, DynamoConnections, shard_of
from consentry.model import ConnectionKey
from tests.days.store import OrderedDynamo
from tests.support.dynamo import MemoryDynamo
from tests.support.tables import create_tables

TABLE = "test-ConnectionsTable"
ROWS = 700


def filled[Dynamo: MemoryDynamo](dynamo: Dynamo) -> Dynamo:
    create_tables(dynamo.as_client)
    random = Random(1)  # noqa: S311 - rows that can be made again
    for number in range(ROWS):
        key = ConnectionKey(f"tenant{number}", "crm")
        numbers = {"gen": 1, "due_shard": shard_of(key) % 2, "due_at": random.randrange(1000)}
        if number % 3:
            numbers["enqueued_until"] = 5
        names = {"tenant": {"S": key.tenant}, "connection": {"S": key.sort_key}, "label": {"S": "not projected"}}
        dynamo.put_item(TableName=TABLE, Item=names | {name: {"N": str(each)} for name, each in numbers.items()})
    return dynamo


@pytest.fixture
def ordered() -> OrderedDynamo:
    return filled(OrderedDynamo(TABLE))


def query(dynamo: MemoryDynamo, now: int, size: int) -> list[dict[str, Any]]:
    values = {":shard": {"N": "1"}, ":now": {"N": str(now)}}
    asked = {
        "TableName": TABLE,
        "IndexName": "due",
        "KeyConditionExpression": "due_shard = :shard AND due_at <= :now",
        "ExpressionAttributeValues": values,
        "PaginationConfig": {"PageSize": size},
    }
    return [item for page in dynamo.get_paginator("query").paginate(**asked) for item in page["Items"]]


@pytest.mark.parametrize(("now", "size"), [(-1, 10), (0, 10), (500, 1), (500, 7), (500, 250), (999, 250), (5000, 1000)])
def test_it_finds_what_the_unordered_index_finds(ordered: OrderedDynamo, now: int, size: int) -> None:
    assert query(ordered, now, size) == query(filled(MemoryDynamo()), now, size)


def test_a_page_begins_after_a_row_that_has_moved_on(ordered: OrderedDynamo) -> None:
    table = DynamoConnections(ordered.as_client, TABLE)
    walk = table.due(1, now=5000)
    first = next(walk)
    later = query(ordered, 5000, 1000)[1:]
    for row in query(ordered, 5000, 1000)[:300]:
        ordered.delete_item(TableName=TABLE, Key={name: row[name] for name in ("tenant", "connection")})
    seen = [first, *walk]
    assert {each.hint.key.tenant for each in seen[-10:]} == {row["tenant"]["S"] for row in later[-10:]}


def test_all_of_a_shard_is_counted(ordered: OrderedDynamo) -> None:
    table = DynamoConnections(ordered.as_client, TABLE)
    assert sum(len(list(table.integrations(shard))) for shard in range(SHARDS)) == ROWS


def test_a_write_is_told(ordered: OrderedDynamo) -> None:
    told: list[str] = []
    ordered.told = lambda table, _before, _after: told.append(table)
    key = {"tenant": {"S": "somebody"}, "connection": {"S": "crm#default"}}
    ordered.put_item(TableName=TABLE, Item=key)
    assert told == [TABLE]
    assert len(query(ordered, 5000, 1000)) == sum(
        row["due_shard"] == {"N": "1"} for row in ordered.rows.values() if "due_shard" in row
    )
