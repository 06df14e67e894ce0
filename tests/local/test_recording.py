"""What the AWS endpoint remembers of each request: who asked for what, and nothing that is secret."""

import json
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

from dev import recording
from dev.account import caller_of, key_id_of
from dev.expressions import attribute_names
from dev.recording import Environ, Recording, StartResponse

TABLE = {
    "TableName": "connections",
    "KeySchema": [{"AttributeName": "tenant", "KeyType": "HASH"}, {"AttributeName": "connection", "KeyType": "RANGE"}],
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": "S"} for name in ("tenant", "connection", "account")
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-account",
            "KeySchema": [{"AttributeName": "account", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
KEY = {"tenant": {"S": "acme"}, "connection": {"S": "crm#default"}}
SECRET = "CNRY-9f31"


def nothing(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"{}"]


class Endpoint:
    """A recording endpoint without a network; its clients sign as a function."""

    def __init__(self) -> None:
        self.recording = Recording(nothing)

    def client(self, service: str, caller: str = "RefreshFunction") -> Any:  # noqa: ANN401 - boto3's own
        session: Any = boto3.Session(key_id_of(caller), "secret", region_name="eu-central-1")
        client = session.client(service)
        client.meta.events.register("before-send", self._send)
        return client

    def _send(self, request: AWSPreparedRequest, **_rest: object) -> AWSResponse:
        body = request.body or b""
        headers = {name: _text(value) for name, value in request.headers.items()}
        self.ask(request.url.partition(".com")[2], _text(body).encode(), headers)
        return _Empty(request.url)

    def ask(self, path: str, body: bytes, headers: dict[str, str]) -> Any:  # noqa: ANN401 - whatever JSON says
        path, _, query = path.partition("?")
        environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        environ |= {"PATH_INFO": path, "QUERY_STRING": query, "CONTENT_LENGTH": str(len(body))}
        answer = self.recording({**environ, "wsgi.input": BytesIO(body)}, lambda *_: None)
        return json.loads(b"".join(answer))

    @property
    def told(self) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = self.ask(recording.PATH, b"", {})["calls"]
        return calls

    @property
    def last(self) -> dict[str, Any]:
        return self.told[-1]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class _Empty(AWSResponse):
    def __init__(self, url: str) -> None:
        super().__init__(url, 200, HTTPHeaders(), None)
        self._content = b"{}"


@pytest.fixture
def endpoint() -> Endpoint:
    made = Endpoint()
    made.client("dynamodb").create_table(**TABLE)
    return made


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (
            "SET #0 = :0, gen = :gen REMOVE label, #1 ADD failures :one",
            {"access_token", "gen", "label", "grant", "failures"},
        ),
        ("attribute_not_exists(#0) OR gen < :gen AND NOT #1 IN (:a, :b)", {"access_token", "gen", "grant"}),
        ("(lease_until < :now) AND (label BETWEEN :a AND :b)", {"lease_until", "label"}),
        ("metadata.hub_id, #0.#inner[0], scopes[1]", {"metadata", "access_token", "scopes"}),
        ("", set()),
    ],
)
def test_expressions_name_these_attributes(expression: str, expected: set[str]) -> None:
    assert attribute_names(expression, {"#0": "access_token", "#1": "grant"}) == expected


def test_a_read_is_told_by_its_caller_its_table_its_partition_and_what_it_wants(endpoint: Endpoint) -> None:
    names = {"#0": "access_token"}
    endpoint.client("dynamodb").get_item(
        TableName="connections", Key=KEY, ProjectionExpression="#0, gen", ExpressionAttributeNames=names
    )
    assert endpoint.last == {
        "number": 2,
        "caller": "RefreshFunction",
        "operation": "dynamodb:GetItem",
        "resource": "arn:aws:dynamodb:eu-central-1:123456789012:table/connections",
        "context": {
            "dynamodb:LeadingKeys": ["acme"],
            "dynamodb:Attributes": ["access_token", "connection", "gen", "tenant"],
        },
        "projected": True,
        "returns_on_refusal": False,
    }


def test_a_write_tells_its_conditions_attributes_and_what_it_returns_but_no_value(endpoint: Endpoint) -> None:
    endpoint.client("dynamodb").update_item(
        TableName="connections",
        Key=KEY,
        UpdateExpression="SET grant_text = :secret",
        ConditionExpression="gen = :gen",
        ExpressionAttributeValues={":secret": {"S": SECRET}, ":gen": {"N": "1"}},
        ReturnValues="ALL_OLD",
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    assert endpoint.last["context"]["dynamodb:Attributes"] == ["connection", "gen", "grant_text", "tenant"]
    assert endpoint.last["context"]["dynamodb:ReturnValues"] == ["ALL_OLD"]
    assert endpoint.last["returns_on_refusal"]
    assert SECRET not in json.dumps(endpoint.told)


def test_a_query_of_an_index_is_told_by_the_indexes_own_partition(endpoint: Endpoint) -> None:
    endpoint.client("dynamodb").query(
        TableName="connections",
        IndexName="by-account",
        KeyConditionExpression="#a = :a",
        ExpressionAttributeNames={"#a": "account"},
        ExpressionAttributeValues={":a": {"S": "62515"}},
        Select="COUNT",
    )
    assert endpoint.last["resource"].endswith("table/connections/index/by-account")
    assert endpoint.last["context"]["dynamodb:LeadingKeys"] == ["62515"]
    assert endpoint.last["context"]["dynamodb:Select"] == ["COUNT"]


def test_a_use_of_a_key_is_told_with_its_context(endpoint: Endpoint) -> None:
    arn = "arn:aws:kms:eu-central-1:123456789012:key/1"
    context = {"tenant": "acme", "field": "grant"}
    endpoint.client("kms").decrypt(KeyId=arn, CiphertextBlob=SECRET.encode(), EncryptionContext=context)
    assert (endpoint.last["operation"], endpoint.last["resource"]) == ("kms:Decrypt", arn)
    assert endpoint.last["context"] == {
        "kms:EncryptionContext:tenant": ["acme"],
        "kms:EncryptionContext:field": ["grant"],
        "kms:EncryptionContextKeys": ["field", "tenant"],
    }
    assert SECRET not in json.dumps(endpoint.told)


def test_messages_secrets_and_payloads_are_told_by_where_they_go(endpoint: Endpoint) -> None:
    url = "https://sqs.eu-central-1.amazonaws.com/123456789012/escrow"
    endpoint.client("sqs").send_message(QueueUrl=url, MessageBody=SECRET)
    endpoint.client("secretsmanager").put_secret_value(SecretId="consentry/x", SecretString=SECRET)
    endpoint.client("lambda").invoke(FunctionName="refresh", Payload=json.dumps(SECRET), InvocationType="Event")
    told = [(each["operation"], each["resource"].rpartition(":")[2]) for each in endpoint.told[1:]]
    assert told == [
        ("sqs:SendMessage", "escrow"),
        ("secretsmanager:PutSecretValue", "consentry/x-local0"),
        ("lambda:Invoke", "refresh"),
    ]
    assert SECRET not in json.dumps(endpoint.told)


def test_a_stream_is_told_by_its_arn_and_events_by_their_bus_source_and_kind(endpoint: Endpoint) -> None:
    stream = "arn:aws:dynamodb:eu-central-1:123456789012:table/connections/stream/2026-01-01"
    endpoint.client("dynamodbstreams").describe_stream(StreamArn=stream)
    endpoint.client("dynamodbstreams").get_records(ShardIterator=f"{stream}|1|AAAA")
    detail = json.dumps({"tenant": SECRET})
    entries = [{"Source": "consentry.x", "DetailType": kind, "Detail": detail} for kind in ("b", "a")]
    endpoint.client("events").put_events(Entries=entries)
    endpoint.client("events").put_events(Entries=[{**entries[0], "EventBusName": "own"}])
    assert [(each["operation"], each["resource"]) for each in endpoint.told[1:]] == [
        ("dynamodb:DescribeStream", stream),
        ("dynamodb:GetRecords", stream),
        ("events:PutEvents", "arn:aws:events:eu-central-1:123456789012:event-bus/default"),
        ("events:PutEvents", "arn:aws:events:eu-central-1:123456789012:event-bus/own"),
    ]
    assert [each["context"] for each in endpoint.told[1:3]] == [{}, {}]
    assert endpoint.told[3]["context"] == {"events:source": ["consentry.x"], "events:detail-type": ["a", "b"]}
    assert SECRET not in json.dumps(endpoint.told)


def test_only_so_many_are_kept_and_the_number_of_all_is_known(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "KEPT", 3)
    endpoint = Endpoint()
    kms = endpoint.client("kms")
    for _ in range(5):
        kms.list_keys()
    told = endpoint.ask(recording.PATH, b"", {})
    assert (told["seen"], [each["number"] for each in told["calls"]]) == (5, [3, 4, 5])
    assert [each["number"] for each in endpoint.ask(f"{recording.PATH}?after=4", b"", {})["calls"]] == [5]


def test_what_is_not_signed_is_nobodys_call(endpoint: Endpoint) -> None:
    before = len(endpoint.told)
    endpoint.ask("/moto-api/", b"", {})
    assert len(endpoint.told) == before


def test_the_account_itself_is_no_function() -> None:
    assert caller_of("AWS4-HMAC-SHA256 Credential=LOCALSTACKEXAMPLE/20261101/eu-central-1/kms/aws4_request") == ""
    assert caller_of(f"AWS4-HMAC-SHA256 Credential={key_id_of('X')}/20261101/eu-central-1/kms/aws4_request") == "X"


@pytest.mark.parametrize("after", ["abc", "-1", "9" * 5000, "1.5", "%D9%A3"])
def test_what_is_no_number_is_answered_with_what_was_meant(endpoint: Endpoint, after: str) -> None:
    assert "number" in endpoint.ask(f"{recording.PATH}?after={after}", b"", {})["error"]
