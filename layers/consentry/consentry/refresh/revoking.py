"""Revoke a token that arrived for a connection which was erased meanwhile: nobody would know of it any more."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from consentry import log
from consentry.errors import ConsentryError
from consentry.oauth.provider import Revocation
from consentry.oauth.revocation import revocation_request
from consentry.oauth.token_request import ClientIdentity
from consentry.oauth.wire import TokenGrant, TokenRequest
from consentry.ports import ClientSecrets, Clock, NotDelivered, TokenEndpointClient, Undetermined
from consentry.refresh.asking import Prepared
from consentry.refresh.saving import told

_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Revoke:
    clock: Clock
    secrets: ClientSecrets
    client: TokenEndpointClient

    def __call__(self, prepared: Prepared, tokens: TokenGrant) -> None:
        """Revoke the refresh token if that ends nothing else; whatever becomes of it is logged."""
        fields = told(prepared.record)
        if (request := self._request(prepared, tokens)) is None:
            log.record("a token of a removed connection is left to end by itself", fields, level="warning")
            return
        try:
            status = self.client.send(request, deadline_seconds=_SECONDS).status
        except (NotDelivered, Undetermined) as error:
            log.record("revocation unanswered", {**fields, "error": str(error)}, level="error")
        else:
            done = HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
            message = "token of a removed connection revoked" if done else "revocation refused"
            log.record(message, {**fields, "status": status}, level="info" if done else "error")

    def _request(self, prepared: Prepared, tokens: TokenGrant) -> TokenRequest | None:
        """Return the request if the provider's data says that it ends this token alone: others may share a grant."""
        record, provider = prepared.record, prepared.provider
        possible = provider.revocation_url and provider.revocation is Revocation.TOKEN
        if not possible or tokens.refresh_token is None or self.clock.remaining_seconds() < _SECONDS:
            return None
        try:
            client = ClientIdentity(record.client_id, self.secrets.client_secrets(record.key.integration))
            return revocation_request(provider, client, tokens.refresh_token)
        except ConsentryError:
            return None
