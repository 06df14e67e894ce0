"""Integrations, their secrets, the refresh queue, and the engine as others reach it: thin adapters on boto3 clients."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from consentry.aws.dynamodb import from_item, storage_errors, to_item
from consentry.aws.health import SUFFIX
from consentry.errors import Misconfigured
from consentry.model import ConnectionKey, Integration, Secret
from consentry.ports import HINT_VERSION, RefreshHint

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient


def _integration_from(item: Mapping[str, Any]) -> Integration:
    """Read an item that somebody may have written by hand; what is wrong with it becomes its `problem`."""
    provider, rate = item.get("provider", ""), item.get("refreshes_per_minute")
    known = Integration(
        id=item["integration"],
        provider=provider if isinstance(provider, str) else "",
        refreshes_per_minute=rate if type(rate) is int and rate > 0 else None,
    )
    texts = {name: item.get(name, "") for name in ("provider", "client_id", "display_name")}
    lists = {name: item.get(name, []) for name in ("scopes", "optional_scopes")}
    if not known.provider:
        return replace(known, problem="its attribute provider must be a string: the id of a provider file")
    for name, value in texts.items():
        if not isinstance(value, str):
            return replace(known, problem=f"its attribute {name} must be a string (S)")
    for name, values in lists.items():
        if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
            return replace(known, problem=f"its attribute {name} must be a list (L) of strings (S)")
    if rate is not None and known.refreshes_per_minute is None:
        return replace(known, problem="its attribute refreshes_per_minute must be a number (N) of at least 1")
    return replace(known, **texts, scopes=tuple(lists["scopes"]), optional_scopes=tuple(lists["optional_scopes"]))


class DynamoIntegrations:
    """`ports.Integrations`: the table `integrations`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def integration(self, integration_id: str) -> Integration | None:
        key = to_item({"integration": integration_id})
        with storage_errors("read integration"):
            answer = self._client.get_item(TableName=self._table, Key=key)
        found = _integration_from(from_item(answer["Item"])) if "Item" in answer else None
        if found and found.problem:
            raise Misconfigured(f"integration {integration_id!r} cannot be used: {found.problem}")
        return found

    def integrations(self) -> Sequence[Integration]:
        pages = self._client.get_paginator("scan").paginate(TableName=self._table)
        with storage_errors("list integrations"):
            items = [from_item(item) for page in pages for item in page["Items"]]
        return [_integration_from(item) for item in items if not item["integration"].endswith(SUFFIX)]


class SecretsManagerSecrets:
    """`ports.ClientSecrets`: one JSON object for each integration, below the stack's prefix."""

    def __init__(self, client: "SecretsManagerClient", prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def client_secrets(self, integration_id: str) -> Mapping[str, Secret]:
        return self._read(integration_id, "AWSCURRENT")

    def previous_client_secrets(self, integration_id: str) -> Mapping[str, Secret]:
        return self._read(integration_id, "AWSPREVIOUS")

    def _read(self, integration_id: str, stage: str) -> Mapping[str, Secret]:
        with storage_errors("read client secret"):
            try:
                answer = self._client.get_secret_value(SecretId=f"{self._prefix}{integration_id}", VersionStage=stage)
            except ClientError as error:
                if error.response["Error"]["Code"] == "ResourceNotFoundException":
                    return {}
                raise
        return _secrets_from(answer.get("SecretString", ""), f"{self._prefix}{integration_id}")


def _secrets_from(text: str, name: str) -> Mapping[str, Secret]:
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if isinstance(values, dict) and all(isinstance(value, str) for value in values.values()):
        return {key: Secret(value) for key, value in values.items()}
    public = 'An integration\'s secret is not readable: store it as JSON, {"client_secret": "..."}.'
    raise Misconfigured(public, code="secret_unreadable", detail=name) from None


def read_mac_key(client: "SecretsManagerClient", secret_id: str) -> Secret:
    """Return the deployment's generated key for tickets and states. Raises `Misconfigured` if it is no text."""
    with storage_errors("read MAC key"):
        found = client.get_secret_value(SecretId=secret_id)
    if key := found.get("SecretString"):
        return Secret(key)
    raise Misconfigured(
        "Consentry's own key for links cannot be used. The operator's log names it.",
        detail="MAC secret is binary or empty: store random letters as its SecretString",
    )


class SqsRefreshQueue:
    """`ports.RefreshQueue`: one connection to a message, ten messages to a call."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def send(self, hints: Sequence[tuple[RefreshHint, int]]) -> Sequence[RefreshHint]:
        entries = [
            {"Id": str(index), "MessageBody": _message(hint), "DelaySeconds": delay}
            for index, (hint, delay) in enumerate(hints)
        ]
        with storage_errors("send refresh hints"):
            answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)  # type: ignore[arg-type]  # plain dicts
        return [hints[int(accepted["Id"])][0] for accepted in answer.get("Successful", [])]


def _message(hint: RefreshHint) -> str:
    body = {"v": HINT_VERSION, "tenant": hint.key.tenant, "connection": hint.key.sort_key, "gen": hint.gen}
    return json.dumps(body, separators=(",", ":"))


class LambdaRefreshRequests:
    """`ports.RefreshRequests`: the refresh function, invoked without waiting."""

    def __init__(self, client: "LambdaClient", function: str) -> None:
        self._client = client
        self._function = function

    def request(self, key: ConnectionKey, rejected_generation: int) -> None:
        payload = {"tenant": key.tenant, "connection": key.sort_key, "rejected_generation": rejected_generation}
        with storage_errors("ask for a refresh"):
            self._client.invoke(
                FunctionName=self._function, InvocationType="Event", Payload=json.dumps(payload).encode()
            )
