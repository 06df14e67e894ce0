"""A connection on its way from one vault to another: what stands in clear, and what is sealed."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from consentry.errors import InvalidRequest
from consentry.model import MOST_TEXT, Connection, ConnectionKey, Metadata, Secret, Variables
from consentry.transfer.sealing import PrivateKey, Recipient

VERSION: Final = 1
SEALED: Final = "sealed"
_TEXTS: Final = ("provider", "client_id", "account", "label", "description")
_NUMBERS: Final = ("created_at", "grant_expires_at", "expires_at")
_CLEAR: Final = (
    "v",
    "tenant",
    "integration",
    "name",
    *_TEXTS,
    *_NUMBERS,
    "scopes",
    "metadata",
    "variables",
    "token_type",
)
_SECRET: Final = ("grant", "access_token")
_LATEST: Final = 2**40
_LONGEST_SECRET: Final = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`grant` as the vault stores it: a refresh token, or credential inputs by name. Times are epoch seconds."""

    key: ConnectionKey
    grant: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    access_token: Secret = field(default=Secret(""), repr=False)
    token_type: str = "Bearer"  # noqa: S105 - a token type, not a token
    provider: str = ""
    client_id: str = ""
    account: str = ""
    label: str = ""
    description: str = ""
    scopes: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=dict)
    variables: Variables = field(default_factory=dict)
    created_at: int | None = None
    grant_expires_at: int | None = None
    expires_at: int | None = None


def clear_of(record: Connection) -> dict[str, Any]:
    """Return what stands in clear in an exported row; what is empty is left out."""
    told: dict[str, Any] = {
        "provider": record.provider,
        "client_id": record.client_id,
        "account": record.account,
        "label": record.label,
        "description": record.description,
        "scopes": list(record.scopes),
        "metadata": dict(record.metadata),
        "variables": dict(record.variables),
        "created_at": record.created_at,
        "grant_expires_at": record.grant_expires_at,
    }
    key = {"tenant": record.key.tenant, "integration": record.key.integration, "name": record.key.name}
    return {"v": VERSION, **key, **{name: value for name, value in told.items() if value}}


def sealed_row(clear: Mapping[str, Any], grant: Mapping[str, Secret], recipient: Recipient) -> dict[str, Any]:
    text = json.dumps({"grant": {name: secret.reveal() for name, secret in grant.items()}})
    sealed = recipient.seal(Secret(text), _bound(clear))
    return {**clear, SEALED: base64.b64encode(sealed).decode()}


def opened_row(told: Mapping[str, Any], private_key: PrivateKey) -> dict[str, Any]:
    """Return the row in clear, its secrets under `secret`; raise `InvalidRequest` if it does not open."""
    clear = {name: value for name, value in told.items() if name != SEALED}
    try:
        sealed = base64.b64decode(told.get(SEALED, ""), validate=True)
    except (ValueError, TypeError):
        sealed = b""
    text = private_key.open(sealed, _bound(clear)).reveal()
    try:
        return {**clear, "secret": json.loads(text)}
    except (ValueError, RecursionError):  # from None: the error holds the text
        raise InvalidRequest("what was sealed in it is no JSON", code="not_opened") from None


def _bound(clear: Mapping[str, Any]) -> bytes:
    """The whole clear part, in one way of writing: sorted, without spaces, in ASCII."""
    return json.dumps(clear, sort_keys=True, separators=(",", ":")).encode()


def row_from(told: object) -> Row:
    """Check a row in clear; raise `InvalidRequest` naming the field that is wrong."""
    if not isinstance(told, Mapping) or not isinstance(told.get("secret"), Mapping):
        raise InvalidRequest("a row must be an object with an object `secret`", code="invalid_row")
    if told.get("v") != VERSION:
        raise InvalidRequest(f"v must be {VERSION}: another version wrote this row", code="invalid_row")
    if unknown := sorted(str(name) for name in told if name not in {*_CLEAR, "secret"}):
        raise InvalidRequest(f"{unknown[0][:40]!r} is no field of a row", code="invalid_row")
    secret = told["secret"]
    if unknown := sorted(str(name) for name in secret if name not in _SECRET):
        raise InvalidRequest(f"{unknown[0][:40]!r} is no field of a row's secret", code="invalid_row")
    values = {name: _text(told, name) for name in _TEXTS} | {name: _number(told, name) for name in _NUMBERS}
    return Row(
        key=ConnectionKey.parse(told.get("tenant"), told.get("integration"), told.get("name", "default")),
        grant=_grant(secret.get("grant", {})),
        access_token=Secret(_text(secret, "access_token", longest=_LONGEST_SECRET)),
        token_type=_text(told, "token_type") or "Bearer",
        scopes=_scopes(told.get("scopes", [])),
        metadata=_metadata(told.get("metadata", {})),
        variables=_variables(told.get("variables", {})),
        **values,  # type: ignore[arg-type]  # texts and numbers by their names
    )


def _text(told: Mapping[str, Any], name: str, *, longest: int = MOST_TEXT) -> str:
    value = told.get(name, "")
    if isinstance(value, str) and len(value) <= longest and value.replace("\n", "").isprintable():
        return value
    raise _wrong(name, f"a text of at most {longest} printable characters")


def _number(told: Mapping[str, Any], name: str) -> int | None:
    value = told.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LATEST):
        return value
    raise _wrong(name, "epoch seconds")


def _grant(value: object) -> dict[str, Secret]:
    if isinstance(value, Mapping):
        return {str(name): Secret(_text(value, name, longest=_LONGEST_SECRET)) for name in value}
    raise _wrong("secret.grant", "an object of texts")


def _scopes(value: object) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(each, str) and each for each in value):
        return tuple(value)
    raise _wrong("scopes", "a list of texts")


def _metadata(value: object) -> Metadata:
    if isinstance(value, Mapping) and all(isinstance(each, str | int) for each in value.values()):
        return {str(name): each for name, each in value.items()}
    raise _wrong("metadata", "an object of texts and numbers")


def _variables(value: object) -> Variables:
    if isinstance(value, Mapping) and all(isinstance(each, str) for each in value.values()):
        return {str(name): each for name, each in value.items()}
    raise _wrong("variables", "an object of texts")


def _wrong(name: str, wanted: str) -> InvalidRequest:
    return InvalidRequest(f"{name} must be {wanted}", code="invalid_row")
