"""Withdraw a grant at the provider, as its data says: revoke it, and where that was asked for, uninstall first.

Whatever ends more than this one grant (docs/providers.md) is done only if no live connection shares it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from consentry import log
from consentry.errors import ConsentryError, UnreadableRecord
from consentry.model import Cause, Connection, ConnectionKey, Field, Grant, Removal, Secret, Status
from consentry.oauth.provider import Provider, Revocation, Rotation
from consentry.oauth.revocation import (
    RevocationResult,
    parse_revocation_answer,
    revocation_request,
    uninstall_request,
)
from consentry.oauth.token_answer import parse_token_answer
from consentry.oauth.token_request import ClientIdentity, refresh_request
from consentry.oauth.variables import rendered
from consentry.oauth.wire import FailureClass, GrantType, HttpAnswer, TokenGrant, TokenRequest, TokenRequestFailed
from consentry.ports import (
    Catalogue,
    ClientSecrets,
    Clock,
    Connections,
    Envelopes,
    Escrow,
    NotDelivered,
    Randomness,
    SealingKey,
    TokenEndpointClient,
    Undetermined,
)
from consentry.refresh.erasures import Erasures
from consentry.refresh.guard import Guard
from consentry.refresh.policy import ESCROW, Outcome
from consentry.refresh.saving import insistently, told
from consentry.tokens import client_account, grant_payload, grant_secrets, stored_refresh_token

_CALL: Final = 8.0
_ROOM: Final = _CALL + 3 + ESCROW  # a call, connecting, and a write
_LIVE: Final = frozenset({Status.ACTIVE, Status.SCOPE_INSUFFICIENT})


class Unrevocable(Exception):
    """There is nothing that could be revoked, or that may be; the text says why. `record` is the changed one."""

    def __init__(self, reason: str, record: Connection | None = None) -> None:
        super().__init__(reason)
        self.record = record


class NotYet(Exception):
    """What stands in the way may be gone later. `error` is a short code, safe to log and store.

    `lost` says that the answer to a last refresh never came: whatever it rotated is nobody's to revoke.
    """

    def __init__(
        self, outcome: Outcome, error: str, retry_after_seconds: int | None = None, *, lost: bool = False
    ) -> None:
        super().__init__(error)
        self.outcome = outcome
        self.error = error
        self.retry_after_seconds = retry_after_seconds
        self.lost = lost


@contextmanager
def _not_yet() -> Iterator[None]:
    """Turn what a table, a key or a secret refuses into `NotYet`, and a grant that nobody can open into its end."""
    try:
        yield
    except UnreadableRecord:
        raise Unrevocable("unreadable_grant") from None
    except ConsentryError as error:
        raise NotYet(Outcome.UNAVAILABLE, error.detail or error.code) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A grant in hand: `record` is the claimed one that it stands in."""

    record: Connection
    owner: str
    provider: Provider
    client: ClientIdentity
    refresh_token: Secret = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """The record as it stands after it. `shortfall` says what may live on all the same; empty if nothing does."""

    record: Connection
    shortfall: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawGrant:
    clock: Clock
    randomness: Randomness
    connections: Connections
    erasures: Erasures
    catalogue: Catalogue
    secrets: ClientSecrets
    envelopes: Envelopes
    provider_client: TokenEndpointClient
    escrow: Escrow
    guard: Guard

    def __call__(self, record: Connection, owner: str, *, last_try: bool) -> Withdrawn:
        """Raise `Unrevocable` or `NotYet`; the `last_try` revokes what it has, and neither waits nor uninstalls."""
        if record.grant_type is Grant.CLIENT_CREDENTIALS:
            raise Unrevocable("client_credentials")
        if not record.grant:
            raise Unrevocable("no_refresh_token")
        with _not_yet():
            provider = rendered(self.catalogue.provider(record.provider), record.variables)
        uninstalls = record.removal == Removal.UNINSTALL and provider.uninstall_url != "" and not last_try
        if not provider.revocation_url and not uninstalls:
            raise Unrevocable("no_revocation")
        in_doubt = _in_doubt(record, provider)
        if in_doubt and not last_try and not self.escrow.is_empty():
            raise NotYet(Outcome.WAITING, "escrow_not_empty")  # what a refresh brought may be on its way here
        if uninstalls or provider.revocation is not Revocation.TOKEN:
            with _not_yet():
                self._require_alone(record, provider)
        opened = self._opened(record, owner, provider)
        self._require_turn(record.key.integration)
        uninstalled = False
        if uninstalls:
            opened, uninstalled = self._uninstalled(opened)
        if provider.revocation_url:
            self._revoke(opened)
        self.guard.succeeded(record.key.integration)
        shortfall = "in_doubt" if in_doubt and not uninstalled else ""
        return Withdrawn(record=opened.record, shortfall=shortfall)

    def _require_alone(self, record: Connection, provider: Provider) -> None:
        """Raise `Unrevocable` if somebody else's live connection would end too, or if that cannot be known."""
        if not record.account:
            raise Unrevocable("account_unknown")
        for key in self.erasures.of_account(client_account(provider, record.client_id, record.account)):
            self._require_time()
            if key != record.key and self._is_live(key):
                raise Unrevocable("account_shared")

    def _is_live(self, key: ConnectionKey | None) -> bool:
        """Whether it still has a grant to lose; what cannot be read counts as if it had."""
        try:
            other = self.connections.read(key) if key else None
        except UnreadableRecord:
            return True
        return key is None or (other is not None and other.status in _LIVE)

    def _opened(self, record: Connection, owner: str, provider: Provider) -> Opened:
        with _not_yet():
            grant = grant_secrets(self.envelopes.open(record.grant, record.key.encryption_context(Field.GRANT)))
            refresh_token = stored_refresh_token(grant)
            client = ClientIdentity(record.client_id, self.secrets.client_secrets(record.key.integration))
        return Opened(record=record, owner=owner, provider=provider, client=client, refresh_token=refresh_token)

    def _require_turn(self, integration: str) -> None:
        """Keep to breaker and rate as a refresh does.

        A failure is not counted: it says nothing about the token endpoint, and one tenant's farewell must not open the
        breaker for all others.
        """
        if not self.guard.admits(integration) or not self.guard.takes_turn(integration):
            raise NotYet(Outcome.HELD_BACK, "held_back")

    def _revoke(self, opened: Opened) -> None:
        with _not_yet():
            request = revocation_request(opened.provider, opened.client, opened.refresh_token)
        answer = parse_revocation_answer(opened.provider, self._send(request), now=self.clock.now())
        match answer.result:
            case RevocationResult.ENDED:
                return
            case RevocationResult.UNSUPPORTED:
                raise Unrevocable(answer.error, opened.record)
            case RevocationResult.OPERATOR:
                raise NotYet(Outcome.OPERATOR, answer.error)
            case RevocationResult.REFUSED | RevocationResult.LATER:
                raise NotYet(Outcome.RETRY_LATER, answer.error, answer.retry_after_seconds)

    def _uninstalled(self, opened: Opened) -> tuple[Opened, bool]:
        """Return the newest grant, and whether the application is out of the account.

        That takes an access token, and the stored one was taken away at once: a last refresh brings another.
        """
        provider = opened.provider
        with _not_yet():
            key = self.envelopes.sealing_key(opened.record.key.encryption_context(Field.GRANT))
            request = refresh_request(provider, opened.client, opened.refresh_token)
        try:
            answer = self._send(request, is_refresh=True)
            tokens = parse_token_answer(provider, answer, grant=GrantType.REFRESH, now=self.clock.now())
        except TokenRequestFailed as failed:
            if failed.kind is FailureClass.GONE:
                # Whoever ended it was faster: nothing is left to uninstall with.
                _tell_installed(opened, failed.error)
                return opened, False
            outcome = Outcome.OPERATOR if failed.kind is FailureClass.OPERATOR else Outcome.RETRY_LATER
            lost = failed.kind is FailureClass.IN_DOUBT
            raise NotYet(outcome, failed.error, failed.retry_after_seconds, lost=lost) from None
        opened = self._kept(opened, tokens, key)
        request = uninstall_request(provider, tokens.access_token)
        result = parse_revocation_answer(provider, self._send(request), now=self.clock.now())
        if result.result is RevocationResult.LATER:
            raise NotYet(Outcome.RETRY_LATER, result.error, result.retry_after_seconds)
        if result.result is not RevocationResult.ENDED:
            _tell_installed(opened, result.error)
        return opened, result.result is RevocationResult.ENDED

    def _kept(self, opened: Opened, tokens: TokenGrant, key: SealingKey) -> Opened:
        """Keep what the last refresh rotated, so that it can be revoked although this process dies."""
        if tokens.refresh_token is None:
            return opened
        grant, commit_id = key.seal(grant_payload({"refresh_token": tokens.refresh_token})), self.randomness.token()
        keep = partial(self.erasures.keep, opened.record, opened.owner, grant=grant, commit_id=commit_id)
        with _not_yet():
            kept = insistently(self.clock, keep)
        if not kept:
            raise NotYet(Outcome.WAITING, "claim_lost")
        record = replace(opened.record, grant=grant, commit_id=commit_id)
        return replace(opened, record=record, refresh_token=tokens.refresh_token)

    def _require_time(self) -> None:
        if self.clock.remaining_seconds() < _ROOM:
            raise NotYet(Outcome.WAITING, "no_time_left")

    def _send(self, request: TokenRequest, *, is_refresh: bool = False) -> HttpAnswer:
        self._require_time()
        try:
            return self.provider_client.send(request, deadline_seconds=_CALL)
        except NotDelivered as error:
            raise NotYet(Outcome.RETRY_LATER, f"not_delivered_{error}") from None
        except Undetermined as error:
            raise NotYet(Outcome.RETRY_LATER, str(error), lost=is_refresh) from None


def _tell_installed(opened: Opened, error: str) -> None:
    log.record("application not uninstalled", {**told(opened.record), "error": error}, level="error")


def _in_doubt(record: Connection, provider: Provider) -> bool:
    """Whether a refresh may have brought a grant that is not in the record.

    A flagged one has been refused since, in answer to the only request there was; but for an ambiguous rotation, where
    the refused one may have been rotated before, and its successor lives.
    """
    rotates = provider.refresh.rotation is Rotation.ROTATES
    return record.in_doubt and rotates and record.status_cause in {"", Cause.AMBIGUOUS_ROTATION}
