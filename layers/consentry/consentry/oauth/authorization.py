"""The authorization request: the URL that a browser is sent to (RFC 6749 section 4.1.1)."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlencode

from consentry.errors import Misconfigured
from consentry.oauth.pkce import CHALLENGE_METHOD
from consentry.oauth.provider import AuthorizationEndpoint, Pkce, Provider

# What Consentry decides itself; a provider's own parameters may not carry these names.
PROTOCOL_PARAMETERS: Final = frozenset(
    {"response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"}
)


def authorization_url(
    provider: Provider,
    *,
    client_id: str,
    redirect_uri: str,
    state: str,
    scopes: Sequence[str],
    code_challenge: str,
    optional_scopes: Sequence[str] = (),
) -> str:
    """Return the authorization request as a URL, with a PKCE challenge unless the provider forbids it.

    Empty `scopes` mean the provider's default ones. A query that the endpoint's URL already has is kept. Raise
    `Misconfigured` if the provider has no authorization endpoint.
    """
    endpoint = authorization_endpoint(provider)
    protocol = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        **_scope_parameters(endpoint, scopes, optional_scopes),
        "state": state,
    }
    if endpoint.pkce is not Pkce.FORBIDDEN:
        protocol |= {"code_challenge": code_challenge, "code_challenge_method": CHALLENGE_METHOD}
    # Protocol parameters come last in the merge: data cannot replace them.
    return with_query(endpoint.url, {**endpoint.parameters, **protocol})


def authorization_endpoint(provider: Provider) -> AuthorizationEndpoint:
    """Return the provider's authorization endpoint; raise `Misconfigured` if its grant type has none."""
    if provider.authorization is None:
        message = (
            f"provider {provider.id} has no authorization endpoint: connect it with credentials, not with a consent"
        )
        raise Misconfigured(message)
    return provider.authorization


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """Append parameters to a URL, percent-encoded with %20 for a space, after a query that is already there."""
    separator = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
    return url + separator + urlencode(parameters, quote_via=quote, safe="")


def _scope_parameters(
    endpoint: AuthorizationEndpoint, scopes: Sequence[str], optional_scopes: Sequence[str]
) -> dict[str, str]:
    parameters = {"scope": endpoint.scope_separator.join(scopes or endpoint.default_scopes)}
    if endpoint.optional_scope_parameter:
        parameters[endpoint.optional_scope_parameter] = endpoint.scope_separator.join(optional_scopes)
    return {name: value for name, value in parameters.items() if value}
