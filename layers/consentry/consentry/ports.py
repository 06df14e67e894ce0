"""What the use cases need from the outside world, in verbs of the domain. Time and randomness are two of them.

Adapters live in `aws` and `http`. A port raises `ConsentryError`s (`StorageUnavailable` where a table, key, secret or
queue cannot be reached), never a vendor's exception.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from consentry.errors import OperatorMustAct
from consentry.model import Connection, ConnectionKey, Flow, FlowStatus, Integration, Secret, Session, Status
from consentry.oauth.provider import Provider
from consentry.oauth.wire import HttpAnswer, TokenRequest

TABLE_UNAVAILABLE: Final = "table_unavailable"


class StorageUnavailable(OperatorMustAct):
    """A table, key, secret or queue did not answer, or refused us; nothing about the grant is known from it."""

    default_code = "storage_unavailable"


class NotDelivered(Exception):
    """The request provably never reached the provider: name lookup, refused connection or TLS handshake failed."""


class Undetermined(Exception):
    """The request may have reached the provider, and no complete answer came back in time.

    `peer_closed` says that the provider ended the connection, so that it is no longer working on the request for us.
    """

    def __init__(self, reason: str, *, peer_closed: bool = False) -> None:
        super().__init__(reason)
        self.peer_closed = peer_closed


class Clock(Protocol):
    def now(self) -> int:
        """Epoch seconds."""

    def remaining_seconds(self) -> float:
        """Time left before this invocation is killed."""

    def sleep(self, seconds: float) -> None: ...


class Randomness(Protocol):
    def token(self) -> str:
        """256 random bits, URL-safe base64 without padding (43 characters)."""

    def fraction(self) -> float:
        """At least 0, below 1; for jitter alone."""


class TokenEndpointClient(Protocol):
    def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
        """Make exactly one request. Raise `NotDelivered` or `Undetermined`; never follow a redirect, never retry."""


class Catalogue(Protocol):
    def provider(self, provider_id: str) -> Provider:
        """Raise `Misconfigured` if there is none of that id."""


class Integrations(Protocol):
    def integration(self, integration_id: str) -> Integration | None:
        """Raise `Misconfigured` if it is registered in a way that cannot be used."""

    def integrations(self) -> Sequence[Integration]:
        """Return all, with a `problem` in those that cannot be used."""


class ClientSecrets(Protocol):
    def client_secrets(self, integration_id: str) -> Mapping[str, Secret]:
        """Return the integration's secret material by name (`client_secret`, `basic_token`); empty if it has none."""

    def previous_client_secrets(self, integration_id: str) -> Mapping[str, Secret]:
        """Return what it was before the last rotation; empty if there was none."""


class SealingKey(Protocol):
    """A data key obtained before it is needed: sealing makes no call."""

    def seal(self, plaintext: Secret) -> bytes: ...


class Envelopes(Protocol):
    """Encryption under a context. The context's `field` decides the KMS key: access tokens have their own."""

    def sealing_key(self, context: Mapping[str, str]) -> SealingKey:
        """One KMS GenerateDataKey."""

    def open(self, ciphertext: bytes, context: Mapping[str, str]) -> Secret:
        """One KMS Decrypt. Raise `UnreadableRecord` unless the ciphertext was sealed for exactly this context."""


type Attributes = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """New tokens on their way to the record. `expected_gen` is the generation they derive from (0: no record yet).

    `set_attributes` become the record's; `remove` names attributes that end. Generation, commit id, status, lease and
    intent follow from the commit itself. `expected_consent` is the consent that the replaced tokens descend from (empty
    if the record names none), so that nothing lands in a connection that was erased and made anew; None if unknown.
    """

    key: ConnectionKey
    expected_gen: int
    expected_epoch: int
    epoch: int
    commit_id: str
    status: Status
    set_attributes: Attributes
    remove: tuple[str, ...] = ()
    expected_consent: str | None = None


class CommitOutcome(StrEnum):
    """`DELETING`: the record waits for its revocation, now with the grant that a refresh brought. `GONE`: erased."""

    COMMITTED = "committed"
    SUPERSEDED = "superseded"
    DELETING = "deleting"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Lease and intent in one: who is about to send the token request for this generation, and until when.

    An earlier unanswered intent for the same generation blocks unless it is older than `settled_before`, and a time to
    try again blocks if it is later than `retry_before`. `due_at` is when the record must be looked at again if this
    worker dies. `consent` is that of the grant in hand: a connection made anew with this name has another one.
    """

    owner: str
    gen: int
    epoch: int
    now: int
    until: int
    settled_before: int
    due_at: int
    retry_before: int
    consent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a token request came to when it brought no token; written only while the lease is still ours.

    `failures` are in a row, and so are those among them, `refused`, in which the provider refused the grant itself.
    """

    owner: str
    gen: int
    epoch: int
    error: str
    failures: int
    refused: int = 0
    next_try_at: int
    due_at: int
    answered: bool
    status: Status = Status.ACTIVE
    cause: str = ""
    now: int = 0


class Connections(Protocol):
    """The table `connections`: single-item conditional writes only."""

    def read(self, key: ConnectionKey) -> Connection | None:
        """Strongly consistent."""

    def of_tenant(self, tenant: str) -> Sequence[Connection]: ...

    def take_lease(self, key: ConnectionKey, lease: Lease) -> Connection | None:
        """Write lease and intent in one conditional update.

        Return the record as it was before, or None if another worker was faster or the record moved on.
        """

    def commit(self, commit: Commit) -> CommitOutcome:
        """Write generation `expected_gen + 1` if the record is still at `expected_gen`, whoever holds the lease.

        Safe to repeat: a commit that was already applied is recognised by its `commit_id`.
        """

    def restore(self, commit: Commit) -> CommitOutcome:
        """Commit late, out of escrow: another worker's request may be under way, so its lease stands until it ends."""

    def record_failure(self, key: ConnectionKey, failure: Failure) -> bool:
        """Record it if generation and lease are still the failure's; return whether that was so. Safe to repeat."""

    def postpone(self, record: Connection, *, error: str, until: int) -> None:
        """Look again at `until`, because a request could not be prepared; unless the record moved on or is leased."""

    def unmark(self, record: Connection) -> None:
        """Let the dispatcher send it again as soon as it may, unless the record moved on."""


HINT_VERSION: Final = 1


class Escrow(Protocol):
    """Where new tokens wait, still encrypted, when the table cannot be written: another service, another outage."""

    def keep(self, commit: Commit) -> None: ...

    def read(self, message: str) -> Commit:
        """Return what was kept; raise `InvalidRequest` if the message is none of ours."""

    def is_empty(self) -> bool:
        """Return whether nothing waits, neither visible nor in flight; False where that cannot be known."""


@dataclass(frozen=True, slots=True)
class RefreshHint:
    """What a queue message says: look at this connection. Everything else is read from its record."""

    key: ConnectionKey
    gen: int


@dataclass(frozen=True, slots=True)
class Due:
    """A connection to look at since `due_at`; a hint about it is on its way if `enqueued_until` is still to come."""

    hint: RefreshHint
    due_at: int
    enqueued_until: int = 0


class DueIndex(Protocol):
    def due(self, shard: int, *, now: int) -> Iterator[Due]:
        """Walk through what is due in a shard, the most urgent first, page by page."""

    def integrations(self, shard: int) -> Iterator[str]:
        """Walk through all of a shard, due or not: the integration of each connection."""

    def mark_enqueued(self, due: Due, *, until: int) -> None:
        """Keep this one out of the next ticks, unless its record has moved on."""


class RefreshQueue(Protocol):
    def send(self, hints: Sequence[tuple[RefreshHint, int]]) -> Sequence[RefreshHint]:
        """Send up to ten in one call, each to be delivered after so many seconds; return those that were accepted."""


class RefreshRequests(Protocol):
    def request(self, key: ConnectionKey, rejected_generation: int) -> None:
        """Ask the engine, asynchronously, for a generation newer than the rejected one."""


class Sessions(Protocol):
    """The table `pending`: connect sessions and their flows. Every edge is one conditional write.

    Each is safe to repeat: a call that was applied although its answer was lost says so when it is made again.
    """

    def create(self, session: Session) -> None: ...

    def session(self, session_id: str) -> Session | None:
        """Return it unless it ended with too many tries."""

    def flow(self, session_id: str, integration: str) -> Flow | None:
        """Strongly consistent."""

    def start(self, flow: Flow) -> bool:
        """Begin, or begin again with a newer state; refused while a code is being exchanged and once done."""

    def park(self, flow: Flow, *, code: bytes, handle_hash: str, until: int, replaces: str) -> bool:
        """Move started -> code_received, for this very state; remember the consent that it may replace."""

    def reissue_handle(self, flow: Flow, *, handle_hash: str) -> bool:
        """Add one more handle to a parked code, once: the browser reloaded before it saw the first."""

    def claim(self, flow: Flow, *, expected: FlowStatus, claim_id: str) -> bool:
        """Move `expected` -> exchanging for this very state, dropping the stored code.

        `claim_id` is unique to the claimer: one that was applied already is recognised by it.
        """

    def finish(self, flow: Flow, status: FlowStatus, outcome: str, *, expected: FlowStatus) -> bool:
        """Move `expected` -> done or failed for this very state, dropping code and verifier.

        Return whether it ended so, also if it had before. Only who claimed the flow expects exchanging.
        """
