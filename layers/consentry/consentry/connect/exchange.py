"""Redeem an authorization code and store what it brings: everything fallible comes before the claim.

What fails before it leaves the flow as it was, so that the same request may be made again. After it there is one token
request, and no way back.

The old tokens of a reconnected connection stay until the new ones are committed, and another account is refused
unless the session allows it. A grant that finds no place is revoked by who received it, where that ends it alone.
"""

from dataclasses import dataclass
from typing import Final

from consentry import log
from consentry.connect.authorize import already_received
from consentry.connect.store import (
    Arrival,
    Overtaken,
    StoreTokens,
    refuse_other_place,
    refuse_what_is_removed,
    refuse_what_was_overtaken,
)
from consentry.errors import ConsentryError, InvalidRequest, Misconfigured, ProviderTrouble, TryLater
from consentry.model import Connection, Flow, FlowStatus, Grant, Metadata
from consentry.oauth.callback import AuthorizationCode
from consentry.oauth.introspection import introspection_request, parse_introspection
from consentry.oauth.pkce import Verifier
from consentry.oauth.provider import Provider
from consentry.oauth.token_answer import parse_token_answer
from consentry.oauth.token_request import ClientIdentity, code_request
from consentry.oauth.variables import rendered
from consentry.oauth.wire import FailureClass, GrantType, TokenGrant, TokenRequest, TokenRequestFailed
from consentry.ports import (
    Catalogue,
    ClientSecrets,
    Clock,
    NotDelivered,
    Randomness,
    Sessions,
    StorageUnavailable,
    TokenEndpointClient,
    Undetermined,
)
from consentry.revoking import RevokeStray, Stray, leave
from consentry.tokens import SealingKeys

EXCHANGE_SECONDS: Final = 12.0
IDENTITY_SECONDS: Final = 3.0
_STORE_SECONDS: Final = 8.0  # one write that hangs, its one retry included (`bootstrap`)


def require_time_left(clock: Clock) -> None:
    """Raise `TryLater` unless a token request, the question whose it is, and the commit still fit in."""
    if clock.remaining_seconds() < EXCHANGE_SECONDS + IDENTITY_SECONDS + _STORE_SECONDS:
        public = "Consentry is too slow at the moment to ask the provider. Nothing was used up; try again."
        raise TryLater(public, code="no_time_left")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """What an exchange needs, obtained before the flow is claimed."""

    flow: Flow
    provider: Provider
    client: ClientIdentity
    request: TokenRequest
    before: Connection | None
    keys: SealingKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeCode:
    """Turn a flow and its code into a stored connection, once; the flow then ends done or failed."""

    clock: Clock
    randomness: Randomness
    sessions: Sessions
    catalogue: Catalogue
    secrets: ClientSecrets
    provider_client: TokenEndpointClient
    store: StoreTokens

    def __call__(self, flow: Flow, code: AuthorizationCode, verifier: Verifier) -> Connection:
        """Raise `ConsentryError` when no connection came of it.

        Before the claim the flow is left as it was; after it, and where another consent was completed first, the flow
        is failed with the error's code.
        """
        try:
            prepared = self._prepare(flow, code, verifier)
        except Overtaken as error:
            self.sessions.finish(flow, FlowStatus.FAILED, error.code, expected=flow.status)
            raise
        if not self.sessions.claim(flow, expected=flow.status, claim_id=self.randomness.token()):
            raise already_received()
        tokens: TokenGrant | None = None
        try:
            tokens, asked_at = self._ask(prepared)
            connection = self._keep(prepared, tokens, asked_at)
        except ConsentryError as error:
            self._finish(flow, FlowStatus.FAILED, error.code)
            if tokens:
                self._part_with(prepared, tokens, error)
            raise
        self._finish(flow, FlowStatus.DONE, connection.status.value)
        return connection

    def _finish(self, flow: Flow, status: FlowStatus, outcome: str) -> None:
        """Write down what came of it; if that fails, the exchange has still come to what it has come to."""
        try:
            self.sessions.finish(flow, status, outcome, expected=FlowStatus.EXCHANGING)
        except StorageUnavailable as trouble:
            fields = {"tenant": flow.session.tenant, "connection": flow.key.sort_key, "outcome": outcome}
            log.record("end of consent not written", {**fields, "detail": trouble.detail}, level="error")

    def _prepare(self, flow: Flow, code: AuthorizationCode, verifier: Verifier) -> _Prepared:
        provider = rendered(self.catalogue.provider(flow.provider), flow.variables)
        client = ClientIdentity(flow.client_id, self.secrets.client_secrets(flow.integration))
        before = self.store.connections.read(flow.key)
        refuse_what_is_removed(before, self.clock.now())
        if not flow.session.allow_account_change:
            refuse_other_place(provider, flow.variables, before)
        if flow.replaces is not None:
            refuse_what_was_overtaken(flow.replaces, before)
        prepared = _Prepared(
            flow=flow,
            provider=provider,
            client=client,
            request=code_request(provider, client, code, flow.redirect_uri, verifier),
            before=before,
            keys=self.store.sealing_keys(flow.key),
        )
        require_time_left(self.clock)
        return prepared

    def _ask(self, prepared: _Prepared) -> tuple[TokenGrant, int]:
        provider = prepared.provider
        silence = f"{provider.name} did not answer. Nothing was stored; start connecting again in a few minutes."
        return ask_for_tokens(
            self.provider_client, self.clock, provider, prepared.request, GrantType.CODE, silence=silence
        )

    def _part_with(self, prepared: _Prepared, tokens: TokenGrant, reason: ConsentryError) -> None:
        """Revoke what was granted and found no place; the person is told the same whatever comes of it."""
        key = prepared.flow.key
        fields = {"tenant": key.tenant, "connection": key.sort_key, "provider": prepared.provider.id}
        stray = Stray(
            provider=prepared.provider,
            client=lambda: prepared.client,
            refresh_token=tokens.refresh_token,
            fields={**fields, "code": reason.code},
        )
        if isinstance(reason, StorageUnavailable):  # a write that was not answered may have been applied
            leave(stray, "may_be_stored")
        else:
            RevokeStray(self.clock, self.provider_client)(stray)

    def _keep(self, prepared: _Prepared, tokens: TokenGrant, asked_at: int) -> Connection:
        flow, provider = prepared.flow, prepared.provider
        account, metadata = self._identity(provider, prepared.client, tokens)
        arrival = Arrival(
            key=flow.key,
            provider=provider,
            grant_type=Grant.AUTHORIZATION_CODE,
            client_id=flow.client_id,
            tokens=tokens,
            asked_at=asked_at,
            account=account,
            metadata=metadata,
            variables=flow.variables,
            requested_scopes=flow.scopes,
            optional_scopes=flow.optional_scopes,
            same_account=not flow.session.allow_account_change,
        )
        return self.store(arrival, prepared.keys, prepared.before)

    def _identity(self, provider: Provider, client: ClientIdentity, tokens: TokenGrant) -> tuple[str, Metadata]:
        """Ask whose token it is where the token answer did not say; not knowing is no reason to lose a token."""
        if tokens.account or provider.introspection is None:
            return tokens.account, tokens.metadata
        request = introspection_request(provider, client, tokens.access_token)
        try:
            found = parse_introspection(provider, self.provider_client.send(request, deadline_seconds=IDENTITY_SECONDS))
        except (NotDelivered, Undetermined):
            found = None
        account, metadata = found or ("", {})
        return account, {**tokens.metadata, **metadata}


def ask_for_tokens(
    client: TokenEndpointClient,
    clock: Clock,
    provider: Provider,
    request: TokenRequest,
    grant: GrantType,
    *,
    silence: str,
) -> tuple[TokenGrant, int]:
    """Make one token request; return the tokens, and when they were asked for: a lifetime counts from there.

    `silence` tells the person that no answer came. Raise what she is to be told.
    """
    asked_at = clock.now()
    try:
        answer = client.send(request, deadline_seconds=EXCHANGE_SECONDS)
        return parse_token_answer(provider, answer, grant=grant, now=clock.now()), asked_at
    except (NotDelivered, Undetermined) as error:
        trouble = ProviderTrouble(silence, code="provider_silent", detail=f"{request.host}: {error}")
        trouble.about = provider.name
        raise trouble from None
    except TokenRequestFailed as error:
        failed = _exchange_failed(provider, error)
        failed.about = provider.name
        raise failed from None


def _exchange_failed(provider: Provider, error: TokenRequestFailed) -> ConsentryError:
    """Return what to tell the person for a refused or failed token request."""
    detail = f"{error.error} (HTTP {error.status})"
    match error.kind:
        case FailureClass.GONE:
            public = f"{provider.name} no longer accepts this consent. Start connecting again."
            return InvalidRequest(public, code="code_refused", detail=detail)
        case FailureClass.CREDENTIAL_REJECTED:
            public = f"{provider.name} does not accept these credentials. Check them and enter them again."
            return InvalidRequest(public, code="credential_rejected", detail=detail)
        case FailureClass.OPERATOR:
            public = f"{provider.name} does not accept this application's registration. Its operator has to correct it."
            return Misconfigured(public, code="client_refused", detail=detail)
        case FailureClass.LATER | FailureClass.IN_DOUBT:
            public = f"{provider.name} has trouble at the moment. Nothing was stored; try again in a few minutes."
            wait = error.retry_after_seconds or 60
            return ProviderTrouble(public, retry_after_seconds=wait, detail=detail)
