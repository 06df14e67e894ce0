"""What the use cases need from the outside world, in verbs of the domain. Time and randomness are two of them.

Adapters live in `aws` and `http`; tests bring fakes held to the same contract. A port raises `ConsentryError`s (or
`StorageUnavailable` where the table, a key or a secret cannot be reached), never a vendor's exception.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from consentry.errors import OperatorMustAct
from consentry.model import Connection, ConnectionKey, Field, Integration, Secret
from consentry.oauth.provider import Provider
from consentry.oauth.wire import HttpAnswer, TokenRequest


class StorageUnavailable(OperatorMustAct):
    """A table, key, secret or queue did not answer, or refused us; nothing about the grant is known from it."""

    default_code = "storage_unavailable"


class Clock(Protocol):
    def now(self) -> float:
        """Epoch seconds."""

    def remaining_seconds(self) -> float:
        """Time left before this invocation is killed."""


class Randomness(Protocol):
    def token(self) -> str:
        """256 random bits, URL-safe base64 without padding (43 characters)."""


class NotDelivered(Exception):
    """The request provably never reached the provider: name lookup, refused connection or TLS handshake failed."""


class Undetermined(Exception):
    """The request may have reached the provider, and no complete answer came back in time."""


class TokenEndpointClient(Protocol):
    def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
        """Make exactly one request. Raise `NotDelivered` or `Undetermined`; never follow a redirect, never retry."""


class Catalogue(Protocol):
    def provider(self, provider_id: str) -> Provider:
        """Raise `Misconfigured` if there is none of that id."""


class Integrations(Protocol):
    def integration(self, integration_id: str) -> Integration | None: ...


class ClientSecrets(Protocol):
    def client_secret(self, integration_id: str) -> Mapping[str, Secret]:
        """The integration's secret material by name (`client_secret`, `basic_token`); empty if it has none."""


class SealingKey(Protocol):
    """A data key obtained before it is needed: sealing makes no call."""

    def seal(self, plaintext: Secret) -> bytes: ...


class Envelopes(Protocol):
    """Encryption under a context. `what` decides the KMS key: access tokens have their own."""

    def sealing_key(self, context: Mapping[str, str]) -> SealingKey:
        """One KMS GenerateDataKey."""

    def open(self, ciphertext: bytes, context: Mapping[str, str]) -> Secret:
        """One KMS Decrypt. Raise `UnreadableRecord` unless the ciphertext was sealed for exactly this context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A new generation of tokens on its way to the record; becomes generation `expected_gen + 1`."""

    expected_gen: int
    commit_id: str
    attributes: Mapping[str, object]


class Connections(Protocol):
    """The table `connections`: single-item conditional writes only."""

    def read(self, key: ConnectionKey) -> Connection | None:
        """Strongly consistent."""


class RefreshQueue(Protocol):
    def send(self, hints: Sequence["RefreshHint"]) -> Sequence["RefreshHint"]:
        """Send up to ten; return those that were accepted."""


@dataclass(frozen=True, slots=True)
class RefreshHint:
    """What a queue message says: look at this connection. Everything else is read from its record."""

    key: ConnectionKey
    gen: int
    due_at: int = 0


__all__ = ["Field"]
