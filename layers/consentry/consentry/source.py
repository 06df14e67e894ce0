"""Where a vault's answers come from: the connections table, the key, the refresh function and the management API."""

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from consentry.clients import GETTING, LISTING, OPENING, REFRESHING, Clients, later
from consentry.envelope import KEY_ARN, as_text, open_sealed, parse, unreadable
from consentry.errors import ConsentryError
from consentry.listing import LIST_ATTRIBUTES, ListedConnection
from consentry.model import ConnectionKey, Field, Secret
from consentry.record import READ_ATTRIBUTES, Record, plain

if TYPE_CHECKING:
    from boto3.session import Session

_LOGGER: Final = logging.getLogger(__name__)


class Source(Protocol):
    def read(self, key: ConnectionKey, *, consistent: bool) -> Record | None:
        """Return the record, or `None` if there is none."""
        ...

    def open(self, key: ConnectionKey, record: Record) -> Secret:
        """Return the record's access token. Raises `UnreadableRecord` if it belongs elsewhere."""
        ...

    def refresh(self, key: ConnectionKey, rejected_generation: int) -> bool:
        """Ask for one refresh and wait; return whether somebody else is refreshing just now."""
        ...

    def connections(self, tenant: str) -> Sequence[ListedConnection]:
        """Return the tenant's connections, in the order of their names."""
        ...

    def call(self, method: str, path: str, content: Mapping[str, object]) -> Mapping[str, object]:
        """Make a signed request to the management API; return its answer's JSON object."""
        ...


class AwsSource:
    """`Source` by GetItem, Decrypt, the refresh function's Invoke, Query, and the signed API."""

    def __init__(self, given: Mapping[str, str | None], *, session: "Session | None", deadline_seconds: float) -> None:
        self._clients = Clients(given, session=session, deadline_seconds=deadline_seconds)

    def read(self, key: ConnectionKey, *, consistent: bool) -> Record | None:
        with self._clients.explained(GETTING):
            answer = self._clients.dynamodb().get_item(
                TableName=self._clients.setting("CONSENTRY_CONNECTIONS_TABLE"),
                Key={"tenant": {"S": key.tenant}, "connection": {"S": key.sort_key}},
                ConsistentRead=consistent,
                ProjectionExpression=_READ,
                ExpressionAttributeNames=_READ_NAMES,
            )
        item = cast("Mapping[str, Mapping[str, object]]", answer.get("Item", {}))
        return Record.of(_values(item)) if item else None

    def open(self, key: ConnectionKey, record: Record) -> Secret:
        """One Decrypt, under the context of this very row."""
        context = key.encryption_context(Field.ACCESS_TOKEN)
        sealed = parse(record.access_token, context=context)
        arn = os.environ.get("CONSENTRY_ACCESS_KEY", "") or sealed.key_arn
        if sealed.key_arn != arn or not KEY_ARN.fullmatch(arn):
            raise unreadable("sealed under another key")
        with self._clients.explained(OPENING):
            answer = self._clients.kms().decrypt(
                CiphertextBlob=sealed.encrypted_data_key, KeyId=arn, EncryptionContext=context
            )
        return Secret(as_text(open_sealed(sealed, answer["Plaintext"])))

    def refresh(self, key: ConnectionKey, rejected_generation: int) -> bool:
        """Invoke the refresh function once and wait. What it did is in the record, whatever it answers."""
        wish = {"tenant": key.tenant, "connection": key.sort_key, "rejected_generation": rejected_generation}
        with self._clients.explained(REFRESHING):
            answer = self._clients.functions().invoke(
                FunctionName=self._clients.setting("CONSENTRY_REFRESH_FUNCTION"),
                InvocationType="RequestResponse",
                Payload=json.dumps(wish).encode(),
            )
        if "FunctionError" in answer:
            raise later(REFRESHING, "the refresh function failed")
        with suppress(ValueError):
            told = json.loads(answer["Payload"].read())
            return isinstance(told, dict) and told.get("outcome") == "busy"
        return False

    def connections(self, tenant: str) -> Sequence[ListedConnection]:
        """One Query for each 1 MB. A row that cannot be read is logged, and hides no other."""
        return [each for item in self._items(tenant) if (each := _listed(item))]

    def _items(self, tenant: str) -> Iterator[Mapping[str, Mapping[str, object]]]:
        with self._clients.explained(LISTING):
            pages: Iterable[Any] = (
                self._clients.dynamodb()
                .get_paginator("query")
                .paginate(
                    TableName=self._clients.setting("CONSENTRY_CONNECTIONS_TABLE"),
                    Select="SPECIFIC_ATTRIBUTES",
                    KeyConditionExpression="#tenant = :tenant",
                    ProjectionExpression=_LIST,
                    ExpressionAttributeNames=_LIST_NAMES,
                    ExpressionAttributeValues={":tenant": {"S": tenant}},
                )
            )
            for page in pages:
                yield from page["Items"]

    def call(self, method: str, path: str, content: Mapping[str, object]) -> Mapping[str, object]:
        from consentry.signed import SignedApi  # noqa: PLC0415 - an HTTP client is loaded only by those who need one

        return SignedApi(self._clients).call(method, path, content)


def _named(attributes: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return a projection, and the names that it stands for: some of them are words of DynamoDB's own."""
    return ", ".join(f"#{name}" for name in attributes), {f"#{name}": name for name in attributes}


_READ, _READ_NAMES = _named(READ_ATTRIBUTES)
_LIST, _LIST_NAMES = _named(LIST_ATTRIBUTES)


def _values(item: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    return {name: plain(value) for name, value in item.items()}


def _listed(item: Mapping[str, Mapping[str, object]]) -> ListedConnection | None:
    try:
        return ListedConnection.of_item(_values(item))
    except ConsentryError as error:
        _LOGGER.warning("a connection could not be listed: %s", error.detail or error.code)
        return None
