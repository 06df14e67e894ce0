"""Commit tokens that just arrived, from a consent or from entered credentials, as a connection's next generation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from consentry.errors import BeingRemoved, Conflict, ProviderTrouble
from consentry.model import Cause, Connection, ConnectionKey, Grant, Metadata, Secret, Status, Variables
from consentry.oauth.provider import Provider
from consentry.oauth.wire import TokenGrant
from consentry.ports import Clock, Commit, CommitOutcome, Connections, Envelopes, Randomness, StorageUnavailable
from consentry.scopes import scope_attributes, tell_scopes_lost
from consentry.tokens import Lifetime, SealingKeys, client_account, grant_payload, token_attributes, warning_at

_RACES: Final = 4
_ATTEMPTS: Final = 20
_RETRY_SECONDS: Final = 0.25
_REMOVAL_SECONDS: Final = 120  # the next sweep of the schedule, and a worker's life
_LAST_SECONDS: Final = 7.0  # a write that hangs may last so long (`bootstrap`)
_MEMBERS: Final = frozenset(Connection.__dataclass_fields__) - {
    "key", "grant_type", "status", "scopes", "lost_scopes",
}  # fmt: skip
_OF_A_GRANT: Final = ("grant", "grant_expires_at", "warned_at", "client_account", "variables")
_KEPT: Final = ("label", "description", "created_at")  # a consent says nothing about these, unless it does


class Overtaken(Conflict):
    """Another consent was completed, or the connection was disconnected, while this person consented."""

    default_code = "overtaken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Tokens fresh from the provider, and whose they are.

    `asked_at` is when they were asked for, because a lifetime counts from there at the latest; None is now.
    `credentials` are kept as the grant where there are any. `same_account` refuses another account than the connected.
    `provider` is rendered with `variables`, which readers find in the metadata as well.
    `optional_scopes` were asked for as well, and may be missing.
    """

    key: ConnectionKey
    provider: Provider
    grant_type: Grant
    client_id: str
    tokens: TokenGrant
    asked_at: int | None = None
    account: str = ""
    metadata: Metadata = field(default_factory=dict)
    variables: Variables = field(default_factory=dict)
    requested_scopes: tuple[str, ...] = ()
    optional_scopes: tuple[str, ...] = ()
    credentials: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    texts: Mapping[str, str] = field(default_factory=dict)
    same_account: bool = False

    @property
    def granted_scopes(self) -> tuple[str, ...]:
        """What was granted: the requested scopes where the answer is silent (RFC 6749 section 5.1)."""
        return self.requested_scopes if self.tokens.scopes is None else self.tokens.scopes

    @property
    def status(self) -> Status:
        missing = set(self.requested_scopes) - set(self.granted_scopes)
        return Status.SCOPE_INSUFFICIENT if missing else Status.ACTIVE

    def renews(self, before: Connection | None) -> bool:
        """Whether these tokens come without a grant of their own, but certainly belong to the one that is stored.

        A provider may issue a refresh token at the first consent alone (RFC 6749 section 5.1 makes it optional).
        """
        if before is None or self.credentials or self.tokens.refresh_token is not None:
            return False
        mine = (self.account, self.client_id, self.provider.id, self.grant_type, self.variables)
        stored = (before.account, before.client_id, before.provider, before.grant_type, before.variables)
        alive = before.grant and before.status is not Status.REAUTH_REQUIRED
        return bool(alive and self.account) and mine == stored


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

        Raise `Conflict` if it is another account's, is being removed or was connected by somebody else since,
        `ProviderTrouble` if nobody said whose it is, `StorageUnavailable` if it can't be written. Only after the last
        may the tokens be stored all the same.
        """
        consent_id = self.randomness.token()
        for _ in range(_RACES):
            _refuse_other_account(arrival, before)
            commit = self._commit_of(arrival, keys, before, consent_id)
            outcome, found = self._commit(commit)
            match outcome:
                case CommitOutcome.COMMITTED:
                    tell_scopes_lost(before, commit.set_attributes, told_of(arrival))
                    return _as_committed(commit, before)
                case CommitOutcome.DELETING | CommitOutcome.GONE:
                    # Even if it is gone already: whoever disconnected did so after this consent, which may have been
                    # revoked along with the grant before it.
                    raise _being_removed(_REMOVAL_SECONDS)
                case CommitOutcome.SUPERSEDED:
                    # A refresh was faster; or it followed, after a commit of ours that was applied but not answered.
                    if found and found.consent_id == consent_id:
                        return found
                    if not arrival.credentials:
                        refuse_what_was_overtaken(consent_of(before), found)
                    before = found
        raise Conflict("Somebody else keeps changing this connection. Connect again.", code="busy")

    def _commit(self, commit: Commit) -> tuple[CommitOutcome, Connection | None]:
        """Repeat the very same commit until storage answers or time is up: the tokens exist nowhere else.

        Return what became of it, and the record that stands instead if it was superseded.
        """
        attempts = 0
        while True:
            try:
                outcome = self.connections.commit(commit)
                return outcome, self.connections.read(commit.key) if outcome is CommitOutcome.SUPERSEDED else None
            except StorageUnavailable:
                attempts += 1
                if attempts == _ATTEMPTS or self.clock.remaining_seconds() < _LAST_SECONDS:
                    raise
                self.clock.sleep(_RETRY_SECONDS)

    def _commit_of(self, arrival: Arrival, keys: SealingKeys, before: Connection | None, consent_id: str) -> Commit:
        attributes, ended = self._attributes(arrival, keys, before)
        created = {} if before else {"created_at": self.clock.now()}
        return Commit(
            key=arrival.key,
            expected_gen=before.gen if before else 0,
            expected_epoch=before.epoch if before else self.epoch,
            epoch=self.epoch,
            commit_id=consent_id,
            status=arrival.status,
            set_attributes=attributes | created | {"consent_id": consent_id},
            remove=ended,
            expected_consent=before.consent_id if before else None,
        )

    def _attributes(
        self, arrival: Arrival, keys: SealingKeys, before: Connection | None
    ) -> tuple[dict[str, object], tuple[str, ...]]:
        """Return what the commit sets, and the names of what ends with it."""
        now, renews = self.clock.now(), arrival.renews(before)
        grant_expires_at = _grant_expires_at(arrival, before if renews else None, now)
        lifetime = Lifetime(
            key=arrival.key,
            now=now if arrival.asked_at is None else arrival.asked_at,
            min_refresh_seconds=self.min_refresh_seconds,
            refreshable=bool(arrival.credentials) or arrival.tokens.refresh_token is not None or renews,
            idle_seconds=arrival.provider.refresh.idle_lifetime_seconds,
            warn_at=warning_at(grant_expires_at),
        )
        attributes, ended = token_attributes(arrival.tokens, keys, lifetime)
        if grant_expires_at is not None:
            attributes["grant_expires_at"] = grant_expires_at
        if arrival.credentials:
            attributes["grant"] = keys.grant.seal(grant_payload(arrival.credentials))
        attributes |= {
            "provider": arrival.provider.id,
            "grant_type": arrival.grant_type.value,
            "client_id": arrival.client_id,
            "account": arrival.account,
            "metadata": {**arrival.metadata, **arrival.variables},
            "scopes": list(arrival.granted_scopes),
            **({"variables": dict(arrival.variables)} if arrival.variables else {}),
            **arrival.texts,
        }
        lost, regained = _scopes_lost(arrival, before, now)
        attributes |= lost
        if arrival.account:
            attributes["client_account"] = client_account(arrival.provider, arrival.client_id, arrival.account)
        if arrival.status is Status.SCOPE_INSUFFICIENT:
            attributes.pop("due_at", None)
            attributes |= {"status_cause": Cause.SCOPE_MISSING.value, "attention": arrival.status.value}
            attributes["attention_since"] = now
        kept = {"grant", "warned_at"} if renews else set()
        absent = [name for name in _OF_A_GRANT if name not in attributes and name not in kept]
        return attributes, (*ended, *absent, *regained)


def refuse_what_is_removed(before: Connection | None, now: int) -> None:
    """Raise `BeingRemoved` before anything is asked of the provider: what it granted would have no place."""
    if before and before.status is Status.DELETING:
        raise _being_removed(max(0, (before.due_at or now) - now) + _REMOVAL_SECONDS)


def consent_of(record: Connection | None) -> str:
    """Return which consent a connection's tokens descend from; empty where there is none."""
    return record.consent_id if record else ""


def refuse_what_was_overtaken(consent: str, now: Connection | None) -> None:
    """Raise `Overtaken` if the connection no longer descends from the consent that it did.

    Of several consents for one connection the first to be completed wins: only its own process could revoke a grant
    that was replaced, and that process is done.
    """
    if consent_of(now) != consent:
        public = (
            "Somebody else connected or disconnected this meanwhile, and it is as they left it. "
            "Look at the connection, and start again to change it."
        )
        raise Overtaken(public)


def told_of(arrival: Arrival) -> dict[str, object]:
    """Return what a log line says about tokens that arrived."""
    key = arrival.key
    return {"tenant": key.tenant, "connection": key.sort_key, "provider": arrival.provider.id}


def _scopes_lost(arrival: Arrival, before: Connection | None, now: int) -> tuple[dict[str, object], tuple[str, ...]]:
    """Where the answer is silent, everything that was asked for was granted (RFC 6749 section 5.1)."""
    asked_for = {*arrival.requested_scopes, *arrival.optional_scopes}
    granted = asked_for if arrival.tokens.scopes is None else arrival.tokens.scopes
    return scope_attributes(before, granted, now=now, wanted=asked_for)


def _being_removed(seconds: int) -> BeingRemoved:
    public = (
        "This connection is being removed. That takes a minute or two, and a day at most where the provider does not "
        "answer; connect again then."
    )
    return BeingRemoved(public, retry_after_seconds=seconds)


def _grant_expires_at(arrival: Arrival, renewed: Connection | None, now: int) -> int | None:
    """Return when the grant ends whatever is done: by the provider's data, from its consent on."""
    if renewed:
        return renewed.grant_expires_at
    days, seconds = arrival.provider.credential_lifetime_days, arrival.provider.refresh.absolute_lifetime_seconds
    life = days * 24 * 3600 if days else seconds
    return now + life if life else None


def _as_committed(commit: Commit, before: Connection | None) -> Connection:
    """Return the record that a commit made, without asking for it: what is stored must not fail any more."""
    attributes: dict[str, Any] = {name: getattr(before, name) for name in _KEPT} if before else {}
    if before and "grant" not in commit.remove:
        attributes["grant"] = before.grant
    attributes |= commit.set_attributes
    return Connection(
        key=commit.key,
        grant_type=Grant(attributes["grant_type"]),
        status=commit.status,
        scopes=tuple(attributes["scopes"]),
        lost_scopes=tuple(attributes.get("lost_scopes", ())),
        gen=commit.expected_gen + 1,
        epoch=commit.epoch,
        commit_id=commit.commit_id,
        **{name: value for name, value in attributes.items() if name in _MEMBERS},
    )


def _refuse_other_account(arrival: Arrival, before: Connection | None) -> None:
    """Look at each record that the tokens would replace: somebody else's consent may have been faster."""
    if not (arrival.same_account and before):
        return
    refuse_other_place(arrival.provider, arrival.variables, before)
    if not before.account or arrival.account == before.account:
        return
    if not arrival.account:
        public = (
            f"{arrival.provider.name} did not say which account this is. "
            "The connection was left as it was; start connecting again."
        )
        unknown = ProviderTrouble(public, code="account_unknown")
        unknown.about = arrival.provider.name
        raise unknown
    raise _account_mismatch()


def refuse_other_place(provider: Provider, variables: Variables, before: Connection | None) -> None:
    """Raise `Conflict` where the provider's URLs are no longer those of the connected account: it is another one."""
    if before and before.provider == provider.id and before.variables and before.variables != variables:
        raise _account_mismatch()


def _account_mismatch() -> Conflict:
    public = "You chose another account than the one connected so far; the connection was left as it was."
    return Conflict(public, code="account_mismatch")
