"""Token requests: what is sent to a token endpoint, for each grant type (RFC 6749 sections 4.1.3, 4.4.2 and 6)."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote_plus, urlencode

from consentry.errors import InvalidRequest, Misconfigured
from consentry.model import Secret
from consentry.oauth.authorization import with_query
from consentry.oauth.callback import AuthorizationCode
from consentry.oauth.pkce import Verifier
from consentry.oauth.provider import BodyFormat, ClientAuthentication, Pkce, Provider
from consentry.oauth.wire import GrantType, TokenRequest

# What a provider's own token parameters may not be called. `scope` is free where Consentry sends none.
PROTOCOL_PARAMETERS: Final = frozenset(
    {"grant_type", "code", "redirect_uri", "code_verifier", "client_id", "client_secret", "refresh_token"}
)
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 9110 section 11.2


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """Who asks for tokens: a client id, and secret material by name (`client_secret`, `basic_token`)."""

    client_id: str
    secrets: Mapping[str, Secret] = field(default_factory=dict)


def code_request(
    provider: Provider,
    client: ClientIdentity,
    code: AuthorizationCode,
    redirect_uri: str,
    verifier: Verifier | None,
) -> TokenRequest:
    """Exchange an authorization code whose callback was validated (RFC 6749 section 4.1.3, RFC 7636 section 4.5).

    `redirect_uri` is the one of the authorization request. Raise `Misconfigured` if a client secret is missing.
    """
    parameters = {
        "grant_type": GrantType.CODE.value,
        "code": code.code.reveal(),
        "redirect_uri": redirect_uri,
    }
    pkce = provider.authorization.pkce if provider.authorization else Pkce.FORBIDDEN
    if verifier is not None and pkce is not Pkce.FORBIDDEN:
        parameters["code_verifier"] = verifier.secret.reveal()
    return _token_request(provider, client, provider.token.url, parameters)


def refresh_request(
    provider: Provider, client: ClientIdentity, refresh_token: Secret, scopes: Sequence[str] = ()
) -> TokenRequest:
    """Refresh an access token (RFC 6749 section 6); no `scopes` mean those that were granted.

    Raise `Misconfigured` if a client secret is missing.
    """
    parameters = {"grant_type": GrantType.REFRESH.value, "refresh_token": refresh_token.reveal()}
    if scopes:
        parameters["scope"] = provider.token.scope_separator.join(scopes)
    return _token_request(provider, client, provider.token.refresh_url or provider.token.url, parameters)


def client_credentials_request(provider: Provider, inputs: Mapping[str, Secret]) -> TokenRequest:
    """Mint a token from a customer's own credentials (RFC 6749 section 4.4.2).

    `inputs` are the provider's credential inputs by name. Raise `InvalidRequest` naming one that is missing or
    malformed.
    """
    for wanted in provider.credential_inputs:
        if wanted.required and not inputs.get(wanted.name):
            message = f"{wanted.name} is missing: enter {wanted.label}"
            raise InvalidRequest(message, code="missing_input")
    basic_token = inputs.get("basic_token")
    if basic_token and not _bare_basic_token(basic_token):
        message = "basic_token is malformed: copy the provider's Basic token as it is, without spaces or line breaks"
        raise InvalidRequest(message, code="malformed_input")
    identity = ClientIdentity(inputs["client_id"].reveal() if "client_id" in inputs else "", inputs)
    return _token_request(provider, identity, provider.token.url, {"grant_type": GrantType.CLIENT_CREDENTIALS.value})


def authenticated_request(
    provider: Provider, client: ClientIdentity, url: str, parameters: Mapping[str, str], body: BodyFormat
) -> TokenRequest:
    """Build a POST that authenticates the client as the provider's data says (RFC 6749 section 2.3.1)."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    in_headers, in_parameters = _authentication(provider, client)
    sent = {**parameters, **in_parameters}
    payload = b""
    match body:
        case BodyFormat.FORM:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            payload = urlencode(sent).encode("ascii")
        case BodyFormat.JSON:
            headers["Content-Type"] = "application/json"
            payload = json.dumps(sent, separators=(",", ":")).encode("ascii")
        case BodyFormat.QUERY:
            url = with_query(url, sent)
    headers |= {_canonical(name): value for name, value in provider.token.headers.items()}
    return TokenRequest(method="POST", url=url, headers={**headers, **in_headers}, body=payload)


def _token_request(provider: Provider, client: ClientIdentity, url: str, parameters: Mapping[str, str]) -> TokenRequest:
    # Protocol parameters come last in the merge: data cannot replace them.
    merged = {**provider.token.parameters, **parameters}
    return authenticated_request(provider, client, url, merged, provider.token.body)


def _authentication(provider: Provider, client: ClientIdentity) -> tuple[dict[str, str], dict[str, str]]:
    """Return headers and parameters that carry the client's identity."""
    headers: dict[str, str] = {}
    match provider.token.client_authentication:
        case ClientAuthentication.NONE:
            return headers, {"client_id": client.client_id}
        case ClientAuthentication.POST:
            return headers, _client_parameters(provider, client)
        case ClientAuthentication.BASIC:
            # Form-urlencoded first: an id or secret may hold a colon (RFC 6749 section 2.3.1).
            headers["Authorization"] = _basic(quote_plus(client.client_id), quote_plus(_secret(provider, client)))
        case ClientAuthentication.OPAQUE_BASIC:
            headers["Authorization"] = _opaque_basic(provider, client)
    return headers, _client_parameters(provider, client) if provider.token.client_in_parameters else {}


def _client_parameters(provider: Provider, client: ClientIdentity) -> dict[str, str]:
    return {"client_id": client.client_id, "client_secret": _secret(provider, client)}


def _opaque_basic(provider: Provider, client: ClientIdentity) -> str:
    """Use the token that the provider issued ready-made, or compute what most of its clients send, unencoded."""
    issued = client.secrets.get("basic_token")
    if not issued:
        return _basic(client.client_id, _secret(provider, client))
    bare = _bare_basic_token(issued)
    if not bare:
        message = (
            f"the secret basic_token for provider {provider.id} is malformed: store it without spaces or line breaks"
        )
        raise Misconfigured(message)
    return f"Basic {bare}"


def _bare_basic_token(issued: Secret) -> str:
    """Return the token without the word `Basic`, which people copy along; empty if it cannot be one."""
    bare = re.sub(r"^basic(?: +|$)", "", issued.reveal().strip(), flags=re.IGNORECASE)
    return bare if _TOKEN68.fullmatch(bare) else ""


def _basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode("ascii")


def _secret(provider: Provider, client: ClientIdentity) -> str:
    secret = client.secrets.get("client_secret")
    if not secret:
        message = (
            f"the client secret for provider {provider.id} is missing: "
            "store client_secret in the integration's secret in Secrets Manager"
        )
        raise Misconfigured(message)
    return secret.reveal()


def _canonical(header: str) -> str:
    return "-".join(part.capitalize() for part in header.split("-"))
