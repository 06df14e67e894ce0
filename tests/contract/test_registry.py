"""Integrations, their secrets, the queue and the engine as others reach it, on two emulators of AWS."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from consentry.aws.dynamodb import to_item
from consentry.aws.registry import (
    DynamoIntegrations,
    LambdaRefreshRequests,
    SecretsManagerSecrets,
    SqsRefreshQueue,
    read_mac_key,
)
from consentry.errors import Misconfigured
from consentry.model import ConnectionKey, Integration
from consentry.ports import RefreshHint, StorageUnavailable
from tests.support.tables import TableClient, create_tables, unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

KEY = ConnectionKey("acme", "crm", "second")
PREFIX = "consentry/test/integrations/"


class Broken:
    """A client whose every operation fails in one way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, _operation: str) -> Callable[..., Any]:
        def fail(**_given: object) -> Any:  # noqa: ANN401 - any client's operation
            raise self._error

        return fail


FAILURES = [
    (unavailable("X"), "InternalServerError"),
    (EndpointConnectionError(endpoint_url="https://CNRY-host"), "EndpointConnectionError"),
]


def test_an_integration_comes_back_with_what_its_row_says(dynamodb: "DynamoDBClient") -> None:
    table = create_tables(dynamodb, "one")["IntegrationsTable"]
    integrations = DynamoIntegrations(dynamodb, table)
    assert integrations.integration("crm") is None
    full = Integration(
        id="crm",
        provider="hubspot",
        client_id="c",
        scopes=("a", "b"),
        optional_scopes=("o",),
        display_name="Our CRM",
    )
    rows: list[dict[str, object]] = [
        {
            "integration": "crm",
            "provider": "hubspot",
            "client_id": "c",
            "scopes": ["a", "b"],
            "optional_scopes": ["o"],
            "display_name": "Our CRM",
            "added_later": 1,
        },
        {"integration": "bare", "provider": "hotjar"},
    ]
    for row in rows:
        dynamodb.put_item(TableName=table, Item=to_item(row))
    assert integrations.integration("crm") == full
    assert integrations.integration("bare") == Integration(id="bare", provider="hotjar")


def test_all_integrations_are_listed_over_as_many_pages_as_there_are(emulated: "DynamoDBClient") -> None:
    table = create_tables(emulated, "many")["IntegrationsTable"]
    for n in range(30):
        row = {"integration": f"i{n}", "provider": "crm", "display_name": "x" * 50_000}
        emulated.put_item(TableName=table, Item=to_item(row))
    assert "LastEvaluatedKey" in emulated.scan(TableName=table)
    found = DynamoIntegrations(emulated, table).integrations()
    assert {each.id for each in found} == {f"i{n}" for n in range(30)}


@pytest.mark.parametrize(
    ("item", "named"),
    [
        ({}, "provider"),
        ({"provider": ""}, "provider"),
        ({"provider": 7}, "provider"),
        ({"provider": "crm", "client_id": 7}, "client_id"),
        ({"provider": "crm", "scopes": "contacts deals"}, "scopes"),
        ({"provider": "crm", "optional_scopes": [7]}, "optional_scopes"),
    ],
)
def test_an_item_written_by_hand_that_cannot_be_used_is_named_and_hides_no_other(
    dynamodb: "DynamoDBClient", item: dict[str, object], named: str
) -> None:
    client = TableClient(dynamodb)
    table = create_tables(dynamodb, f"hand-{len(str(item))}-{named}")["IntegrationsTable"]
    integrations = DynamoIntegrations(client.as_client, table)
    dynamodb.put_item(TableName=table, Item=to_item({"integration": "broken", **item}))
    dynamodb.put_item(TableName=table, Item=to_item({"integration": "good", "provider": "crm"}))
    with pytest.raises(Misconfigured, match=f"'broken' cannot be used: its attribute {named} must be"):
        integrations.integration("broken")
    found = {each.id: each.problem for each in integrations.integrations()}
    assert named in found["broken"]
    assert not found["good"]


def test_reading_an_integration_is_one_call(dynamodb: "DynamoDBClient") -> None:
    client = TableClient(dynamodb)
    DynamoIntegrations(client.as_client, create_tables(dynamodb, "calls")["IntegrationsTable"]).integration("crm")
    assert client.calls == ["get_item"]


def test_secrets_are_read_by_name_below_the_prefix(secretsmanager: "SecretsManagerClient") -> None:
    value = json.dumps({"client_secret": "CNRY-1", "basic_token": "CNRY-2"})
    secretsmanager.create_secret(Name=f"{PREFIX}crm", SecretString=value)
    found = SecretsManagerSecrets(secretsmanager, PREFIX).client_secrets("crm")
    assert {name: secret.reveal() for name, secret in found.items()} == json.loads(value)
    assert "CNRY-" not in repr(found)


def test_the_secret_from_before_a_rotation_is_the_previous_one(secretsmanager: "SecretsManagerClient") -> None:
    secrets = SecretsManagerSecrets(secretsmanager, PREFIX)
    secretsmanager.create_secret(Name=f"{PREFIX}rotated", SecretString='{"client_secret": "CNRY-old"}')
    assert secrets.previous_client_secrets("rotated") == {}
    secretsmanager.put_secret_value(SecretId=f"{PREFIX}rotated", SecretString='{"client_secret": "CNRY-new"}')
    assert secrets.client_secrets("rotated")["client_secret"].reveal() == "CNRY-new"
    assert secrets.previous_client_secrets("rotated")["client_secret"].reveal() == "CNRY-old"


def test_an_integration_without_a_secret_has_none(secretsmanager: "SecretsManagerClient") -> None:
    assert SecretsManagerSecrets(secretsmanager, PREFIX).client_secrets("nothing") == {}


@pytest.mark.parametrize("text", ["CNRY-bare", "[]", '{"client_secret": 7}', '{"client_secret": {"a": "CNRY"}}', "{"])
def test_a_secret_of_another_shape_is_named_but_not_shown(secretsmanager: "SecretsManagerClient", text: str) -> None:
    secretsmanager.create_secret(Name=f"{PREFIX}odd", SecretString=text)
    try:
        with pytest.raises(Misconfigured) as raised:
            SecretsManagerSecrets(secretsmanager, PREFIX).client_secrets("odd")
    finally:
        secretsmanager.delete_secret(SecretId=f"{PREFIX}odd", ForceDeleteWithoutRecovery=True)
    assert (raised.value.code, raised.value.detail) == ("secret_unreadable", f"{PREFIX}odd")
    assert "CNRY" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_binary_secret_is_of_another_shape_too(secretsmanager: "SecretsManagerClient") -> None:
    secretsmanager.create_secret(Name=f"{PREFIX}binary", SecretBinary=b"CNRY")
    with pytest.raises(Misconfigured):
        SecretsManagerSecrets(secretsmanager, PREFIX).client_secrets("binary")


def test_the_mac_key_is_read_whole(secretsmanager: "SecretsManagerClient") -> None:
    arn = secretsmanager.create_secret(Name="mac", SecretString="CNRY-mac")["ARN"]
    assert read_mac_key(secretsmanager, arn).reveal() == "CNRY-mac"


def test_a_mac_key_that_is_no_text_is_named_with_the_remedy(secretsmanager: "SecretsManagerClient") -> None:
    arn = secretsmanager.create_secret(Name="mac-binary", SecretBinary=b"CNRY-mac")["ARN"]
    with pytest.raises(Misconfigured) as raised:
        read_mac_key(secretsmanager, arn)
    assert "SecretString" in raised.value.detail
    assert "CNRY" not in f"{raised.value} {raised.value.detail}"


def test_hints_are_sent_as_small_messages_and_those_accepted_are_told(sqs: "SQSClient") -> None:
    url = sqs.create_queue(QueueName="hints")["QueueUrl"]
    hints = [RefreshHint(KEY, n) for n in range(1, 11)]
    assert list(SqsRefreshQueue(sqs, url).send([(hint, 0) for hint in hints])) == hints
    bodies = [
        json.loads(message["Body"])
        for _ in range(3)
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    ]
    assert sorted(bodies, key=lambda body: body["gen"]) == [
        {"v": 1, "tenant": "acme", "connection": "crm#second", "gen": n} for n in range(1, 11)
    ]


def test_hints_that_the_queue_did_not_accept_are_not_told() -> None:
    class Choosy:
        def send_message_batch(self, **given: Any) -> dict[str, object]:  # noqa: ANN401 - as boto3 takes it
            first, second, third = (entry["Id"] for entry in given["Entries"])
            return {"Successful": [{"Id": third}, {"Id": first}], "Failed": [{"Id": second}]}

    queue = SqsRefreshQueue(Choosy(), "url")  # type: ignore[arg-type]  # one operation of the client is enough
    hints = [RefreshHint(KEY, n) for n in (1, 2, 3)]
    assert list(queue.send([(hint, 0) for hint in hints])) == [hints[2], hints[0]]


def test_a_refresh_is_asked_for_without_waiting() -> None:
    asked: list[dict[str, Any]] = []

    class Lambda:
        def invoke(self, **given: Any) -> dict[str, object]:  # noqa: ANN401 - as boto3 takes it
            asked.append(given)
            return {"StatusCode": 202}

    LambdaRefreshRequests(Lambda(), "refresh").request(KEY, 7)  # type: ignore[arg-type]  # as above
    (given,) = asked
    assert (given["FunctionName"], given["InvocationType"]) == ("refresh", "Event")
    assert json.loads(given["Payload"]) == {"tenant": "acme", "connection": "crm#second", "rejected_generation": 7}


@pytest.mark.parametrize(("error", "code"), FAILURES)
@pytest.mark.parametrize(
    "call",
    [
        lambda client: DynamoIntegrations(client, "t").integration("crm"),
        lambda client: SecretsManagerSecrets(client, PREFIX).client_secrets("crm"),
        lambda client: read_mac_key(client, "mac"),
        lambda client: SqsRefreshQueue(client, "url").send([(RefreshHint(KEY, 1), 0)]),
        lambda client: LambdaRefreshRequests(client, "refresh").request(KEY, 1),
    ],
)
def test_trouble_of_aws_is_named_by_its_code_alone(error: Exception, code: str, call: Callable[[Any], object]) -> None:
    with pytest.raises(StorageUnavailable) as raised:
        call(Broken(error))
    assert raised.value.detail.endswith(f": {code}")
    assert "CNRY-" not in f"{raised.value} {raised.value.detail}"


def test_a_refused_permission_is_not_a_missing_secret() -> None:
    denied = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "CNRY"}}, "GetSecretValue")
    with pytest.raises(StorageUnavailable):
        SecretsManagerSecrets(Broken(denied), PREFIX).client_secrets("crm")  # type: ignore[arg-type]  # fails before use


def test_listing_a_table_that_is_not_there_is_trouble(dynamodb: "DynamoDBClient") -> None:
    with pytest.raises(StorageUnavailable) as raised:
        DynamoIntegrations(dynamodb, "nothing").integrations()
    assert raised.value.detail == "list integrations: ResourceNotFoundException"


@pytest.mark.parametrize(("value", "rate"), [(7, 7), (1, 1), (10**30, 10**30)])
def test_a_rate_is_a_number_of_refreshes_a_minute(dynamodb: "DynamoDBClient", value: int, rate: int) -> None:
    table = create_tables(dynamodb, f"rate-{value}")["IntegrationsTable"]
    row: dict[str, object] = {"integration": "crm", "provider": "crm", "refreshes_per_minute": value}
    dynamodb.put_item(TableName=table, Item=to_item(row))
    found = DynamoIntegrations(dynamodb, table).integration("crm")
    assert found is not None
    assert found.refreshes_per_minute == rate


@pytest.mark.parametrize("value", [0, -3, "10", "", True, ["10"]])
def test_a_rate_that_is_none_is_named_and_the_provider_stays_known(dynamodb: "DynamoDBClient", value: object) -> None:
    table = create_tables(dynamodb, f"odd-rate-{type(value).__name__}-{len(str(value))}")["IntegrationsTable"]
    row = {"integration": "crm", "provider": "crm", "refreshes_per_minute": value}
    dynamodb.put_item(TableName=table, Item=to_item(row))
    (found,) = DynamoIntegrations(dynamodb, table).integrations()
    assert "refreshes_per_minute must be a number (N) of at least 1" in found.problem
    assert (found.provider, found.refreshes_per_minute) == ("crm", None)


def test_how_integrations_are_doing_is_no_integration(dynamodb: "DynamoDBClient") -> None:
    table = create_tables(dynamodb, "beside")["IntegrationsTable"]
    for item in ({"integration": "crm", "provider": "crm"}, {"integration": "crm#health", "opened": 3}):
        dynamodb.put_item(TableName=table, Item=to_item(item))
    assert [each.id for each in DynamoIntegrations(dynamodb, table).integrations()] == ["crm"]


def test_hints_are_sent_with_their_delays() -> None:
    given: list[dict[str, Any]] = []

    class Queue:
        def send_message_batch(self, **named: Any) -> dict[str, object]:  # noqa: ANN401 - as boto3 takes it
            given.extend(named["Entries"])
            return {"Successful": [{"Id": entry["Id"]} for entry in named["Entries"]]}

    queue = SqsRefreshQueue(Queue(), "url")  # type: ignore[arg-type]  # one operation of the client is enough
    hints = [(RefreshHint(KEY, n), delay) for n, delay in ((1, 0), (2, 59))]
    assert list(queue.send(hints)) == [hint for hint, _ in hints]
    assert [entry["DelaySeconds"] for entry in given] == [0, 59]


def test_a_delayed_hint_arrives_later(sqs: "SQSClient") -> None:
    url = sqs.create_queue(QueueName="delayed")["QueueUrl"]
    SqsRefreshQueue(sqs, url).send([(RefreshHint(KEY, 1), 0), (RefreshHint(KEY, 2), 900)])
    arrived = [
        json.loads(message["Body"])["gen"]
        for _ in range(2)
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    ]
    assert arrived == [1]
