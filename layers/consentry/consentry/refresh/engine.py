"""Keep one grant alive: the refresh protocol, step by step as in `docs/refresh.md`.

Everything that can fail comes before the one request: secret, keys, time. Then lease and intent in one conditional
write, one POST, one commit fenced by lineage. Whatever happens, the record says what is known.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from consentry import log
from consentry.errors import ConsentryError, UnreadableRecord
from consentry.model import Cause, Connection, ConnectionKey, Field, Grant, Status
from consentry.oauth.provider import Provider, Rotation
from consentry.oauth.token_request import ClientIdentity, client_credentials_request, refresh_request
from consentry.oauth.variables import rendered
from consentry.oauth.wire import FailureClass, TokenGrant, TokenRequest
from consentry.ports import (
    Catalogue,
    ClientSecrets,
    Clock,
    CommitOutcome,
    Connections,
    Envelopes,
    Escrow,
    Failure,
    Lease,
    Randomness,
    StorageUnavailable,
    TokenEndpointClient,
)
from consentry.refresh.asking import AskProvider, Prepared, Refused, Unprepared, unprepared
from consentry.refresh.erasing import EraseConnection
from consentry.refresh.guard import Guard
from consentry.refresh.policy import (
    CLOCK_SKEW,
    COMMIT,
    GUARD,
    LEASE,
    Look,
    Outcome,
    Refusal,
    Verdict,
    held_verdict,
    in_doubt_due_at,
    reason_to_wait,
    settle_seconds,
    unprepared_pause_seconds,
    verdict,
)
from consentry.refresh.saving import SaveTokens, insistently, stray_of, told
from consentry.revoking import RevokeStray
from consentry.tokens import SealingKeys, grant_secrets, stored_refresh_token

_COUNTING: Final = 6  # two calls that hang, before what the provider said is written down
_PATIENCE: Final = (0.1, 0.3)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The engine's answer: never a token. `generation` is 0 where there is no record."""

    outcome: Outcome
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshConnection:
    clock: Clock
    randomness: Randomness
    connections: Connections
    catalogue: Catalogue
    secrets: ClientSecrets
    envelopes: Envelopes
    provider_client: TokenEndpointClient
    escrow: Escrow
    guard: Guard
    erase: EraseConnection
    epoch: int
    min_refresh_seconds: int

    def __call__(self, key: ConnectionKey, *, rejected_gen: int | None = None) -> Refreshed:
        """Refresh if it is due, or if `rejected_gen` is still the newest.

        Raise only what reading the record raises (`StorageUnavailable`): then nothing was sent and nothing written.
        """
        try:
            record = self._patiently(lambda: self.connections.read(key))
        except UnreadableRecord as error:
            log.record("record not readable, left as it is", {"detail": error.detail}, level="critical")
            return Refreshed(Outcome.UNREADABLE, 0)
        if record is None:
            return Refreshed(Outcome.ABSENT, 0)
        try:
            if record.status is Status.DELETING and rejected_gen is None:
                return Refreshed(self.erase(record), record.gen)
            return self._look(record, rejected_gen)
        except Unprepared as error:
            return self._postpone(record, error)

    def _look(self, record: Connection, rejected_gen: int | None) -> Refreshed:
        with unprepared():
            provider = rendered(self.catalogue.provider(record.provider), record.variables)
        now = self.clock.now()
        look = Look(now=now, epoch=self.epoch, min_refresh_seconds=self.min_refresh_seconds, rejected_gen=rejected_gen)
        wait = reason_to_wait(record, look, provider.refresh)
        if wait is Outcome.OTHER_EPOCH:
            raise Unprepared(wait, wait)
        if wait:
            return Refreshed(wait, record.gen)
        return self._attempt(record, provider, self.randomness.token())

    def _attempt(self, record: Connection, provider: Provider, owner: str) -> Refreshed:
        if not record.grant:
            return self._without_grant(record, provider, owner)
        rotates = provider.refresh.rotation is Rotation.ROTATES
        if record.in_doubt and rotates and not self.escrow.is_empty():
            raise Unprepared(Outcome.WAITING, "escrow_not_empty")  # the answer may be on its way into the record
        if not self.guard.admits(record.key.integration):
            return self._held_back(record)
        with unprepared():
            prepared = self._patiently(lambda: self._prepare(record, provider))
        if not self.guard.takes_turn(record.key.integration):
            return self._held_back(record)
        if self.clock.remaining_seconds() < GUARD:
            raise Unprepared(Outcome.WAITING, "no_time_left")
        with unprepared():
            before = self._patiently(lambda: self._take_lease(record, provider, owner))
        if before is None:
            return Refreshed(Outcome.BUSY, record.gen)
        if self.clock.remaining_seconds() < GUARD:
            return Refreshed(Outcome.WAITING, record.gen)  # nothing was sent, but the intent stays: never clear it here
        return self._send(prepared, before, owner)

    def _patiently[T](self, call: Callable[[], T]) -> T:
        """Try a call that may be repeated three times: storage that stumbles is no reason to come back in a minute."""
        for pause in _PATIENCE:
            try:
                return call()
            except StorageUnavailable:
                self.clock.sleep(pause)
        return call()

    def _postpone(self, record: Connection, trouble: Unprepared) -> Refreshed:
        """Let others go first; the record says what stood in the way, and when it is looked at again."""
        now, outcome = self.clock.now(), trouble.outcome
        fields = {**told(record), "outcome": outcome, "detail": trouble.reason, "remedy": trouble.remedy}
        log.record("refresh not attempted", fields, level="error")
        if record.due_at is not None and record.due_at <= now + CLOCK_SKEW:
            until = now + unprepared_pause_seconds(record.failures)
            self.connections.postpone(record, error=f"not_attempted:{trouble.reason}", until=until)
        return Refreshed(outcome, record.gen)

    def _held_back(self, record: Connection) -> Refreshed:
        """Leave it due: the dispatcher knows when the integration may be asked again."""
        if record.due_at is not None and record.due_at <= self.clock.now() + CLOCK_SKEW:
            with unprepared():
                self.connections.unmark(record)
        return Refreshed(Outcome.HELD_BACK, record.gen)

    def _prepare(self, record: Connection, provider: Provider) -> Prepared:
        key = record.key
        grant = grant_secrets(self.envelopes.open(record.grant, key.encryption_context(Field.GRANT)))
        keys = SealingKeys.obtain(self.envelopes, key)
        if record.grant_type is Grant.CLIENT_CREDENTIALS:
            request = client_credentials_request(provider, grant)
        else:
            client = ClientIdentity(record.client_id, self.secrets.client_secrets(key.integration))
            request = refresh_request(provider, client, stored_refresh_token(grant))
        return Prepared(record=record, provider=provider, request=request, keys=keys, grant=grant)

    def _take_lease(self, record: Connection, provider: Provider, owner: str) -> Connection | None:
        now = self.clock.now()
        lease = Lease(
            owner=owner,
            gen=record.gen,
            epoch=self.epoch,
            now=now,
            until=now + LEASE,
            settled_before=now - settle_seconds(provider.refresh),
            due_at=in_doubt_due_at(record, provider.refresh, now),
            retry_before=now + CLOCK_SKEW,
            consent=record.consent_id,
        )
        return self.connections.take_lease(record.key, lease)

    def _without_grant(self, record: Connection, provider: Provider, owner: str) -> Refreshed:
        """Flag a token that nobody can renew, once it has ended."""
        if record.expires_at is None or record.expires_at > self.clock.now():
            return Refreshed(Outcome.NOT_REFRESHABLE, record.gen)
        if self._take_lease(record, provider, owner) is None:
            return Refreshed(Outcome.BUSY, record.gen)
        ended = Verdict(outcome=Outcome.REAUTH_REQUIRED, cause=Cause.NO_REFRESH_TOKEN)
        return self._record(record, owner, ended, "no_refresh_token")

    def _send(self, prepared: Prepared, before: Connection, owner: str) -> Refreshed:
        try:
            tokens, asked_at = self._ask(prepared)
        except Refused as refused:
            return self._refused(prepared, before, owner, refused.refusal)
        return self._commit(prepared, tokens, asked_at)

    def _refused(self, prepared: Prepared, before: Connection, owner: str, refusal: Refusal) -> Refreshed:
        integration, behaviour = before.key.integration, prepared.provider.refresh
        decided = verdict(before, refusal, behaviour, now=self.clock.now(), fraction=self.randomness.fraction())
        if refusal.kind is FailureClass.GONE and decided.cause:
            first = before.refused == behaviour.gone_retries
            hurried = self.clock.remaining_seconds() < COMMIT + _COUNTING
            if self.guard.holds(integration, first=first, hurried=hurried):
                decided = held_verdict(before, refusal, now=self.clock.now(), fraction=self.randomness.fraction())
        refreshed = self._record(before, owner, decided, f"{refusal.kind}:{refusal.error}")
        self.guard.failed(integration, refusal)
        return refreshed

    def _ask(self, prepared: Prepared) -> tuple[TokenGrant, int]:
        """Ask, and if the provider refuses the client itself, once more with the secret from before its rotation."""
        may_repeat = partial(self.guard.may_repeat, prepared.record.key.integration)
        ask = AskProvider(self.clock, self.provider_client, may_repeat)
        try:
            return ask(prepared)
        except Refused as refused:
            definite = refused.refusal.kind is FailureClass.OPERATOR and not refused.refusal.processed
            if not definite or self.clock.remaining_seconds() < GUARD:
                raise
            if (request := self._with_previous_secret(prepared)) is None:
                raise
            unanswered = refused.refusal.repeated  # the first request's doubt outlives whatever this one is told
        try:
            return ask(replace(prepared, request=request))
        except Refused as again:
            again.refusal = replace(again.refusal, repeated=again.refusal.repeated or unanswered)
            raise

    def _with_previous_secret(self, prepared: Prepared) -> TokenRequest | None:
        record = prepared.record
        try:
            secrets = self.secrets.previous_client_secrets(record.key.integration)
        except ConsentryError:
            return None
        if not secrets or record.grant_type is not Grant.AUTHORIZATION_CODE:
            return None
        client = ClientIdentity(record.client_id, secrets)
        return refresh_request(prepared.provider, client, stored_refresh_token(prepared.grant))

    def _commit(self, prepared: Prepared, tokens: TokenGrant, asked_at: int) -> Refreshed:
        record = prepared.record
        save = SaveTokens(
            clock=self.clock,
            randomness=self.randomness,
            connections=self.connections,
            escrow=self.escrow,
            epoch=self.epoch,
            min_refresh_seconds=self.min_refresh_seconds,
        )
        saved = save(prepared, tokens, asked_at)
        self.guard.succeeded(record.key.integration)
        if isinstance(saved, Outcome):
            return Refreshed(saved, record.gen)
        if saved is CommitOutcome.COMMITTED:
            return Refreshed(Outcome.REFRESHED, record.gen + 1)
        # Somebody else's generation stands, or the connection is being removed: then the new grant is revoked in time.
        log.record("refresh was superseded", {**told(record), "outcome": saved}, level="warning")
        if saved is CommitOutcome.GONE:
            RevokeStray(self.clock, self.provider_client)(stray_of(prepared, tokens, self.secrets))
        return self._adopt(record)

    def _record(self, before: Connection, owner: str, decided: Verdict, error: str) -> Refreshed:
        """Write down what came of it, if generation and lease are still ours: no winner's success is overwritten."""
        failed = Failure(
            owner=owner,
            gen=before.gen,
            epoch=self.epoch,
            error=error,
            failures=before.failures + 1,
            refused=before.refused + 1 if error.startswith(FailureClass.GONE) else 0,
            next_try_at=decided.next_try_at,
            due_at=decided.due_at,
            answered=decided.answered,
            status=Status.ACTIVE if decided.cause is None else Status.REAUTH_REQUIRED,
            cause=decided.cause or "",
            now=self.clock.now(),
        )
        fields = {**told(before), "outcome": decided.outcome, "error": error, "cause": decided.cause}
        log.record("refresh brought no token", {**fields, "next_try_at": decided.next_try_at}, level="warning")
        try:
            recorded = insistently(self.clock, lambda: self.connections.record_failure(before.key, failed))
        except StorageUnavailable as trouble:
            # Unwritten, it is as if the answer had never come: the lease already says when to look again.
            log.record("failure could not be stored", {**fields, "detail": trouble.detail}, level="error")
            return Refreshed(Outcome.IN_DOUBT, before.gen)
        return Refreshed(decided.outcome, before.gen) if recorded else self._adopt(before)

    def _adopt(self, record: Connection) -> Refreshed:
        newest = self.connections.read(record.key)
        return Refreshed(Outcome.ADOPTED, newest.gen) if newest else Refreshed(Outcome.ABSENT, 0)
