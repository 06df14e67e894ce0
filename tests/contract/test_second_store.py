"""ministack itself: how it comes and goes, and where either emulator takes what DynamoDB refuses.

The other suites of this folder hold for both emulators without exception. A request that one of them wrongly takes is
marked below with the documentation that says so; once it is refused, the mark fails and has to go.
"""

from collections.abc import Callable
from dataclasses import replace
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from consentry.aws.dynamodb import to_item
from tests.support import ministack as second
from tests.support.own_environment import NotInstalled, OwnEnvironment
from tests.support.tables import create_tables

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ROW: Final = {"tenant": "acme", "connection": "crm#default"}
_stacks = count(1)


def unreachable(folder: Path) -> dict[str, str]:
    """Return settings under which uv finds no package anywhere."""
    return {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(folder / "cache")}


def test_packages_that_cannot_be_fetched_are_a_reason_and_the_next_run_tries_again(tmp_path: Path) -> None:
    elsewhere = OwnEnvironment("ministack", tmp_path, unreachable(tmp_path))
    for _ in range(2):
        with pytest.raises(NotInstalled, match="is the package index reachable"):
            elsewhere.python()


@pytest.mark.usefixtures("ministack")
def test_what_is_installed_is_not_fetched_again(tmp_path: Path) -> None:
    assert replace(second.ENVIRONMENT, uv_settings=unreachable(tmp_path)).python().exists()


@pytest.mark.usefixtures("ministack")
def test_a_server_is_gone_when_its_block_has_ended(tmp_path: Path) -> None:
    with second.serving(second.ENVIRONMENT.python(), tmp_path) as url:
        assert status(url) == 200
    with pytest.raises(ConnectionRefusedError):
        status(url)


@pytest.mark.usefixtures("ministack")
def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    (tmp_path / "ministack.py").write_text("raise SystemExit('no room')", encoding="utf-8")
    with pytest.raises(RuntimeError, match="no room"), second.serving(second.ENVIRONMENT.python(), tmp_path):
        pass


def status(url: str) -> int:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("GET", "/_ministack/ready")
        return connection.getresponse().status
    finally:
        connection.close()


type Request = Callable[["DynamoDBClient", str], object]


def update(expression: str, *, condition: str = "attribute_exists(tenant)", **names: str) -> Request:
    more: dict[str, Any] = (
        {"ExpressionAttributeNames": {f"#{key}": name for key, name in names.items()}} if names else {}
    )
    return lambda client, table: client.update_item(
        TableName=table,
        Key=to_item(ROW),
        UpdateExpression=expression,
        ConditionExpression=condition,
        ExpressionAttributeValues=to_item({":a": 1}),
        **more,
    )


def put(**attributes: object) -> Request:
    return lambda client, table: client.put_item(TableName=table, Item=to_item({**ROW, **attributes}))


def query(**request: Any) -> Request:  # noqa: ANN401 - boto3's shape
    return lambda client, table: client.query(
        TableName=table, ExpressionAttributeValues=to_item({":t": "acme"}), **request
    )


REFUSED: Final[dict[str, Request]] = {
    "one path set twice": update("SET #a = :a, #b = :a", a="label", b="label"),
    "one path set and removed": update("SET #a = :a REMOVE #b", a="label", b="label"),
    "a clause given twice": update("SET label = :a SET description = :a"),
    "a reserved word in an update": update("SET status = :a"),
    "a reserved word in a condition": update("SET label = :a", condition="attribute_exists(status)"),
    "a reserved word in a filter": query(
        KeyConditionExpression="tenant = :t", FilterExpression="attribute_not_exists(status)"
    ),
    "a key attribute in a filter": query(KeyConditionExpression="tenant = :t", FilterExpression="tenant = :t"),
    "an expression of more than 4 KB": update(
        "SET label = :a", condition=" OR ".join(["attribute_exists(tenant)"] * 150)
    ),
    "an index key put with another type": put(due_at="soon", due_shard=1),
    "an index key set to another type": update("SET attention = :a"),
    "an empty index key": put(attention="", attention_since=1),
    "a consistent read of an index": query(
        IndexName="attention", KeyConditionExpression="attention = :t", ConsistentRead=True
    ),
    "an index asked with another type": query(IndexName="due", KeyConditionExpression="due_shard = :t"),
    "a change of the key": update("SET tenant = :a"),
    "an item of more than 400 KB": put(grant=b"x" * 410_000),
}
# Why DynamoDB refuses it: a page of its Developer Guide or API Reference, or the sentence with which it answers.
_OVERLAP: Final = "it answers 'Two document paths overlap with each other; must remove or rewrite one of these paths'"
_TYPE: Final = "it answers 'Condition parameter type does not match schema type'"
_KEY_IN_FILTER: Final = "Query.FilterExpression: a filter expression cannot contain key attributes"
LENIENT: Final[dict[tuple[str, str], str]] = {
    ("ministack", "one path set twice"): _OVERLAP,
    ("ministack", "one path set and removed"): _OVERLAP,
    ("ministack", "a clause given twice"): "Expressions.UpdateExpressions: each action keyword can appear only once",
    ("ministack", "a key attribute in a filter"): _KEY_IN_FILTER,
    ("moto", "a key attribute in a filter"): _KEY_IN_FILTER,
    ("moto", "an expression of more than 4 KB"): "Constraints: the maximum length of an expression string is 4 KB",
    ("moto", "an index key put with another type"): "API_PutItem: the types of index keys must match the definition",
    ("moto", "an index asked with another type"): _TYPE,
}


def case(emulator: str, mistake: str) -> Any:  # noqa: ANN401 - pytest's own parameter set
    why = LENIENT.get((emulator, mistake))
    wrongly_taken = pytest.mark.xfail(reason=f"{emulator} takes it; {why}", raises=pytest.fail.Exception, strict=True)
    return pytest.param(emulator, REFUSED[mistake], id=f"{emulator}-{mistake}", marks=[wrongly_taken] if why else [])


CASES: Final = [case(emulator, mistake) for emulator in ("moto", "ministack") for mistake in REFUSED]


@pytest.fixture(scope="module")
def table(emulated: "DynamoDBClient") -> str:
    name = create_tables(emulated, f"second{next(_stacks)}")["ConnectionsTable"]
    emulated.put_item(TableName=name, Item=to_item(ROW))
    return name


@pytest.mark.parametrize(("endpoint", "mistake"), CASES, indirect=["endpoint"])
def test_a_request_that_dynamodb_would_refuse_is_refused(
    emulated: "DynamoDBClient", table: str, mistake: Request
) -> None:
    with pytest.raises(ClientError) as raised:
        mistake(emulated, table)
    assert raised.value.response["Error"]["Code"] == "ValidationException"
