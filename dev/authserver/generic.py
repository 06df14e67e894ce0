"""A provider by the book: RFC 6749 with Basic authentication, PKCE, rotation, RFC 7009, RFC 7662 and RFC 9207."""

from collections.abc import Callable
from urllib.parse import unquote_plus

from flask import Flask, Request, Response, request

from dev.authserver.answers import json_answer, plain_refusal, plain_token_answer
from dev.authserver.authorize import AuthorizeEndpoint
from dev.authserver.bearer import BearerApi, NoEntry
from dev.authserver.grants import AccessToken
from dev.authserver.parties import Client, Parties
from dev.authserver.simulation import Simulation
from dev.authserver.strict import Parameters, Refused, basic_credentials, form_body, invalid_request, required
from dev.authserver.systems import GENERIC, Account
from dev.authserver.token_endpoint import TokenEndpoint, TokenRules


def register(app: Flask, simulation: Simulation) -> None:
    api = BearerApi(simulation, GENERIC, unauthorized)
    tokens = TokenSupport(simulation, api)
    rules = TokenRules(
        system=GENERIC,
        grant_types=("authorization_code", "refresh_token"),
        read=form_body,
        authenticate=authenticate,
        answer=plain_token_answer,
        refuse=plain_refusal,
    )
    add = app.add_url_rule
    authorize = AuthorizeEndpoint(simulation, GENERIC).handle
    add("/auth.example/authorize", "generic.authorize", authorize, methods=["GET", "POST"])
    add("/auth.example/token", "generic.token", TokenEndpoint(simulation, rules).handle, methods=["POST"])
    add("/auth.example/introspect", "generic.introspect", tokens.introspect, methods=["POST"])
    add("/auth.example/revoke", "generic.revoke", tokens.revoke, methods=["POST"])
    add("/auth.example/whoami", "generic.whoami", api.guarded(whoami), methods=["GET"])


def authenticate(parties: Parties, incoming: Request, parameters: Parameters) -> Client:
    """HTTP Basic of form-encoded id and secret (RFC 6749 section 2.3.1), and no second method beside it."""
    if "client_secret" in parameters:
        raise invalid_request("authenticate with HTTP Basic alone", about="client_secret")
    client_id, secret = (form_decoded(half) for half in basic_credentials(incoming))
    if parameters.get("client_id", client_id) != client_id:
        raise invalid_request("client_id is not the one of HTTP Basic", about="client_id")
    return parties.authenticated_client(GENERIC.id, client_id, secret)


def form_decoded(value: str) -> str:
    try:
        return unquote_plus(value, errors="strict")
    except UnicodeDecodeError:
        raise Refused("invalid_client", "HTTP Basic is not form-encoded UTF-8", about="client_id", status=401) from None


def unauthorized(entry: NoEntry) -> Response:
    challenge = "Bearer" if entry.missing else 'Bearer error="invalid_token"'
    return json_answer({"error": "invalid_token"}, 401, {"WWW-Authenticate": challenge})


def whoami(token: AccessToken) -> Response:
    return json_answer({"sub": subject(token.account), "name": token.account.name, "scopes": list(token.scopes)})


def subject(account: Account) -> str:
    return f"account-{account.key}"


class TokenSupport:
    """Introspection (RFC 7662) and revocation (RFC 7009)."""

    def __init__(self, simulation: Simulation, api: BearerApi) -> None:
        self._simulation = simulation
        self._api = api

    def introspect(self) -> Response:
        return self._api.exposed(lambda: self._for_client(self._introspected))

    def revoke(self) -> Response:
        return self._api.exposed(lambda: self._for_client(self._revoked))

    def _for_client(self, work: Callable[[Client, str], Response]) -> Response:
        try:
            parameters = form_body(request)
            client = authenticate(self._simulation.parties, request, parameters)
            return work(client, required(parameters, "token"))
        except Refused as refused:
            return plain_refusal(refused)

    def _introspected(self, client: Client, value: str) -> Response:
        refresh = self._simulation.grants.refresh_token(client, value)
        if refresh is not None:
            return self._active(client, refresh.grant.account, refresh.grant.scopes, refresh.expires_at)
        access = self._simulation.grants.access(GENERIC.id, value)
        if access and access.client_id == client.client_id and access.expires_at > self._simulation.clock():
            return self._active(client, access.account, access.scopes, access.expires_at)
        return json_answer({"active": False})

    def _active(self, client: Client, account: Account, scopes: tuple[str, ...], ends: float | None) -> Response:
        fields: dict[str, object] = {
            "active": True,
            "client_id": client.client_id,
            "sub": subject(account),
            "username": account.name,
            "scope": " ".join(scopes),
            "iss": f"{self._simulation.base_url}/{GENERIC.host}",
        }
        return json_answer(fields | ({} if ends is None else {"exp": int(ends)}))

    def _revoked(self, client: Client, value: str) -> Response:
        """A refresh token takes its grant along, an access token only itself; unknown tokens are fine."""
        grants = self._simulation.grants
        refresh = grants.refresh_token(client, value)
        access = grants.access(GENERIC.id, value)
        if refresh is not None:
            grants.revoke([refresh.grant], access_tokens_too=True)
        elif access is not None and access.client_id == client.client_id:
            grants.end_access_token(access)
        return Response(status=200)
