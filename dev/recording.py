"""What functions ask of AWS, as IAM would see it: caller, action, resource, and what conditions look at.

A WSGI middleware of the AWS endpoint; `GET /_local/calls?after=<number>` answers `{"seen": n, "calls": [...]}`. Names
and keys only: no attribute's value but the partition key's, no plaintext, no message, no payload.
"""

import json
import re
import threading
import urllib.parse
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import BytesIO
from typing import Any, Final

from dev.account import REGION, caller_of
from dev.expressions import attribute_names, partition_value
from dev.payloads import ACCOUNT

PATH: Final = "/_local/calls"
KEPT: Final = 10_000  # about ten megabytes
INVOKE: Final = "/2015-03-31/functions/"
# IAM knows some operations by the name of another: https://docs.aws.amazon.com/service-authorization/latest/reference/
ACTIONS: Final = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
}
SERVICES: Final = {
    "DynamoDB_20120810": "dynamodb",
    "DynamoDBStreams_20120810": "dynamodb",
    "AWSEvents": "events",
    "TrentService": "kms",
    "AmazonSQS": "sqs",
    "secretsmanager": "secretsmanager",
}
EXPRESSIONS: Final = (
    "ProjectionExpression", "UpdateExpression", "ConditionExpression", "FilterExpression", "KeyConditionExpression",
)  # fmt: skip

type Environ = dict[str, Any]
type StartResponse = Callable[[str, list[tuple[str, str]]], object]
type Application = Callable[[Environ, StartResponse], Iterable[bytes]]
type Body = Mapping[str, Any]
type Context = dict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `caller` is a function's logical id, or empty for the runner and its user.

    `context` holds the request's IAM condition keys as far as its parameters say them. No condition key of their own
    have `projected` (a read that names what it wants) and `returns_on_refusal` (a write that wants to see the item).
    """

    number: int
    caller: str
    operation: str
    resource: str
    context: Context = field(default_factory=dict)
    projected: bool = False
    returns_on_refusal: bool = False

    @property
    def action(self) -> str:
        return ACTIONS.get(self.operation, self.operation)


class Recording:
    """Remembers the latest calls that reach `application`, and answers for them."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._turn = threading.Lock()
        self._seen = 0
        self._calls: deque[Call] = deque(maxlen=KEPT)
        self._keys: dict[str, str] = {}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == PATH:
            return self._answer(environ, start_response)
        if environ.get("HTTP_AUTHORIZATION"):
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = BytesIO(body)
            self._remember(environ, body)
        return self._application(environ, start_response)

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        query = urllib.parse.parse_qs(str(environ.get("QUERY_STRING", "")))
        after = (query.get("after") or ["0"])[0]
        status, told = "200 OK", self._told(int(after)) if re.fullmatch("[0-9]{1,20}", after) else None
        if told is None:
            status, told = "400 Bad Request", {"error": "after is the number of the last call that you have seen"}
        body = json.dumps(told).encode()
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def _told(self, after: int) -> dict[str, object]:
        with self._turn:
            return {"seen": self._seen, "calls": [asdict(call) for call in self._calls if call.number > after]}

    def _remember(self, environ: Environ, raw: bytes) -> None:
        operation = operation_of(environ)
        body = _object(raw)
        with self._turn:
            if operation == "dynamodb:CreateTable":
                self._keys |= _partition_keys(body)
            self._seen += 1
            self._calls.append(
                Call(
                    number=self._seen,
                    caller=caller_of(str(environ["HTTP_AUTHORIZATION"])),
                    operation=operation,
                    resource=_resource(operation, str(environ["PATH_INFO"]), body),
                    context=_context(operation, body, self._keys),
                    projected="ProjectionExpression" in body,
                    returns_on_refusal=body.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD",
                )
            )


def operation_of(environ: Environ) -> str:
    """Return `service:Operation`; `unknown:` and the path for what no function should ask for."""
    path = str(environ["PATH_INFO"])
    if path.startswith(INVOKE):
        return "lambda:Invoke"
    service, _, operation = str(environ.get("HTTP_X_AMZ_TARGET", "")).rpartition(".")
    return f"{SERVICES[service]}:{operation}" if service in SERVICES else f"unknown:{service}{operation}{path}"


def _object(raw: bytes) -> Body:
    try:
        body = json.loads(raw)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _partition_keys(table: Body) -> dict[str, str]:
    """Return the partition key's name of a table and of each of its indexes, by `table` and `table/index/name`."""
    found = {table["TableName"]: table["KeySchema"]}
    for index in table.get("GlobalSecondaryIndexes", []):
        found[f"{table['TableName']}/index/{index['IndexName']}"] = index["KeySchema"]
    return {name: schema[0]["AttributeName"] for name, schema in found.items()}


def _resource(operation: str, path: str, body: Body) -> str:
    match operation.partition(":")[0]:
        case "dynamodb":
            return _arn("dynamodb", f"table/{_place(body)}")
        case "kms":
            return str(body.get("KeyId", "*"))
        case "sqs":
            return _arn("sqs", str(body.get("QueueUrl", "")).rpartition("/")[2])
        case "secretsmanager":
            name = str(body.get("SecretId", "*"))
            # the ARN that IAM looks at ends with six characters that Secrets Manager chose
            return name if name.startswith("arn:") else _arn("secretsmanager", f"secret:{name}-local0")
        case "lambda":
            name = urllib.parse.unquote(path.removeprefix(INVOKE).removesuffix("/invocations"))
            return name if name.startswith("arn:") else _arn("lambda", f"function:{name}")
    return _arn("events", f"event-bus/{_bus(body)}") if operation.startswith("events:") else "*"


def _arn(service: str, rest: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}"


def _bus(body: Body) -> str:
    return str(_entries(body)[0].get("EventBusName", "default"))


def _place(body: Body) -> str:
    if stream := body.get("StreamArn") or body.get("ShardIterator"):
        return str(stream).partition("|")[0].partition(":table/")[2]  # the emulator's iterators begin with their stream
    table = str(body.get("TableName", "*"))
    return f"{table}/index/{body['IndexName']}" if "IndexName" in body else table


def _context(operation: str, body: Body, keys: Mapping[str, str]) -> Context:
    if operation.startswith("kms:"):
        context = dict(body.get("EncryptionContext") or {})
        named = {f"kms:EncryptionContext:{name}": [str(value)] for name, value in context.items()}
        return {**named, "kms:EncryptionContextKeys": sorted(context)} if context else {}
    if operation == "events:PutEvents":
        members = {"events:source": "Source", "events:detail-type": "DetailType"}
        return {key: sorted({str(each.get(name)) for each in _entries(body)}) for key, name in members.items()}
    if not operation.startswith("dynamodb:") or "TableName" not in body:
        return {}
    told = {
        "dynamodb:LeadingKeys": _leading_keys(body, keys.get(_place(body), "")),
        "dynamodb:Attributes": sorted(_attributes(body)),
        "dynamodb:Select": [body["Select"]] if "Select" in body else [],
        "dynamodb:ReturnValues": [body["ReturnValues"]] if "ReturnValues" in body else [],
    }
    return {name: values for name, values in told.items() if values}


def _entries(body: Body) -> Sequence[Mapping[str, Any]]:
    return body.get("Entries") or [{}]


def _attributes(body: Body) -> set[str]:
    """Return the attributes that a request names: its key's and item's, and those in any of its expressions."""
    names = body.get("ExpressionAttributeNames") or {}
    found = {*(body.get("Key") or {}), *(body.get("Item") or {})}
    return found.union(*(attribute_names(str(body.get(each, "")), names) for each in EXPRESSIONS))


def _leading_keys(body: Body, partition_key: str) -> list[str]:
    """Return the partition key's value; a Scan has none."""
    given = (body.get("Key") or body.get("Item") or {}).get(partition_key)
    if given is None and "KeyConditionExpression" in body:
        given = partition_value(body, partition_key)
    return [str(next(iter(given.values())))] if given else []
