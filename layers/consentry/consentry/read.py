"""Reading a token that works: the one thing that consumers of the vault do.

Light to import: no OAuth code, no HTTP client. A miss costs one GetItem and one Decrypt, a hit nothing; only a token
that has ended, or that the API rejected, costs a forced refresh.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self

from consentry.bearer import BearerAuth, Renewal, Token
from consentry.errors import (
    ConsentryError,
    InvalidRequest,
    Misconfigured,
    NotConnected,
    ReauthRequired,
    TokenUnavailable,
    UnreadableRecord,
)
from consentry.model import DEFAULT_NAME, ConnectionKey, Status, identifier
from consentry.record import Record
from consentry.sharing import REFRESH_PAUSE_SECONDS, Bounded, Turns, unavailable
from consentry.source import AwsSource, Source

if TYPE_CHECKING:
    from boto3.session import Session

    from consentry.listing import ListedConnection
    from consentry.testing import Prepared

CACHE_SECONDS: Final = 300  # a disconnect is felt this soon
CACHE_ENTRIES: Final = 1000
DEADLINE_SECONDS: Final = 10.0
OUTAGE_PAUSE_SECONDS: Final = 30  # while a valid token is at hand, AWS in trouble is not asked again at once
_POLL_SECONDS: Final = 0.5
_SESSION: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_LOGGER: Final = logging.getLogger(__name__)


class Vault:
    """Access tokens of this deployment's connections. Making one does nothing; everything happens at first use.

    `table` and `refresh_function` default to CONSENTRY_CONNECTIONS_TABLE and CONSENTRY_REFRESH_FUNCTION, `session` to
    boto3's own; `api_url`, which `connect_url` and `complete` need, to CONSENTRY_API_URL. `deadline_seconds` bounds the
    wait for a forced refresh. Safe to share between threads; one for each process is enough.
    """

    def __init__(
        self,
        *,
        table: str | None = None,
        refresh_function: str | None = None,
        api_url: str | None = None,
        session: "Session | None" = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        given = {
            "CONSENTRY_CONNECTIONS_TABLE": table,
            "CONSENTRY_REFRESH_FUNCTION": refresh_function,
            "CONSENTRY_API_URL": api_url,
        }
        self._source: Source = AwsSource(given, session=session, deadline_seconds=deadline_seconds)
        self._clock = clock
        self._sleep = sleep
        self._deadline_seconds = deadline_seconds
        self._kept = Bounded[_Kept](CACHE_ENTRIES)
        self._in_vain = Bounded[tuple[int, float]](CACHE_ENTRIES)
        self._outages = Bounded[float](CACHE_ENTRIES)
        self._turns = Turns()

    @classmethod
    def for_testing(cls, connections: "Mapping[str, str | Prepared | ConsentryError]") -> Self:
        """Return a vault without AWS: `{"acme/hubspot": "a-token"}`, or what `consentry.testing` says.

        Only what is named exists; caching, turns and the retry after a 401 are those of every vault.
        """
        from consentry.testing import PreparedSource  # noqa: PLC0415 - tests alone load it

        vault = cls()
        vault._source = PreparedSource(connections)
        return vault

    def token(self, tenant: str, integration: str, name: str = DEFAULT_NAME) -> Token:
        """Return a token that has not ended; past its end, one refresh is asked for and waited for.

        Raises `InvalidRequest`, `NotConnected`, `ReauthRequired`, `TokenUnavailable`, `Misconfigured` or
        `UnreadableRecord`.
        """
        key = ConnectionKey.parse(tenant, integration, name)
        if token := self._cached(key):
            return token
        try:
            with self._turns.of(key, self._deadline_seconds):
                return self._cached(key) or self._keep(key, self._servable_record(key))
        except TokenUnavailable as error:
            if token := self._outlasting(key, error):
                return token
            raise

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

    def connections(self, tenant: str) -> "Sequence[ListedConnection]":
        """Return the tenant's connections, those on their way out with `status` "deleting"; never a token.

        Raises `InvalidRequest`, `Misconfigured` or `TokenUnavailable`.
        """
        return self._source.connections(identifier(tenant, "tenant"))

    def connect_url(
        self,
        tenant: str,
        *integrations: str,
        user_ref: str,
        return_url: str = "",
        name: str = DEFAULT_NAME,
        completion: str = "confirm",
        language: str = "",
    ) -> str:
        """Return where to send the customer's browser: a page for half an hour, to connect these integrations.

        `user_ref` is your signed-in user; `return_url` one of the stack's ReturnUrls. The link is a secret until she
        has it. Raises `InvalidRequest` (what is wrong), `NotFound` (an unknown integration), `Misconfigured`,
        `TryLater`.
        """
        wanted: dict[str, object] = {"user_ref": user_ref, "integrations": list(integrations)}
        path = f"/tenants/{identifier(tenant, 'tenant')}/sessions"
        wanted |= {"return_url": return_url, "name": name, "completion": completion, "language": language}
        link = self._source.call("POST", path, wanted).get("connect_url")
        if isinstance(link, str):
            return link
        raise Misconfigured("What answers at CONSENTRY_API_URL is not Consentry; set it to the stack's output BaseUrl.")

    def complete(self, tenant: str, *, session: str, handle: str, user_ref: str) -> "ListedConnection":
        """Redeem the consent that came back to your return URL with `session` and `handle`, within a minute.

        `user_ref` is the user who is signed in now: another one than the session's destroys the consent. Raises as
        `connect_url`, and `Conflict`, `Expired`.
        """
        from consentry.listing import ListedConnection  # noqa: PLC0415 - whoever only reads tokens does without

        path = f"/tenants/{identifier(tenant, 'tenant')}/sessions/{_checked(session)}/complete"
        answer = self._source.call("POST", path, {"handle": handle, "user_ref": user_ref})
        connection = answer.get("connection")
        return ListedConnection.told(connection if isinstance(connection, dict) else {})

    def _cached(self, key: ConnectionKey) -> Token | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        now = self._clock()
        fresh = now < kept.until or now < min(kept.served_until, self._outages.get(key) or 0)
        return kept.token if fresh else None

    def _outlasting(self, key: ConnectionKey, error: TokenUnavailable) -> Token | None:
        """Return a token from before AWS was in trouble, as long as it is valid; a denial is no trouble of AWS."""
        kept = self._kept.get(key)
        if kept is None or self._clock() >= kept.served_until:
            return None
        _LOGGER.warning("serving a token that is still valid: %s", error.detail or error.code)
        self._outages.put(key, self._clock() + OUTAGE_PAUSE_SECONDS)
        return kept.token

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
        self._kept.put(
            key,
            _Kept(token=token, until=until, served_until=record.served_until, refreshed_at=record.refreshed_at),
        )
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
        raise unavailable("The token has ended and its renewal is not done yet; try again in a few seconds.")

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
        """Read the record; eventually consistent, at half the price, unless that is bad news. Never back in time."""
        record, kept = self._source.read(key, consistent=consistent), self._kept.get(key)
        older = record and kept and kept.is_newer_than(record)
        if not consistent and (record is None or older or record.is_lost(self._clock())):
            return self._read(key, consistent=True)  # she may have connected this very second
        if record is None or record.status == Status.DELETING:
            self._kept.forget(key)
            raise NotConnected(f"{key.tenant} has not connected {key.integration} ({key.name}). {_how_to(key)}")
        if kept is None or not older:
            return record
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
    served_until: float
    refreshed_at: int

    def is_newer_than(self, record: Record) -> bool:
        """Whether the record went back. A connection made anew starts at generation 1, but later in time."""
        return record.gen < self.token.generation and record.refreshed_at <= self.refreshed_at


def _reauth_required(key: ConnectionKey, record: Record) -> ReauthRequired:
    cause = record.cause or "unknown"
    return ReauthRequired(
        f"{key.integration} must be connected again by {key.tenant} ({cause}). {_how_to(key)}", cause=cause
    )


def _checked(unverified: object) -> str:
    """It comes out of a browser's address, if it came at all, and goes into the path of a signed request."""
    if isinstance(unverified, str) and _SESSION.fullmatch(unverified):
        return unverified
    raise InvalidRequest("session must be the value that came to the return URL", code="unknown_session")


def _how_to(key: ConnectionKey) -> str:
    named = "" if key.name == DEFAULT_NAME else f', name="{key.name}"'
    asking = f'Vault().connect_url("{key.tenant}", "{key.integration}"{named}, user_ref=..., return_url=...)'
    return f"Send the customer to what {asking} returns (POST /tenants/{key.tenant}/sessions)."
