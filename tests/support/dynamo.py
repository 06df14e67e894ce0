"""DynamoDB's low-level client in memory: single items, the very expressions that the adapters send, and its errors.

Fast (no HTTP, no copies of what did not change) and deterministic; `tests/contract/test_connections.py` holds it and
moto to the same facts. Items are replaced on a write, never changed in place.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from botocore.exceptions import ClientError

from tests.support import expressions
from tests.support.expressions import Item, Names, NotAnExpression, number

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

type Key = tuple[str, ...]
type Written = Callable[[str, Item | None, Item | None], None]
_NOTHING: Final[Mapping[str, Any]] = {}
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class _Index:
    """Attributes of partition and sort key, and those to show beside all keys (None: all of them)."""

    keys: tuple[str, ...]
    shown: frozenset[str] | None = None

    def holds(self, item: Item) -> bool:
        return all([name in item for name in self.keys])  # noqa: C419 - a list costs less than a generator


@dataclass(slots=True)
class _Table:
    keys: tuple[str, ...]
    indexes: Mapping[str, _Index]
    items: dict[Key, Item] = field(default_factory=dict)

    def key_of(self, item: Mapping[str, Mapping[str, Any]]) -> Key:
        return tuple([str(value) for name in self.keys for value in item[name].values()])


class MemoryDynamo:
    """A client of one account's tables. `written` is told of each write: table, item before, item after."""

    def __init__(self, written: Written = lambda _table, _before, _after: None) -> None:
        self._tables: dict[str, _Table] = {}
        self._written = written

    @property
    def as_client(self) -> "DynamoDBClient":
        return cast("DynamoDBClient", self)

    def create_table(self, **wanted: Any) -> None:  # noqa: ANN401 - boto3's shape
        """Take boto3's description of a table; what is not about keys and indexes is ignored."""
        keys = _names(wanted["KeySchema"])
        indexes = {each["IndexName"]: _index(each, keys) for each in wanted.get("GlobalSecondaryIndexes", ())}
        self._tables[wanted["TableName"]] = _Table(keys, indexes)

    def get_item(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's shape
        table = self._tables[request["TableName"]]
        item = table.items.get(table.key_of(request["Key"]))
        return {} if item is None else {"Item": dict(item)}

    def put_item(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's shape
        return self._write(request, request["Item"], "PutItem", lambda _old: dict(request["Item"]))

    def delete_item(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's shape
        return self._write(request, request["Key"], "DeleteItem", lambda _old: None)

    def update_item(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's shape
        update = expressions.update(request["UpdateExpression"])
        names: Names = request.get("ExpressionAttributeNames", _NOTHING)
        values: Item = request.get("ExpressionAttributeValues", {})

        def changed(old: Item | None) -> Item:
            new = dict(request["Key"] if old is None else old)
            update.act(old or {}, new, names, values)
            return new

        return self._write(request, request["Key"], "UpdateItem", changed, used=update.placeholders)

    def _write(
        self,
        request: Mapping[str, Any],
        key_in: Item,
        operation: str,
        change: Callable[[Item | None], Item | None],
        *,
        used: frozenset[str] = frozenset(),
    ) -> dict[str, Any]:
        table = self._tables[request["TableName"]]
        key = table.key_of(key_in)
        old = table.items.get(key)
        if not self._allowed(request, old or {}, operation, used):
            raise _refused(request, old, operation)
        try:
            new = change(old)
        except NotAnExpression as error:
            raise _invalid(operation, str(error)) from error
        if new is None:
            table.items.pop(key, None)
        else:
            table.items[key] = new
        self._written(request["TableName"], old, new)
        shown = {"ALL_OLD": old, "ALL_NEW": new, "UPDATED_NEW": new}.get(request.get("ReturnValues", "NONE"))
        return {"Attributes": dict(shown)} if shown else {}

    @staticmethod
    def _allowed(request: Mapping[str, Any], item: Item, operation: str, used: frozenset[str]) -> bool:
        names: Names = request.get("ExpressionAttributeNames", _NOTHING)
        values: Item = request.get("ExpressionAttributeValues", {})
        text = request.get("ConditionExpression")
        compiled = expressions.condition(text) if text else None
        placeholders = _union(used, compiled.placeholders) if compiled else used
        if placeholders != {*names, *values}:
            raise _invalid(operation, f"placeholders given and used differ: {sorted(placeholders ^ {*names, *values})}")
        return compiled is None or compiled.act(item, names, values)

    def get_paginator(self, operation: str) -> "_Paginator":
        return _Paginator({"query": self.query, "scan": self.scan}[operation])

    def query(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's shape
        """Answer one page; `ExclusiveStartKey` is the `LastEvaluatedKey` of the page before."""
        table = self._tables[request["TableName"]]
        index = table.indexes[request["IndexName"]] if "IndexName" in request else _Index(table.keys)
        names: Names = request.get("ExpressionAttributeNames", _NOTHING)
        values: Item = request.get("ExpressionAttributeValues", {})
        wanted = expressions.condition(request["KeyConditionExpression"]).act
        found = [item for item in table.items.values() if wanted(item, names, values) and index.holds(item)]
        if len(found) > 1:
            order = (*index.keys[1:], *table.keys)
            found.sort(key=lambda item: _order(item, order), reverse=not request.get("ScanIndexForward", True))
        return _page(request, found, table, _projected(request, names) or index.shown)

    def scan(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's shape
        """Answer one page in the order of keys: unlike a query, a scan may go on after an item that is gone."""
        table = self._tables[request["TableName"]]
        keys = sorted(table.items)
        if "ExclusiveStartKey" in request:
            start = table.key_of(request.pop("ExclusiveStartKey"))
            keys = [key for key in keys if key > start]
        shown = _projected(request, request.get("ExpressionAttributeNames", _NOTHING))
        return _page(request, [table.items[key] for key in keys], table, shown)


class _Paginator:
    def __init__(self, ask: Callable[..., dict[str, Any]]) -> None:
        self._ask = ask

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - boto3's shape
        paging = request.pop("PaginationConfig", _NOTHING)
        limit = {"Limit": paging["PageSize"]} if "PageSize" in paging else {}
        page = self._ask(**request, **limit)
        yield page
        while "LastEvaluatedKey" in page:
            page = self._ask(**request, **limit, ExclusiveStartKey=page["LastEvaluatedKey"])
            yield page


def _page(
    request: Mapping[str, Any], items: Sequence[Item], table: _Table, shown: frozenset[str] | None
) -> dict[str, Any]:
    start = 0
    if "ExclusiveStartKey" in request:
        start = [table.key_of(item) for item in items].index(table.key_of(request["ExclusiveStartKey"])) + 1
    stop = start + request.get("Limit", _PAGE)
    page = items[start:stop]
    more = {"LastEvaluatedKey": {name: page[-1][name] for name in table.keys}} if stop < len(items) else {}
    if text := request.get("FilterExpression"):
        names: Names = request.get("ExpressionAttributeNames", _NOTHING)
        kept = expressions.condition(text).act
        page = [item for item in page if kept(item, names, request.get("ExpressionAttributeValues", {}))]
    shown_items = [
        dict(item) if shown is None else {name: item[name] for name in item if name in shown} for item in page
    ]
    return {"Items": shown_items, "Count": len(page), **more}


@cache
def _union(some: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    return some | others


def _order(item: Item, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(number(item[name]) if "N" in item[name] else next(iter(item[name].values())) for name in names)


def _names(schema: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    return tuple(each["AttributeName"] for each in sorted(schema, key=lambda each: each["KeyType"]))


def _index(described: Mapping[str, Any], table_keys: tuple[str, ...]) -> _Index:
    keys = _names(described["KeySchema"])
    projection = described["Projection"]
    if projection["ProjectionType"] == "ALL":
        return _Index(keys)
    return _Index(keys, frozenset((*keys, *table_keys, *projection.get("NonKeyAttributes", ()))))


def _projected(request: Mapping[str, Any], names: Names) -> frozenset[str] | None:
    """Return the attributes that are asked for by name; None where all are."""
    if "ProjectionExpression" not in request:
        return None
    return frozenset(names.get(each, each) for each in request["ProjectionExpression"].split(", "))


def _invalid(operation: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": "ValidationException", "Message": message}}, operation)


def _refused(request: Mapping[str, Any], old: Item | None, operation: str) -> ClientError:
    code = "ConditionalCheckFailedException"
    response: dict[str, Any] = {"Error": {"Code": code, "Message": "The conditional request failed"}}
    if old is not None and request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
        response["Item"] = dict(old)
    return ClientError(cast("Any", response), operation)
