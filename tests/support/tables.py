"""The tables as `template.yaml` declares them, in moto's DynamoDB, and a client that counts, orders and fails."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import boto3
import yaml
from botocore.exceptions import ClientError
from moto import mock_aws

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
REGION = "eu-central-1"
AWS_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
}
_CREATED = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!Ref X` becomes `{"Ref": "X"}`."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    match node:
        case yaml.ScalarNode():
            return {suffix: loader.construct_scalar(node)}
        case yaml.SequenceNode():
            return {suffix: loader.construct_sequence(node, deep=True)}
        case yaml.MappingNode():
            return {suffix: loader.construct_mapping(node, deep=True)}
    message = f"!{suffix} stands on something that is no YAML node"
    raise TypeError(message)


_Loader.add_multi_constructor("!", _short_form)


@cache
def template(path: Path = TEMPLATE) -> dict[str, Any]:
    """Return the template with its short forms spelt out and nothing else changed."""
    with path.open(encoding="utf-8") as file:
        return cast("dict[str, Any]", yaml.load(file, Loader=_Loader))  # noqa: S506 - a SafeLoader underneath


def create_tables(client: "DynamoDBClient", stack: str = "test") -> dict[str, str]:
    """Create every table of the template; return names by logical id: `<stack>-<logical id>`."""
    names = {}
    for logical_id, resource in template()["Resources"].items():
        if resource["Type"] == "AWS::DynamoDB::Table":
            properties = resource["Properties"]
            names[logical_id] = f"{stack}-{logical_id}"
            wanted = {name: properties[name] for name in _CREATED if name in properties}
            client.create_table(TableName=names[logical_id], **wanted)
    return names


def refill(
    client: "DynamoDBClient", names: Mapping[str, str], wanted: Mapping[str, Sequence[dict[str, Any]]] | None = None
) -> None:
    """Leave in each table the `wanted` items (by logical id) and no other; much cheaper than new tables."""
    for logical_id, name in names.items():
        schema = template()["Resources"][logical_id]["Properties"]["KeySchema"]
        found, kept = items(client, name), (wanted or {}).get(logical_id, ())
        for item in (each for each in found if each not in kept):
            key = {each["AttributeName"]: item[each["AttributeName"]] for each in schema}
            client.delete_item(TableName=name, Key=key)
        for item in (each for each in kept if each not in found):
            client.put_item(TableName=name, Item=item)


def ignore(_operation: str) -> None:
    return


class TableClient:
    """A DynamoDB client for tests: every call alone, as writes to one item are, counted and failing on demand.

    `before` and `after` are called with the operation's name and may wait for other threads; what they raise is the
    call's failure, not applied or applied. moto itself does not hold a lock over a conditional write.
    """

    def __init__(
        self, client: "DynamoDBClient", before: Callable[[str], None] = ignore, after: Callable[[str], None] = ignore
    ) -> None:
        self.client = client
        self.calls: list[str] = []
        self.before = before
        self.after = after
        self._lock = Lock()

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return lambda *args, **given: self._made(operation, partial(getattr(self.client, operation), *args, **given))

    def get_paginator(self, operation: str) -> "_Pages":
        """Make a paginator; that is no call yet, each of its pages is one."""
        return _Pages(getattr(self, operation))

    def _made(self, operation: str, ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever boto3 answers
        self.calls.append(operation)
        self.before(operation)
        with self._lock:
            answer = ask()
        self.after(operation)
        return answer

    @property
    def as_client(self) -> "DynamoDBClient":
        return cast("DynamoDBClient", self)


@dataclass(frozen=True)
class _Pages:
    ask: Callable[..., Any]

    def paginate(self, **given: Any) -> Iterator[Any]:  # noqa: ANN401 - boto3's shape
        paging = given.pop("PaginationConfig", {})
        limit = {"Limit": paging["PageSize"]} if "PageSize" in paging else {}
        page = self.ask(**given, **limit)
        yield page
        while "LastEvaluatedKey" in page:
            page = self.ask(**given, **limit, ExclusiveStartKey=page["LastEvaluatedKey"])
            yield page


def unavailable(operation: str) -> ClientError:
    """Return what boto3 raises when DynamoDB is in trouble."""
    return ClientError({"Error": {"Code": "InternalServerError", "Message": "CNRY-message-of-aws"}}, operation)


def items(client: "DynamoDBClient", table: str) -> list[dict[str, Any]]:
    """Return every item as DynamoDB shapes it."""
    return [dict(item) for item in client.scan(TableName=table)["Items"]]


def plain_texts(value: object) -> Iterator[str]:
    """Yield every text that stands in clear in an item, attribute names included."""
    match value:
        case str():
            yield value
        case Mapping():
            for name, inner in value.items():
                yield from (str(name), *plain_texts(inner))
        case list():
            for inner in value:
                yield from plain_texts(inner)
        case bytes():
            yield value.decode("latin-1")


@contextmanager
def aws() -> Iterator["DynamoDBClient"]:
    """Run moto in this process and yield a DynamoDB client of it; `AWS_ENVIRONMENT` must be in the environment."""
    with mock_aws():
        yield boto3.client("dynamodb", region_name=REGION)
