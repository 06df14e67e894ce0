"""The nouns of the vault: who connected what, in which state, and secrets that cannot be printed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NoReturn, Self

from consentry.errors import InvalidRequest

IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
DEFAULT_NAME: Final = "default"
RECORD_VERSION: Final = 1
MOST_TEXT: Final = 500  # characters of a label, and of a description


class Secret:
    """A string that hides in `repr`, `str`, `format`, JSON and pickles; `.reveal()` is the only way out."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        message = "a Secret cannot be pickled or copied; pass the reference or reveal() it on purpose"
        raise TypeError(message)


class Status(StrEnum):
    """What a connection can be used for."""

    ACTIVE = "active"
    REAUTH_REQUIRED = "reauth_required"
    SCOPE_INSUFFICIENT = "scope_insufficient"
    DELETING = "deleting"


class Cause(StrEnum):
    """Why a connection needs its customer again."""

    GRANT_REVOKED = "grant_revoked"
    AMBIGUOUS_ROTATION = "ambiguous_rotation"
    CREDENTIAL_REJECTED = "credential_rejected"
    NO_REFRESH_TOKEN = "no_refresh_token"  # noqa: S105 - the name of a cause
    SCOPE_MISSING = "scope_missing"


class Removal(StrEnum):
    """What a disconnect asks of the provider: to end the grant, or to take the application out of the account too."""

    REVOKE = "revoke"
    UNINSTALL = "uninstall"


class Grant(StrEnum):
    """How the provider issues tokens for a connection (RFC 6749 sections 4.1 and 4.4)."""

    AUTHORIZATION_CODE = "authorization_code"
    CLIENT_CREDENTIALS = "client_credentials"


class Field(StrEnum):
    """What a ciphertext holds; the third part of every encryption context."""

    ACCESS_TOKEN = "access_token"  # noqa: S105 - the name of a field
    GRANT = "grant"
    FLOW = "flow"


def identifier(value: object, what: str) -> str:
    """Return `value` if it is a valid identifier; raise `InvalidRequest` naming `what` otherwise."""
    if isinstance(value, str) and IDENTIFIER.fullmatch(value):
        return value
    message = f"{what} must be 1 to 63 letters, digits, '-' or '_', and begin with a letter or digit"
    raise InvalidRequest(message, code="invalid_identifier")


@dataclass(frozen=True, slots=True)
class ConnectionKey:
    """Where a connection lives: its tenant, the integration, and a name (`default` unless told otherwise)."""

    tenant: str
    integration: str
    name: str = DEFAULT_NAME

    @classmethod
    def parse(cls, tenant: object, integration: object, name: object = DEFAULT_NAME) -> Self:
        return cls(identifier(tenant, "tenant"), identifier(integration, "integration"), identifier(name, "name"))

    @classmethod
    def from_sort_key(cls, tenant: object, sort_key: object) -> Self:
        integration, _, name = sort_key.partition("#") if isinstance(sort_key, str) else ("", "", "")
        return cls.parse(tenant, integration, name)

    @property
    def sort_key(self) -> str:
        return f"{self.integration}#{self.name}"

    def encryption_context(self, what: Field) -> dict[str, str]:
        """The context that binds a ciphertext to its row and attribute: exactly tenant, connection and field."""
        return {"tenant": self.tenant, "connection": self.sort_key, "field": what.value}


type Metadata = Mapping[str, str | int]
type Variables = Mapping[str, str]  # parts of the provider's URLs that a customer decides, by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One row of the table `connections`; ciphertexts stay ciphertexts, times are epoch seconds."""

    key: ConnectionKey
    provider: str
    grant_type: Grant
    status: Status
    gen: int
    epoch: int
    client_id: str = ""
    status_cause: str = ""
    access_token: bytes = field(default=b"", repr=False)
    grant: bytes = field(default=b"", repr=False)
    token_type: str = "Bearer"  # noqa: S105 - a token type, not a token
    scopes: tuple[str, ...] = ()
    lost_scopes: tuple[str, ...] = ()
    scopes_reduced_at: int = 0
    account: str = ""
    metadata: Metadata = field(default_factory=dict)
    variables: Variables = field(default_factory=dict)
    label: str = ""
    description: str = ""
    commit_id: str = ""
    consent_id: str = ""
    created_at: int = 0
    refreshed_at: int = 0
    expires_at: int | None = None
    due_at: int | None = None
    grant_expires_at: int | None = None
    warned_at: int = 0
    next_try_at: int = 0
    lease_owner: str = ""
    lease_until: int = 0
    pend_gen: int | None = None
    pend_at: int = 0
    failures: int = 0
    refused: int = 0
    last_error: str = ""
    deleting_since: int = 0
    removal: str = ""

    @property
    def in_doubt(self) -> bool:
        """Whether a token request for this very generation may have reached the provider unanswered."""
        return self.pend_gen == self.gen

    @property
    def lifetime_seconds(self) -> int | None:
        return None if self.expires_at is None else max(0, self.expires_at - self.refreshed_at)

    def servable(self, now: float) -> bool:
        """Whether a reader may still hand out the access token: before expiry less skew."""
        if self.expires_at is None:
            return True
        return now < self.expires_at - skew_seconds(self.lifetime_seconds or 0)


def skew_seconds(lifetime_seconds: int) -> float:
    """How long before its end a token stops being served: a minute, or a tenth of a shorter life."""
    return min(60.0, lifetime_seconds / 10)


class Completion(StrEnum):
    """Who redeems the code: the company's backend, or (weaker, see `docs/security.md`) the callback itself."""

    CONFIRM = "confirm"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a company's backend allowed one of its users to connect, for half an hour. `id` is public.

    `language` is empty where the browser shall choose. `allow_disconnect` is whether the page may end connections.
    `variables` are what the company says of the providers' URLs, by integration; what it leaves out is asked for.
    """

    id: str
    tenant: str
    user_ref: str
    integrations: tuple[str, ...]
    expires_at: int
    name: str = DEFAULT_NAME
    scopes: tuple[str, ...] = ()
    return_url: str = ""
    completion: Completion = Completion.CONFIRM
    allow_account_change: bool = False
    language: str = ""
    allow_disconnect: bool = False
    variables: Mapping[str, Variables] = field(default_factory=dict)

    def key(self, integration: str) -> "ConnectionKey":
        """Return where an integration of this session is connected."""
        return ConnectionKey(self.tenant, integration, self.name)


class FlowStatus(StrEnum):
    STARTED = "started"
    CODE_RECEIVED = "code_received"
    EXCHANGING = "exchanging"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One consent on its way: the newest state of a session for one integration. Secrets are hashed or encrypted.

    `replaces` is the consent that the connection descended from when this one came back, so that the first of several
    to be completed wins. Empty: there was no connection; None: not known.
    """

    session: Session
    integration: str
    status: FlowStatus
    provider: str
    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    state_hash: str
    browser_hash: str
    expires_at: int
    optional_scopes: tuple[str, ...] = ()
    verifier: bytes = field(default=b"", repr=False)
    code: bytes = field(default=b"", repr=False)
    handle_hashes: tuple[str, ...] = ()
    parked_until: int = 0
    replaces: str | None = None
    outcome: str = ""
    variables: Variables = field(default_factory=dict)

    @property
    def key(self) -> ConnectionKey:
        return self.session.key(self.integration)


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """A provider as this deployment uses it: the registered client and the scopes to ask for.

    `refreshes_per_minute` replaces the provider's own limit. `problem` says why a registration cannot be used; it is
    empty for all that can.
    """

    id: str
    provider: str
    client_id: str = ""
    scopes: tuple[str, ...] = ()
    optional_scopes: tuple[str, ...] = ()
    display_name: str = ""
    refreshes_per_minute: int | None = None
    problem: str = ""
