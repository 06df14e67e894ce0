"""DynamoDB's own shapes: items to values and back, and the one way to write: a conditional update of a single item."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, cast

from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer
from botocore.exceptions import BotoCoreError, ClientError

from consentry.ports import StorageUnavailable

type Item = dict[str, Any]
type Values = Mapping[str, object]
type Amount = int | set[str]

_to_dynamodb = TypeSerializer().serialize
_from_dynamodb = TypeDeserializer().deserialize


def to_item(values: Values) -> Item:
    return {name: _to_dynamodb(list(value) if isinstance(value, tuple) else value) for name, value in values.items()}


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(_from_dynamodb(value)) for name, value in item.items()}


def _plain(value: object) -> object:
    match value:
        case Decimal():
            return int(value)
        case Binary():
            return cast("bytes", vars(value)["value"])
        case list():
            return [_plain(each) for each in value]
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case _:
            return value


@contextmanager
def storage_errors(what: str, error_code: str = "") -> Iterator[None]:
    """Turn botocore's exceptions into `StorageUnavailable`, naming the operation and the error code alone."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        public = "Consentry's storage did not answer. Try again in a moment; the operator's log has the reason."
        raise StorageUnavailable(public, code=error_code, detail=f"{what}: {code}") from None


class Refused(Exception):
    """The condition of a write did not hold. `item` is the item as it stands, empty if there is none."""

    def __init__(self, item: dict[str, Any]) -> None:
        super().__init__("condition not met")
        self.item = item


class Update:
    """One UpdateItem, its names and values numbered as they come: `SET`, `REMOVE`, `ADD`, and a condition."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: Item = {}
        self._set: list[str] = []
        self._remove: list[str] = []
        self._add: list[str] = []
        self._conditions: list[str] = []

    def name(self, attribute: str) -> str:
        return self._names.setdefault(attribute, f"#{len(self._names)}")

    def value(self, value: object) -> str:
        placeholder = f":{len(self._values)}"
        self._values |= to_item({placeholder: value})
        return placeholder

    def set(self, values: Values) -> "Update":
        self._set += [f"{self.name(name)} = {self.value(value)}" for name, value in values.items()]
        return self

    def remove(self, attributes: Sequence[str]) -> "Update":
        self._remove += [self.name(attribute) for attribute in attributes]
        return self

    def add(self, amounts: Mapping[str, Amount]) -> "Update":
        """Count up, or put into a set, from nothing where there is nothing yet."""
        self._add += [f"{self.name(name)} {self.value(amount)}" for name, amount in amounts.items()]
        return self

    def require(self, *conditions: str) -> "Update":
        self._conditions += conditions
        return self

    def equal(self, attribute: str, value: object) -> str:
        return f"{self.name(attribute)} = {self.value(value)}"

    def same(self, attribute: str, value: str) -> str:
        """Hold if the attribute is this text; an empty one stands for a missing attribute."""
        return self.equal(attribute, value) if value else self.missing(attribute)

    def missing(self, attribute: str) -> str:
        return f"attribute_not_exists({self.name(attribute)})"

    def earlier(self, attribute: str, value: int) -> str:
        """Hold if the attribute is missing or smaller."""
        name = self.name(attribute)
        return f"attribute_not_exists({name}) OR {name} < {self.value(value)}"

    def request(self, table: str, key: Values) -> dict[str, Any]:
        clauses = [("SET", self._set), ("REMOVE", self._remove), ("ADD", self._add)]
        expression = " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses if parts)
        return {
            "TableName": table,
            "Key": to_item(key),
            "UpdateExpression": expression,
            "ConditionExpression": " AND ".join(f"({condition})" for condition in self._conditions),
            "ExpressionAttributeNames": {placeholder: attribute for attribute, placeholder in self._names.items()},
            "ExpressionAttributeValues": self._values,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def deletion(self, table: str, key: Values) -> dict[str, Any]:
        """Return a DeleteItem under the conditions alone."""
        request = self.request(table, key)
        del request["UpdateExpression"]
        return request


def apply(write: Callable[..., Mapping[str, Any]], request: dict[str, Any], what: str) -> dict[str, Any]:
    """Perform a conditional write; return its `Attributes`, raise `Refused` with the standing item otherwise."""
    with storage_errors(what):
        try:
            answer = write(**request)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            raise Refused(from_item(cast("Item", error.response.get("Item", {})))) from None
    return from_item(answer.get("Attributes", {}))
