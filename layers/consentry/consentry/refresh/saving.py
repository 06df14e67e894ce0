"""Save new tokens, whatever it takes: they exist nowhere else until they are in the record or in escrow."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from consentry import log
from consentry.model import Connection, Status
from consentry.oauth.token_request import ClientIdentity
from consentry.oauth.wire import TokenGrant
from consentry.ports import (
    ClientSecrets,
    Clock,
    Commit,
    CommitOutcome,
    Connections,
    Escrow,
    Randomness,
    StorageUnavailable,
)
from consentry.refresh.asking import Prepared
from consentry.refresh.policy import ESCROW, Outcome
from consentry.revoking import Stray
from consentry.scopes import scope_attributes, tell_scopes_lost
from consentry.tokens import Lifetime, token_attributes, warning_at

_WRITE_RETRY_SECONDS: Final = 0.25
_PATIENCE_SECONDS: Final = 5.0


def told(record: Connection) -> dict[str, object]:
    """Return what a log line says about a connection."""
    key = record.key
    return {"tenant": key.tenant, "connection": key.sort_key, "provider": record.provider, "gen": record.gen}


def stray_of(prepared: Prepared, tokens: TokenGrant, secrets: ClientSecrets) -> Stray:
    """Return a refreshed grant whose connection is gone."""
    record = prepared.record
    return Stray(
        provider=prepared.provider,
        client=lambda: ClientIdentity(record.client_id, secrets.client_secrets(record.key.integration)),
        refresh_token=tokens.refresh_token,
        fields=told(record),
    )


def insistently[T](clock: Clock, write: Callable[[], T], *, leaving: float = ESCROW) -> T:
    """Repeat a write until storage answers; raise its trouble when no more than `leaving` seconds are left."""
    while True:
        try:
            return write()
        except StorageUnavailable:
            if clock.remaining_seconds() < leaving:
                raise
            clock.sleep(_WRITE_RETRY_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveTokens:
    clock: Clock
    randomness: Randomness
    connections: Connections
    escrow: Escrow
    epoch: int
    min_refresh_seconds: int

    def __call__(self, prepared: Prepared, tokens: TokenGrant, asked_at: int) -> CommitOutcome | Outcome:
        """Write the new generation; if that takes long, put it into escrow, and go on trying until time is up."""
        record = prepared.record
        commit = self._commit_of(prepared, tokens, asked_at)
        if tokens.refresh_token_unusable:
            log.record("the provider sent a refresh token that cannot be kept", told(record), level="critical")
        patience = max(ESCROW, self.clock.remaining_seconds() - _PATIENCE_SECONDS)
        try:
            return insistently(self.clock, lambda: self.connections.commit(commit), leaving=patience)
        except StorageUnavailable as error:
            return self._in_both(record, commit, error)

    def _in_both(self, record: Connection, commit: Commit, trouble: StorageUnavailable) -> CommitOutcome | Outcome:
        """Keep it safe from a death of this process first: the same conditional commit may be applied twice."""
        fields = {**told(record), "detail": trouble.detail}
        kept = self._kept(commit)
        while self.clock.remaining_seconds() >= ESCROW:
            self.clock.sleep(_WRITE_RETRY_SECONDS)
            try:
                return self.connections.commit(commit)
            except StorageUnavailable:
                kept = kept or self._kept(commit)
        if kept:
            log.record("new token waits in escrow", fields, level="error")
            return Outcome.ESCROWED
        log.record("new token could not be stored", fields, level="critical")
        return Outcome.ROTATION_LOST

    def _kept(self, commit: Commit) -> bool:
        """Put it where another function will write it, by the same conditional commit."""
        try:
            self.escrow.keep(commit)
        except StorageUnavailable:
            return False
        return True

    def _commit_of(self, prepared: Prepared, tokens: TokenGrant, asked_at: int) -> Commit:
        record = prepared.record
        warn_at = None if record.warned_at else warning_at(record.grant_expires_at)
        warns = warn_at is not None and warn_at <= asked_at
        lifetime = Lifetime(
            key=record.key,
            now=asked_at,
            min_refresh_seconds=self.min_refresh_seconds,
            refreshable=True,
            idle_seconds=prepared.provider.refresh.idle_lifetime_seconds,
            warn_at=None if warns else warn_at,
        )
        attributes, ended = token_attributes(tokens, prepared.keys, lifetime)
        if tokens.metadata:
            attributes["metadata"] = {**record.metadata, **tokens.metadata}
        if tokens.scopes is not None:
            lost, regained = scope_attributes(record, tokens.scopes, now=asked_at)
            attributes, ended = attributes | lost, (*ended, *regained)
            tell_scopes_lost(record, lost, told(record))
        if warns:
            attributes["warned_at"] = asked_at
            log.record("credentials end soon", told(record), level="warning")
        return Commit(
            key=record.key,
            expected_gen=record.gen,
            expected_epoch=self.epoch,
            epoch=self.epoch,
            commit_id=self.randomness.token(),
            status=Status.ACTIVE,
            set_attributes=attributes,
            remove=ended,
            expected_consent=record.consent_id,
        )
