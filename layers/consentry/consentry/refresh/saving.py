"""Save new tokens, whatever it takes: they exist nowhere else until they are in the record or in escrow."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from consentry import log
from consentry.model import Connection, Status
from consentry.oauth.wire import TokenGrant
from consentry.ports import (
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
from consentry.tokens import Lifetime, token_attributes, warning_at

_WRITE_RETRY_SECONDS: Final = 0.25


def told(record: Connection) -> dict[str, object]:
    """Return what a log line says about a connection."""
    key = record.key
    return {"tenant": key.tenant, "connection": key.sort_key, "provider": record.provider, "gen": record.gen}


def insistently[T](clock: Clock, write: Callable[[], T]) -> T:
    """Repeat a write that may be repeated until storage answers; raise its trouble when time is up."""
    while True:
        try:
            return write()
        except StorageUnavailable:
            if clock.remaining_seconds() < ESCROW:
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
        """Write the new generation, again and again until it is there or time is up; then put it into escrow."""
        record = prepared.record
        commit = self._commit_of(prepared, tokens, asked_at)
        if tokens.refresh_token_unusable:
            log.record("the provider sent a refresh token that cannot be kept", told(record), level="critical")
        try:
            return insistently(self.clock, lambda: self.connections.commit(commit))
        except StorageUnavailable as error:
            return self._keep(record, commit, error)

    def _keep(self, record: Connection, commit: Commit, trouble: StorageUnavailable) -> Outcome:
        """Put what cannot be written where another function will write it, by the same conditional commit."""
        fields = {**told(record), "detail": trouble.detail}
        try:
            self.escrow.keep(commit)
        except StorageUnavailable:
            log.record("new token could not be stored", fields, level="critical")
            return Outcome.ROTATION_LOST
        log.record("new token waits in escrow", fields, level="error")
        return Outcome.ESCROWED

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
        )
