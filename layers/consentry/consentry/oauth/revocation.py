"""Token revocation (RFC 7009): the request; any answer of success means that the token has ended."""

from consentry.model import Secret
from consentry.oauth.provider import BodyFormat, Provider
from consentry.oauth.token_request import ClientIdentity, authenticated_request
from consentry.oauth.wire import TokenRequest


def revocation_request(provider: Provider, client: ClientIdentity, refresh_token: Secret) -> TokenRequest:
    """End a refresh token at `provider.revocation_url` (RFC 7009 section 2.1).

    Raise `Misconfigured` if a client secret is missing.
    """
    parameters = {"token": refresh_token.reveal(), "token_type_hint": "refresh_token"}
    return authenticated_request(provider, client, provider.revocation_url, parameters, BodyFormat.FORM)
