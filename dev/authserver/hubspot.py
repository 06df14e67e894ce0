"""HubSpot's OAuth endpoints, dated version 2026-03 (`developers.hubspot.com`, OpenAPI collection, Auth/Oauth)."""

from collections.abc import Callable
from typing import Final

from flask import Flask, Request, Response, request

from dev.authserver.answers import json_answer, token_fields
from dev.authserver.authorize import AuthorizeEndpoint
from dev.authserver.bearer import BearerApi
from dev.authserver.grants import AccessToken, Grant, Issued
from dev.authserver.hubspot_errors import expired, missing_scopes, refusal
from dev.authserver.parties import Client, Parties
from dev.authserver.simulation import Simulation
from dev.authserver.strict import Parameters, Refused, form_body, no_authorization_header, required
from dev.authserver.systems import HUBSPOT, Account
from dev.authserver.tickets import ticket_page
from dev.authserver.token_endpoint import TokenEndpoint, TokenRules

OAUTH: Final = "/api.hubapi.com/oauth/2026-03"


def register(app: Flask, simulation: Simulation) -> None:
    api = BearerApi(simulation, HUBSPOT, expired)
    oauth = TokenSupport(simulation, api)
    rules = TokenRules(
        system=HUBSPOT,
        grant_types=("authorization_code", "refresh_token"),
        read=read,
        authenticate=authenticate,
        answer=token_answer,
        refuse=refusal,
    )
    add = app.add_url_rule
    add(
        "/app.hubspot.com/oauth/authorize",
        "hubspot.authorize",
        AuthorizeEndpoint(simulation, HUBSPOT).handle,
        methods=["GET", "POST"],
    )
    add(f"{OAUTH}/token", "hubspot.token", TokenEndpoint(simulation, rules).handle, methods=["POST"])
    add(f"{OAUTH}/token/introspect", "hubspot.introspect", oauth.introspect, methods=["POST"])
    add(f"{OAUTH}/token/revoke", "hubspot.revoke", oauth.revoke, methods=["POST"])
    uninstall = "/api.hubapi.com/appinstalls/2026-03/external-install"
    add(uninstall, "hubspot.uninstall", api.guarded(oauth.uninstall), methods=["DELETE"])
    for path in ("/api.hubapi.com/crm/v3/objects/tickets", "/api.hubapi.com/crm/objects/2026-03/tickets"):
        add(path, f"hubspot.tickets {path}", api.guarded(ticket_page), methods=["GET"])


def read(incoming: Request) -> dict[str, str]:
    no_authorization_header(incoming)
    return form_body(incoming)


def authenticate(parties: Parties, _incoming: Request, parameters: Parameters) -> Client:
    client_id, secret = required(parameters, "client_id"), required(parameters, "client_secret")
    return parties.authenticated_client(HUBSPOT.id, client_id, secret)


def token_answer(issued: Issued) -> Response:
    """`AccessTokenResponse`: scopes as an array, and whose account it is."""
    account = issued.access.account
    return json_answer(
        token_fields(issued)
        | {
            "token_use": "access_token",
            "hub_id": account.number,
            "user_id": user_id(account),
            "scopes": list(issued.access.scopes),
        }
    )


def user_id(account: Account) -> int:
    return account.number * 10 + 1


class TokenSupport:
    """Introspection, revocation and uninstallation."""

    def __init__(self, simulation: Simulation, api: BearerApi) -> None:
        self._simulation = simulation
        self._api = api

    def introspect(self) -> Response:
        return self._api.exposed(lambda: self._for_client(self._introspected))

    def revoke(self) -> Response:
        return self._api.exposed(lambda: self._for_client(self._revoked))

    def uninstall(self, token: AccessToken) -> Response:
        """Remove the application from the account: every grant of this client and account ends."""
        if "oauth" not in token.scopes:
            return missing_scopes("oauth")
        account = str(token.account.number)
        grants = self._simulation.grants.matching(HUBSPOT.id, token.client_id, account)
        self._simulation.grants.revoke(grants, access_tokens_too=True)
        return Response(status=204)

    def _for_client(self, work: Callable[[Client, str], Response]) -> Response:
        try:
            parameters = read(request)
            client = authenticate(self._simulation.parties, request, parameters)
            return work(client, required(parameters, "token"))
        except Refused as refused:
            return refusal(refused)

    def _introspected(self, client: Client, value: str) -> Response:
        refresh = self._simulation.grants.refresh_token(client, value)
        if refresh is not None:
            return json_answer(_described(client, refresh.grant, "refresh_token") | {"token": value})
        access = self._simulation.grants.access(HUBSPOT.id, value)
        left = access.expires_at - self._simulation.clock() if access else 0
        if access is None or access.grant is None or access.client_id != client.client_id or left <= 0:
            return json_answer({"active": False})
        described = _described(client, access.grant, "access_token") | {"scopes": list(access.scopes)}
        return json_answer(described | {"token": value, "expires_in": int(left)})

    def _revoked(self, client: Client, value: str) -> Response:
        """Revoking a refresh token leaves access tokens alive until they expire."""
        refresh = self._simulation.grants.refresh_token(client, value)
        if refresh is not None:
            self._simulation.grants.revoke([refresh.grant], access_tokens_too=False)
        return Response(status=204)


def _described(client: Client, grant: Grant, use: str) -> dict[str, object]:
    return {
        "active": True,
        "app_id": 100_200,
        "client_id": client.client_id,
        "hub_id": grant.account.number,
        "hub_domain": f"{grant.account.key}.example",
        "is_private_distribution": False,
        "scopes": list(grant.scopes),
        "token_type": "bearer",
        "token_use": use,
        "user": f"admin@{grant.account.key}.example",
        "user_id": user_id(grant.account),
    }
