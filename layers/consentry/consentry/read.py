"""Reading a token that works: the one thing that consumers of the vault do.

Light to import: no OAuth code, no HTTP client. A miss costs one GetItem and one Decrypt, a hit nothing; only a token
that has ended, or that the API rejected, costs a forced refresh.
"""

import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from consentry.bearer import BearerAuth
from consentry.envelope import unreadable
from consentry.errors import NotConnected, ReauthRequired, TokenUnavailable, UnreadableRecord
from consentry.model import DEFAULT_NAME, ConnectionKey, Metadata, Secret, Status
from consentry.record import Record, RecordSource

if TYPE_CHECKING:
    from boto3.session import Session

CACHE_SECONDS: Final = 300  # a disconnect is felt this soon
CACHE_ENTRIES: Final = 1000
DEADLINE_SECONDS: Final = 10.0
REFRESH_PAUSE_SECONDS: Final = 5  # a refresh that brought nothing is not asked for again at once
_POLL_SECONDS: Final = 0.5
_LOGGER: Final = logging.getLogger(__name__)
_HEADER_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token and what is known about it. `expires_at` is epoch seconds, or None if it does not end."""

    access_token: Secret
    token_type: str
    expires_at: int | None
    generation: int
    scopes: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=dict)
    account: str = ""

    @property
    def authorization(self) -> str:
        """The header's value (RFC 6750 section 2.1). Whatever the provider calls the type, it is sent as `Bearer`."""
        value = self.access_token.reveal()
        if _HEADER_TOKEN.fullmatch(value):
            return f"Bearer {value}"
        raise unreadable("token does not fit into a header")


@dataclass(frozen=True, slots=True)
class Renewal:
    """What came of a rejected token. `adopted` says that a newer one existed already and no refresh was spent."""

    token: Token | None
    adopted: bool = False


class Vault:
    """Access tokens of this deployment's connections. Making one does nothing; everything happens at first use.

    `table` and `refresh_function` default to CONSENTRY_CONNECTIONS_TABLE and CONSENTRY_REFRESH_FUNCTION, `session` to
    boto3's own. `deadline_seconds` bounds the wait for a forced refresh. Safe to share between threads; one for each
    process is enough.
    """

    def __init__(
        self,
        *,
        table: str | None = None,
        refresh_function: str | None = None,
        session: "Session | None" = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self._source = RecordSource(
            table=table, refresh_function=refresh_function, session=session, deadline_seconds=deadline_seconds
        )
        self._clock = clock
        self._sleep = sleep
        self._deadline_seconds = deadline_seconds
        self._kept = _Bounded[_Kept](CACHE_ENTRIES)
        self._in_vain = _Bounded[tuple[int, float]](CACHE_ENTRIES)
        self._turns = _Turns()

    def token(self, tenant: str, integration: str, name: str = DEFAULT_NAME) -> Token:
        """Return a token that has not ended; past its end, one refresh is asked for and waited for.

        Raises `InvalidRequest`, `NotConnected`, `ReauthRequired`, `TokenUnavailable`, `Misconfigured` or
        `UnreadableRecord`.
        """
        key = ConnectionKey.parse(tenant, integration, name)
        if token := self._cached(key):
            return token
        with self._turns.of(key, self._deadline_seconds):
            return self._cached(key) or self._keep(key, self._servable_record(key))

    def renewed(self, tenant: str, integration: str, name: str = DEFAULT_NAME, *, rejected: Token) -> Token | None:
        """Return a token newer than the one that an API rejected, or None if there is none to be had now.

        Callers with the same rejected token cause one refresh in this process. Raises as `token` does.
        """
        return self._renewal(ConnectionKey.parse(tenant, integration, name), rejected).token

    def _renewal(self, key: ConnectionKey, rejected: Token) -> Renewal:
        with self._turns.of(key, self._deadline_seconds):
            token = self._cached(key)
            if token and token.generation != rejected.generation:
                return Renewal(token, adopted=True)
            record = self._read(key, consistent=True)
            if adopted := record.gen != rejected.generation and record.servable(self._clock()):
                return Renewal(self._keep(key, record), adopted=adopted)
            record = self._after_refresh(key, record.gen)
            if record.gen != rejected.generation and record.servable(self._clock()):
                return Renewal(self._keep(key, record))
            if record.status != Status.ACTIVE:
                raise _reauth_required(key, record)
            return Renewal(None)

    def headers(self, tenant: str, integration: str, name: str = DEFAULT_NAME) -> dict[str, str]:
        """Return `{"Authorization": "Bearer ..."}`: secret from here on. Raises as `token` does."""
        return {"Authorization": self.token(tenant, integration, name).authorization}

    def auth(self, tenant: str, integration: str, name: str = DEFAULT_NAME) -> BearerAuth:
        """Return an `auth` for `requests`: the Bearer header, and on a 401 one forced refresh and one retry."""
        key = ConnectionKey.parse(tenant, integration, name)
        return BearerAuth(
            token=lambda: self.token(tenant, integration, name), renewal=lambda rejected: self._renewal(key, rejected)
        )

    def _cached(self, key: ConnectionKey) -> Token | None:
        kept = self._kept.get(key)
        return kept.token if kept and self._clock() < kept.until else None

    def _keep(self, key: ConnectionKey, record: Record) -> Token:
        token = Token(
            access_token=self._source.open(key, record),
            token_type=record.token_type,
            expires_at=record.expires_at,
            generation=record.gen,
            scopes=record.scopes,
            metadata=MappingProxyType(record.metadata),
            account=record.account,
        )
        until = min(record.served_until, self._clock() + CACHE_SECONDS)
        self._kept.put(key, _Kept(token=token, until=until, refreshed_at=record.refreshed_at))
        return token

    def _servable_record(self, key: ConnectionKey) -> Record:
        """Read the record, after a forced refresh where its token has ended. Raise what stands in the way."""
        record = self._read(key)
        if record.servable(self._clock()):
            return record
        if record.status == Status.ACTIVE:
            record = self._after_refresh(key, record.gen)
        if record.servable(self._clock()):
            return record
        if record.status != Status.ACTIVE:
            raise _reauth_required(key, record)
        raise _unavailable("The token has ended and its renewal is not done yet; try again in a few seconds.")

    def _after_refresh(self, key: ConnectionKey, generation: int) -> Record:
        """Ask for one refresh, unless one for this generation was just in vain, and read what became of it."""
        in_vain, until = self._in_vain.get(key) or (None, 0.0)
        deadline = self._clock()
        if generation != in_vain or self._clock() >= until:
            try:
                if self._source.refresh(key, generation):
                    deadline += self._deadline_seconds
            except TokenUnavailable as error:  # somebody else may have renewed it meanwhile: the record knows
                _LOGGER.warning("forced refresh unanswered: %s", error.detail)
        record = self._read(key, consistent=True)
        while record.gen == generation and record.status == Status.ACTIVE and self._clock() < deadline:
            self._sleep(_POLL_SECONDS)  # another process is refreshing: its token will be as good as ours
            record = self._read(key, consistent=True)
        if record.gen == generation:
            self._in_vain.put(key, (generation, self._clock() + REFRESH_PAUSE_SECONDS))
        return record

    def _read(self, key: ConnectionKey, *, consistent: bool = False) -> Record:
        """Read the record; eventually consistent unless told otherwise, at half the price. Never back in time."""
        record = self._source.read(key, consistent=consistent)
        if record is None or record.status == Status.DELETING:
            self._kept.forget(key)
            raise NotConnected(f"{key.tenant} has not connected {key.integration} ({key.name}). {_how_to(key)}")
        kept = self._kept.get(key)
        if kept is None or not kept.is_newer_than(record):
            return record
        if not consistent:
            return self._read(key, consistent=True)
        raise UnreadableRecord(
            "The record is older than one read before. If a backup was restored, raise the epoch as the runbook says.",
            code="record_rolled_back",
            detail=f"generation {record.gen} after {kept.token.generation}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A token in the cache; past `until` it remains as the memory of what was seen."""

    token: Token
    until: float
    refreshed_at: int

    def is_newer_than(self, record: Record) -> bool:
        """Whether the record went back. A connection made anew starts at generation 1, but later in time."""
        return record.gen < self.token.generation and record.refreshed_at <= self.refreshed_at


class _Bounded[T]:
    """The values used last, by connection."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._values: OrderedDict[ConnectionKey, T] = OrderedDict()

    def get(self, key: ConnectionKey) -> T | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: ConnectionKey, value: T) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._size:
                self._values.popitem(last=False)

    def forget(self, key: ConnectionKey) -> None:
        with self._lock:
            self._values.pop(key, None)


class _Turns:
    """One caller at a time for each connection; the others wait and find what it brought."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[ConnectionKey, tuple[threading.Lock, int]] = {}

    @contextmanager
    def of(self, key: ConnectionKey, patience_seconds: float) -> Iterator[None]:
        turn = self._join(key, 1)
        try:
            if not turn.acquire(timeout=patience_seconds):
                raise _unavailable("Another caller is still waiting for this token; try again in a few seconds.")
            try:
                yield
            finally:
                turn.release()
        finally:
            self._join(key, -1)

    def _join(self, key: ConnectionKey, callers: int) -> threading.Lock:
        with self._lock:
            turn, others = self._turns.pop(key, (threading.Lock(), 0))
            if others + callers:
                self._turns[key] = (turn, others + callers)
            return turn


def _reauth_required(key: ConnectionKey, record: Record) -> ReauthRequired:
    cause = record.cause or "unknown"
    return ReauthRequired(
        f"{key.integration} must be connected again by {key.tenant} ({cause}). {_how_to(key)}", cause=cause
    )


def _how_to(key: ConnectionKey) -> str:
    return f"POST /tenants/{key.tenant}/sessions with this integration gives a connect_url: send the customer there."


def _unavailable(public: str) -> TokenUnavailable:
    return TokenUnavailable(public, retry_after_seconds=REFRESH_PAUSE_SECONDS)
