"""A connection's record as a reader sees it, and the three AWS calls that reading a token may cost."""

import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from consentry.envelope import KEY_ARN, as_text, open_sealed, parse, unreadable
from consentry.errors import Misconfigured, TokenUnavailable
from consentry.model import RECORD_VERSION, ConnectionKey, Field, Metadata, Secret, skew_seconds

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_lambda import LambdaClient

# All that a reader may see of a record; the exported `read` policy allows these attributes and no others.
READ_ATTRIBUTES: Final = (
    *("tenant", "connection", "v", "status", "status_cause", "gen", "access_token"),
    *("token_type", "expires_at", "refreshed_at", "scopes", "metadata", "account"),
)
_DENIED: Final = frozenset({"AccessDeniedException", "AccessDenied", "UnrecognizedClientException"})
_MISSING: Final = frozenset({"ResourceNotFoundException", "NotFoundException"})
_DISABLED: Final = frozenset({"DisabledException", "KMSInvalidStateException"})
_FOREIGN: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What READ_ATTRIBUTES say; the access token is still encrypted, times are epoch seconds."""

    status: str
    cause: str
    gen: int
    access_token: bytes = field(repr=False)
    token_type: str
    expires_at: int | None
    refreshed_at: int
    scopes: tuple[str, ...]
    metadata: Metadata
    account: str

    @classmethod
    def of(cls, item: Mapping[str, object]) -> Self:
        """Check an item's shape. Raises `Misconfigured` for another record version, else `UnreadableRecord`."""
        if item.get("v") != RECORD_VERSION:
            raise Misconfigured("The record was written by another version of Consentry; update this function's layer.")
        try:
            return cls(
                status=_of_type(str, item["status"]),
                cause=_of_type(str, item.get("status_cause", "")),
                gen=_of_type(int, item["gen"]),
                access_token=_of_type(bytes, item.get("access_token", b"")),
                token_type=_of_type(str, item.get("token_type", "Bearer")),
                expires_at=None if item.get("expires_at") is None else _of_type(int, item["expires_at"]),
                refreshed_at=_of_type(int, item.get("refreshed_at", 0)),
                scopes=tuple(_of_type(str, scope) for scope in _of_type(list, item.get("scopes", []))),
                metadata=cast("Metadata", _of_type(dict, item.get("metadata", {}))),
                account=_of_type(str, item.get("account", "")),
            )
        except (KeyError, TypeError):
            raise unreadable("record of another shape") from None

    @property
    def served_until(self) -> float:
        """The end of the token's life less skew, as in `Connection.servable`; infinity if it has none."""
        if self.expires_at is None:
            return float("inf")
        return self.expires_at - skew_seconds(max(0, self.expires_at - self.refreshed_at))

    def servable(self, now: float) -> bool:
        return bool(self.access_token) and now < self.served_until


def _of_type[T](expected: type[T], value: object) -> T:
    if isinstance(value, expected):
        return value
    raise TypeError


def _plain(value: Mapping[str, object]) -> object:
    """Turn DynamoDB's `{"S": "..."}` into a value; whole numbers become `int`, other numbers stay text."""
    ((kind, content),) = value.items()
    match kind, content:
        case "NULL", _:
            return None
        case "N", str():
            return int(content) if content.removeprefix("-").isdecimal() else content
        case "L", list():
            return [_plain(each) for each in content]
        case "M", dict():
            return {name: _plain(each) for name, each in content.items()}
        case _:
            return content


class RecordSource:
    """GetItem, Decrypt and the refresh function's Invoke: one client each, made at first use from one session."""

    def __init__(
        self, *, table: str | None, refresh_function: str | None, session: "Session | None", deadline_seconds: float
    ) -> None:
        self._given = {"CONSENTRY_CONNECTIONS_TABLE": table, "CONSENTRY_REFRESH_FUNCTION": refresh_function}
        self._given_session = session
        self._deadline_seconds = deadline_seconds
        self._making = threading.Lock()

    def read(self, key: ConnectionKey, *, consistent: bool) -> Record | None:
        """One GetItem. `None` if there is no record."""
        with _explained("dynamodb:GetItem", "the connections table"):
            answer = self._table_client().get_item(
                TableName=self._setting("CONSENTRY_CONNECTIONS_TABLE"),
                Key={"tenant": {"S": key.tenant}, "connection": {"S": key.sort_key}},
                ConsistentRead=consistent,
                ProjectionExpression=", ".join(f"#{name}" for name in READ_ATTRIBUTES),
                ExpressionAttributeNames={f"#{name}": name for name in READ_ATTRIBUTES},
            )
        item = cast("dict[str, Mapping[str, object]]", answer.get("Item", {}))
        return Record.of({name: _plain(value) for name, value in item.items()}) if item else None

    def open(self, key: ConnectionKey, record: Record) -> Secret:
        """One Decrypt, under the context of this very row. Raises `UnreadableRecord` if it belongs elsewhere."""
        context = key.encryption_context(Field.ACCESS_TOKEN)
        sealed = parse(record.access_token, context=context)
        arn = os.environ.get("CONSENTRY_ACCESS_KEY", "") or sealed.key_arn
        if sealed.key_arn != arn or not KEY_ARN.fullmatch(arn):
            raise unreadable("sealed under another key")
        with _explained("kms:Decrypt", "the key of access tokens"):
            answer = self._key_client().decrypt(
                CiphertextBlob=sealed.encrypted_data_key, KeyId=arn, EncryptionContext=context
            )
        return Secret(as_text(open_sealed(sealed, answer["Plaintext"])))

    def refresh(self, key: ConnectionKey, rejected_generation: int) -> bool:
        """Invoke the refresh function once and wait. What it did is in the record, whatever it answers.

        Return whether somebody else is refreshing just now, so that it pays to look again.
        """
        wish = {"tenant": key.tenant, "connection": key.sort_key, "rejected_generation": rejected_generation}
        with _explained("lambda:InvokeFunction", "the refresh function"):
            answer = self._function_client().invoke(
                FunctionName=self._setting("CONSENTRY_REFRESH_FUNCTION"),
                InvocationType="RequestResponse",
                Payload=json.dumps(wish).encode(),
            )
        if "FunctionError" in answer:
            raise _later("lambda:InvokeFunction", "the refresh function failed")
        with suppress(ValueError):
            told = json.loads(answer["Payload"].read())
            return isinstance(told, dict) and told.get("outcome") == "busy"
        return False

    def _setting(self, variable: str) -> str:
        if value := self._given[variable] or os.environ.get(variable, ""):
            return value
        raise Misconfigured(f"Set the environment variable {variable} for this function, or pass its value to Vault().")

    def _table_client(self) -> "DynamoDBClient":
        with self._making:
            return self._dynamodb

    def _key_client(self) -> "KMSClient":
        with self._making:
            return self._kms

    def _function_client(self) -> "LambdaClient":
        with self._making:
            return self._lambda

    @cached_property
    def _session(self) -> "Session":
        # At DEBUG, botocore writes whole requests and answers: tokens among them.
        logging.getLogger("botocore").setLevel(logging.WARNING)
        # boto3's default session is shared with the consumer's own clients: a second one costs a second start.
        return self._given_session or boto3._get_default_session()  # noqa: SLF001 - boto3.client() itself uses it

    @cached_property
    def _dynamodb(self) -> "DynamoDBClient":
        return self._session.client("dynamodb", config=_QUICK)

    @cached_property
    def _kms(self) -> "KMSClient":
        return self._session.client("kms", config=_QUICK)

    @cached_property
    def _lambda(self) -> "LambdaClient":
        # One attempt only: a repeated request is a second refresh. A second is left for reading the record again.
        patience = max(1.0, self._deadline_seconds - 1)
        config = Config(connect_timeout=2, read_timeout=patience, retries={"total_max_attempts": 1})
        return self._session.client("lambda", config=config)


_QUICK: Final = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})


@contextmanager
def _explained(action: str, resource: str) -> Iterator[None]:
    """Turn AWS's errors into ours, by code; their messages are dropped."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _FOREIGN:
            raise unreadable(f"{action}: {code}") from None
        raise _meaning(code, action, resource) from None
    except (NoCredentialsError, NoRegionError) as error:
        message = f"This process has no AWS credentials or region, so it can't use {action}; run it with a role."
        raise Misconfigured(message, detail=type(error).__name__) from None
    except BotoCoreError as error:
        raise _later(action, type(error).__name__) from None


def _meaning(code: str, action: str, resource: str) -> Misconfigured | TokenUnavailable:
    if code in _DENIED:
        policy = "RefreshPolicyArn" if action == "lambda:InvokeFunction" else "ReadPolicyArn"
        return Misconfigured(
            f"This function's role lacks {action} on {resource}; attach the policy in the stack's output {policy}."
        )
    if code in _MISSING:
        return Misconfigured(f"There is no such thing as {resource} configured for this function ({action}).")
    if code in _DISABLED:
        return Misconfigured(f"{resource.capitalize()} is disabled or about to be deleted; enable it ({action}).")
    return _later(action, code)


def _later(action: str, code: str) -> TokenUnavailable:
    return TokenUnavailable(
        "The token can't be read right now; try again in a few seconds.", detail=f"{action}: {code}"
    )
