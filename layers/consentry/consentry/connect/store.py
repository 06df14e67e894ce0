"""Commit tokens that just arrived, from a consent or from entered credentials, as a connection's next generation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from consentry.errors import Conflict
from consentry.model import Cause, Connection, ConnectionKey, Grant, Metadata, Secret, Status
from consentry.oauth.provider import Provider
from consentry.oauth.wire import TokenGrant
from consentry.ports import Clock, Commit, CommitOutcome, Connections, Envelopes, Randomness, StorageUnavailable
from consentry.tokens import Lifetime, SealingKeys, grant_payload, token_attributes

_ATTEMPTS: Final = 4
_RETRY_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Tokens fresh from the provider, and whose they are.

    `credentials` are kept as the grant where there are any. `same_account` refuses another account than the connected.
    """

    key: ConnectionKey
    provider: Provider
    grant_type: Grant
    client_id: str
    tokens: TokenGrant
    account: str = ""
    metadata: Metadata = field(default_factory=dict)
    requested_scopes: tuple[str, ...] = ()
    credentials: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    texts: Mapping[str, str] = field(default_factory=dict)
    same_account: bool = False

    @property
    def granted_scopes(self) -> tuple[str, ...]:
        """What was granted: the requested scopes where the answer is silent (RFC 6749 section 5.1)."""
        return self.requested_scopes if self.tokens.scopes is None else self.tokens.scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTokens:
    clock: Clock
    randomness: Randomness
    connections: Connections
    envelopes: Envelopes
    epoch: int
    min_refresh_seconds: int

    def sealing_keys(self, key: ConnectionKey) -> SealingKeys:
        return SealingKeys.obtain(self.envelopes, key)

    def __call__(self, arrival: Arrival, keys: SealingKeys, before: Connection | None) -> Connection:
        """Return the record as stored.

        Raise `Conflict` if it is another account's or is being deleted, `StorageUnavailable` if it can't be written.
        """
        attributes, ended = self._attributes(arrival, keys)
        status = Status.ACTIVE
        if not set(arrival.requested_scopes) <= set(arrival.granted_scopes):
            status = Status.SCOPE_INSUFFICIENT
            attributes |= {"status_cause": Cause.SCOPE_MISSING.value}
            attributes.pop("due_at", None)
        commit_id = self.randomness.token()
        for attempt in range(_ATTEMPTS):
            _refuse_other_account(arrival, before)
            created = {} if before else {"created_at": self.clock.now()}
            commit = Commit(
                key=arrival.key,
                expected_gen=before.gen if before else 0,
                expected_epoch=before.epoch if before else self.epoch,
                epoch=self.epoch,
                commit_id=commit_id,
                status=status,
                set_attributes=attributes | created,
                remove=ended,
            )
            match self._commit(commit, last=attempt == _ATTEMPTS - 1):
                case CommitOutcome.COMMITTED:
                    return self._stored(arrival.key)
                case CommitOutcome.DELETING:
                    raise Conflict("This connection is being removed. Connect again in a minute.", code="deleting")
                case CommitOutcome.SUPERSEDED | None:
                    # A refresh of the old grant was faster, or the write's fate is unknown.
                    before = self.connections.read(arrival.key)
                    if before and before.commit_id == commit_id:
                        return before
        raise Conflict("Somebody else keeps changing this connection. Connect again.", code="busy")

    def _commit(self, commit: Commit, *, last: bool) -> CommitOutcome | None:
        try:
            return self.connections.commit(commit)
        except StorageUnavailable:
            if last:
                raise
            self.clock.sleep(_RETRY_SECONDS)
            return None

    def _stored(self, key: ConnectionKey) -> Connection:
        stored = self.connections.read(key)
        if stored is None:
            raise Conflict("This connection was removed meanwhile. Connect again.", code="deleting")
        return stored

    def _attributes(self, arrival: Arrival, keys: SealingKeys) -> tuple[dict[str, object], tuple[str, ...]]:
        lifetime = Lifetime(
            key=arrival.key,
            now=self.clock.now(),
            min_refresh_seconds=self.min_refresh_seconds,
            refreshable=bool(arrival.credentials) or arrival.tokens.refresh_token is not None,
        )
        attributes, ended = token_attributes(arrival.tokens, keys, lifetime)
        if arrival.credentials:
            attributes["grant"] = keys.grant.seal(grant_payload(arrival.credentials))
        attributes |= {
            "provider": arrival.provider.id,
            "grant_type": arrival.grant_type.value,
            "client_id": arrival.client_id,
            "account": arrival.account,
            "metadata": dict(arrival.metadata),
            "scopes": list(arrival.granted_scopes),
            **arrival.texts,
        }
        if arrival.account:
            attributes["client_account"] = f"{arrival.provider.id}|{arrival.client_id}|{arrival.account}"
        absent = [name for name in ("grant", "client_account") if name not in attributes]
        return attributes, (*ended, *absent)


def _refuse_other_account(arrival: Arrival, before: Connection | None) -> None:
    """Look at each record that the tokens would replace: somebody else's consent may have been faster."""
    if arrival.same_account and before and before.account and arrival.account != before.account:
        public = "You chose another account than the one connected so far; the connection was left as it was."
        raise Conflict(public, code="account_mismatch")
