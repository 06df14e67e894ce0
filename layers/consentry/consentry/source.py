"""Where a vault's answers come from: the connections table, the key, the refresh function and the management API."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, cast

from consentry.clients import GETTING, OPENING, REFRESHING, Clients, later
from consentry.envelope import KEY_ARN, as_text, open_sealed, parse, unreadable
from consentry.model import ConnectionKey, Field, Secret
from consentry.record import READ_ATTRIBUTES, Record, plain_values, projection

if TYPE_CHECKING:
    from boto3.session import Session

    from consentry.listing import ListedConnection


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

    def connections(self, tenant: str) -> "Sequence[ListedConnection]":
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
        return Record.of(plain_values(item)) if item else None

    def open(self, key: ConnectionKey, record: Record) -> Secret:
        """One Decrypt, under the context of this very row."""
        context = key.encryption_context(Field.ACCESS_TOKEN)
        sealed = parse(record.access_token, context=context)
        arn = sealed.key_arn
        if not KEY_ARN.fullmatch(arn) or arn not in (_known_keys() or {arn}):
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

    def connections(self, tenant: str) -> "Sequence[ListedConnection]":
        from consentry.listing import connections_of  # noqa: PLC0415 - whoever only reads tokens does without

        return connections_of(tenant, self._clients)

    def call(self, method: str, path: str, content: Mapping[str, object]) -> Mapping[str, object]:
        from consentry.signed import SignedApi  # noqa: PLC0415 - an HTTP client is loaded only by those who need one

        return SignedApi(self._clients).call(method, path, content)


def _known_keys() -> set[str]:
    """Return the keys that this process is told of, which are two while keys are replaced; none: what IAM allows."""
    key, other = (os.environ.get(name, "") for name in ("CONSENTRY_ACCESS_KEY", "CONSENTRY_OTHER_ACCESS_KEY"))
    return {key, other} - {""} if key else set()


_READ, _READ_NAMES = projection(READ_ATTRIBUTES)
