"""Providers to test with: a plain one as RFC 6749 describes, and parts to vary."""

from dataclasses import replace
from typing import Any

from consentry.model import Grant, Secret
from consentry.oauth.provider import (
    AuthorizationEndpoint,
    BodyFormat,
    ClientAuthentication,
    CredentialInput,
    Pkce,
    Provider,
    RefreshBehaviour,
    Rotation,
    TokenEndpoint,
)
from consentry.oauth.token_request import ClientIdentity

NOW = 1_800_000_000.0

# RFC 6749 sections 2.3.1 and 4.1.3.
RFC_CLIENT = ClientIdentity("s6BhdRkqt3", {"client_secret": Secret("gX1fBat3bV")})
RFC_BASIC = "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW"

AUTHORIZATION = AuthorizationEndpoint(url="https://server.example.com/authorize", pkce=Pkce.SUPPORTED)
TOKEN = TokenEndpoint(
    url="https://server.example.com/token",
    client_authentication=ClientAuthentication.BASIC,
    body=BodyFormat.FORM,
)
PLAIN = Provider(
    id="plain",
    name="Plain",
    grant=Grant.AUTHORIZATION_CODE,
    checked="2026-11-01",
    sources=("https://www.rfc-editor.org/rfc/rfc6749",),
    authorization=AUTHORIZATION,
    token=TOKEN,
    refresh=RefreshBehaviour(rotation=Rotation.ROTATES),
)
OWN_CREDENTIALS = replace(
    PLAIN,
    grant=Grant.CLIENT_CREDENTIALS,
    authorization=None,
    refresh=RefreshBehaviour(rotation=Rotation.REMINT),
    credential_inputs=(
        CredentialInput(name="client_id", label="Client ID", secret=False),
        CredentialInput(name="client_secret", label="Client secret", secret=True),
        CredentialInput(name="basic_token", label="Basic token", secret=True, required=False),
    ),
)


def with_authorization(**changes: Any) -> Provider:  # noqa: ANN401 - fields of the dataclass, whatever they hold
    return replace(PLAIN, authorization=replace(AUTHORIZATION, **changes))


def with_token(provider: Provider = PLAIN, **changes: Any) -> Provider:  # noqa: ANN401 - as above
    return replace(provider, token=replace(provider.token, **changes))
