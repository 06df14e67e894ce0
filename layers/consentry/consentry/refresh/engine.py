"""Keep one grant alive: the refresh protocol, step by step as in `docs/refresh.md`.

Everything that can fail comes before the one request: secret, keys, time. Then lease and intent in one conditional
write, one POST, one commit fenced by lineage. Whatever happens, the record says what is known.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from consentry import log
from consentry.model import Cause, Connection, ConnectionKey, Field, Grant, Status
from consentry.oauth.provider import Provider
from consentry.oauth.token_answer import parse_token_answer
from consentry.oauth.token_request import ClientIdentity, client_credentials_request, refresh_request
from consentry.oauth.wire import FailureClass, GrantType, TokenGrant, TokenRequest, TokenRequestFailed
from consentry.ports import (
    Catalogue,
    ClientSecrets,
    Clock,
    Commit,
    CommitOutcome,
    Connections,
    Envelopes,
    Failure,
    Integrations,
    Lease,
    NotDelivered,
    Randomness,
    StorageUnavailable,
    TokenEndpointClient,
    Undetermined,
)
from consentry.refresh.policy import (
    CALL,
    GUARD,
    LAST_WRITE,
    LEASE,
    Look,
    Outcome,
    Refusal,
    Verdict,
    in_doubt_due_at,
    reason_to_wait,
    settle_seconds,
    verdict,
)
from consentry.tokens import Lifetime, SealingKeys, grant_secrets, stored_refresh_token, token_attributes

_COMMIT_RETRY_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The engine's answer: never a token. `generation` is 0 where there is no record."""

    outcome: Outcome
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """Everything the request and its commit need, obtained before the request."""

    record: Connection
    provider: Provider
    request: TokenRequest
    keys: SealingKeys

    @property
    def grant_type(self) -> GrantType:
        remint = self.record.grant_type is Grant.CLIENT_CREDENTIALS
        return GrantType.CLIENT_CREDENTIALS if remint else GrantType.REFRESH


class _Refused(Exception):
    """A request that brought no token: never arrived, never answered, or refused."""

    def __init__(self, refusal: Refusal, *, undelivered: bool = False, peer_closed: bool = False) -> None:
        super().__init__(refusal.kind)
        self.refusal = refusal
        self.undelivered = undelivered
        self.peer_closed = peer_closed


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshConnection:
    clock: Clock
    randomness: Randomness
    connections: Connections
    integrations: Integrations
    catalogue: Catalogue
    secrets: ClientSecrets
    envelopes: Envelopes
    provider_client: TokenEndpointClient
    epoch: int
    min_refresh_seconds: int

    def __call__(self, key: ConnectionKey, *, rejected_gen: int | None = None) -> Refreshed:
        """Refresh if it is due, or if `rejected_gen` is still the newest.

        Raise only what reading and preflight raise (`OperatorMustAct`): then nothing was sent and nothing written.
        """
        record = self.connections.read(key)
        if record is None:
            return Refreshed(Outcome.ABSENT, 0)
        look = Look(now=self.clock.now(), epoch=self.epoch, rejected_gen=rejected_gen)
        provider = self.catalogue.provider(record.provider)
        if wait := reason_to_wait(record, look, provider.refresh):
            return Refreshed(wait, record.gen)
        return self._attempt(record, provider, self.randomness.token())

    def _attempt(self, record: Connection, provider: Provider, owner: str) -> Refreshed:
        if not record.grant:
            return self._without_grant(record, provider, owner)
        prepared = self._prepare(record, provider)
        if self.clock.remaining_seconds() < GUARD:
            return Refreshed(Outcome.WAITING, record.gen)
        before = self._take_lease(record, provider, owner)
        if before is None:
            return Refreshed(Outcome.BUSY, record.gen)
        if self.clock.remaining_seconds() < GUARD:
            return Refreshed(Outcome.WAITING, record.gen)  # nothing was sent, but the intent stays: never clear it here
        return self._send(prepared, before, owner)

    def _prepare(self, record: Connection, provider: Provider) -> _Prepared:
        key = record.key
        grant = grant_secrets(self.envelopes.open(record.grant, key.encryption_context(Field.GRANT)))
        keys = SealingKeys.obtain(self.envelopes, key)
        if record.grant_type is Grant.CLIENT_CREDENTIALS:
            request = client_credentials_request(provider, grant)
        else:
            client = ClientIdentity(record.client_id, self.secrets.client_secrets(key.integration))
            request = refresh_request(provider, client, stored_refresh_token(grant))
        return _Prepared(record=record, provider=provider, request=request, keys=keys)

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

    def _send(self, prepared: _Prepared, before: Connection, owner: str) -> Refreshed:
        try:
            tokens = self._ask(prepared)
        except _Refused as refused:
            refusal, behaviour = refused.refusal, prepared.provider.refresh
            decided = verdict(before, refusal, behaviour, now=self.clock.now(), fraction=self.randomness.fraction())
            return self._record(before, owner, decided, f"{refusal.kind}:{refusal.error}")
        return self._commit(prepared, tokens)

    def _ask(self, prepared: _Prepared) -> TokenGrant:
        """One request; a second one only if the first provably never arrived, or the provider forgives a replay."""
        try:
            return self._request(prepared, repeated=False)
        except _Refused as first:
            forgiving = prepared.provider.refresh.reuse_grace_seconds > 0
            may_repeat = first.undelivered or (first.peer_closed and forgiving)
            if not may_repeat or self.clock.remaining_seconds() < GUARD:
                raise
            return self._repeat(prepared, first)

    def _repeat(self, prepared: _Prepared, first: "_Refused") -> TokenGrant:
        try:
            return self._request(prepared, repeated=not first.undelivered)
        except _Refused as second:
            # That the second never left says nothing about the first.
            raise first if second.undelivered else second from None

    def _request(self, prepared: _Prepared, *, repeated: bool) -> TokenGrant:
        try:
            answer = self.provider_client.send(prepared.request, deadline_seconds=CALL)
            return parse_token_answer(prepared.provider, answer, grant=prepared.grant_type, now=self.clock.now())
        except NotDelivered as error:
            refusal = Refusal(kind=FailureClass.LATER, error=f"not_delivered_{error}")
            raise _Refused(refusal, undelivered=True) from None
        except Undetermined as error:
            refusal = Refusal(kind=FailureClass.IN_DOUBT, error=str(error), processed=True, repeated=repeated)
            raise _Refused(refusal, peer_closed=error.peer_closed) from None
        except TokenRequestFailed as error:
            refusal = Refusal(
                kind=error.kind,
                error=error.error,
                retry_after_seconds=error.retry_after_seconds,
                processed=error.kind is FailureClass.IN_DOUBT or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR,
                repeated=repeated,
            )
            raise _Refused(refusal) from None

    def _commit(self, prepared: _Prepared, tokens: TokenGrant) -> Refreshed:
        """Write the new generation, again and again until it is there or time is up; it exists nowhere else."""
        record = prepared.record
        commit = self._commit_of(prepared, tokens)
        while True:
            try:
                outcome = self.connections.commit(commit)
            except StorageUnavailable as error:
                if self.clock.remaining_seconds() < LAST_WRITE:
                    fields = {**_fields(record), "outcome": Outcome.ROTATION_LOST, "detail": error.detail}
                    log.record("new token could not be stored", fields, level="critical")
                    return Refreshed(Outcome.ROTATION_LOST, record.gen)
                self.clock.sleep(_COMMIT_RETRY_SECONDS)
                continue
            if outcome is CommitOutcome.COMMITTED:
                return Refreshed(Outcome.REFRESHED, record.gen + 1)
            # Somebody else's generation stands: theirs is newer, or the connection is being removed.
            log.record("refresh was superseded", {**_fields(record), "outcome": outcome}, level="warning")
            return self._adopt(record)

    def _commit_of(self, prepared: _Prepared, tokens: TokenGrant) -> Commit:
        record = prepared.record
        lifetime = Lifetime(
            key=record.key, now=self.clock.now(), min_refresh_seconds=self.min_refresh_seconds, refreshable=True
        )
        attributes, ended = token_attributes(tokens, prepared.keys, lifetime)
        if tokens.metadata:
            attributes["metadata"] = {**record.metadata, **tokens.metadata}
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

    def _record(self, before: Connection, owner: str, decided: Verdict, error: str) -> Refreshed:
        """Write down what came of it, if generation and lease are still ours: no winner's success is overwritten."""
        failed = Failure(
            owner=owner,
            gen=before.gen,
            epoch=self.epoch,
            error=error,
            failures=before.failures + 1,
            next_try_at=decided.next_try_at,
            answered=decided.answered,
            status=Status.ACTIVE if decided.cause is None else Status.REAUTH_REQUIRED,
            cause=decided.cause or "",
            now=self.clock.now(),
        )
        fields = {**_fields(before), "outcome": decided.outcome, "error": error, "cause": decided.cause}
        log.record("refresh brought no token", {**fields, "next_try_at": decided.next_try_at}, level="warning")
        if self.connections.record_failure(before.key, failed):
            return Refreshed(decided.outcome, before.gen)
        return self._adopt(before)

    def _adopt(self, record: Connection) -> Refreshed:
        newest = self.connections.read(record.key)
        return Refreshed(Outcome.ADOPTED, newest.gen) if newest else Refreshed(Outcome.ABSENT, 0)


def _fields(record: Connection) -> dict[str, object]:
    key = record.key
    return {"tenant": key.tenant, "connection": key.sort_key, "provider": record.provider, "gen": record.gen}
