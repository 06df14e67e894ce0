"""DynamoDB's type names, put on and taken off quickly: as boto3 does it, for the few types that the records have."""

from collections.abc import Mapping
from typing import Any, Final

_AS_IT_IS: Final = frozenset({"S", "B", "BOOL"})


def to_dynamodb(value: object) -> dict[str, Any]:
    kind = type(value)
    if kind is str:
        return {"S": value}
    if kind is int:
        return {"N": str(value)}
    if kind is bytes:
        return {"B": value}
    if kind is bool:
        return {"BOOL": value}
    return _composed(value)


def _composed(value: object) -> dict[str, Any]:
    match value:
        case Mapping():
            return {"M": {name: to_dynamodb(each) for name, each in value.items()}}
        case list():
            return {"L": [to_dynamodb(each) for each in value]}
        case str():  # an enum's member
            return {"S": str(value)}
        case None:
            return {"NULL": True}
    message = f"{type(value).__name__} is nothing that a record holds"
    raise TypeError(message)


def from_dynamodb(value: Mapping[str, Any]) -> object:
    for kind, inner in value.items():
        if kind == "N":
            return int(inner)
        if kind == "M":
            return {name: from_dynamodb(each) for name, each in inner.items()}
        if kind == "L":
            return [from_dynamodb(each) for each in inner]
        return None if kind == "NULL" else inner
    raise ValueError("a value without a type")


def to_item(values: Mapping[str, object]) -> dict[str, Any]:
    """Stand in for `consentry.aws.dynamodb.to_item`."""
    item: dict[str, Any] = {}
    for name, value in values.items():
        kind = type(value)
        if kind is str:
            item[name] = {"S": value}
        elif kind is int:
            item[name] = {"N": str(value)}
        else:
            item[name] = to_dynamodb(list(value) if isinstance(value, tuple) else value)
    return item


def from_item(item: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Stand in for `consentry.aws.dynamodb.from_item`."""
    values: dict[str, Any] = {}
    for name, value in item.items():
        ((kind, inner),) = value.items()
        values[name] = inner if kind in _AS_IT_IS else int(inner) if kind == "N" else from_dynamodb(value)
    return values
