"""Hotmart: client credentials as documented, the authorization code variant (unverified), and its APIs."""

from typing import Final

from flask import Flask, Request, Response, request

from dev.authserver.answers import json_answer, token_fields
from dev.authserver.authorize import AuthorizeEndpoint
from dev.authserver.bearer import BearerApi, NoEntry
from dev.authserver.grants import AccessToken, Issued
from dev.authserver.journal import fingerprint
from dev.authserver.parties import Parties, Party, knows_basic, unknown_client
from dev.authserver.simulation import Simulation
from dev.authserver.strict import (
    Parameters,
    Refused,
    basic_value,
    form_body,
    invalid_request,
    query_parameters,
    required,
)
from dev.authserver.systems import HOTMART
from dev.authserver.tickets import whole
from dev.authserver.token_endpoint import TokenEndpoint, TokenRules

SALES: Final = 23
SPA: Final = "<!doctype html><title>Hotmart Developers</title><div id=root>simulated Hotmart (local stack)</div>"


def register(app: Flask, simulation: Simulation) -> None:
    api = BearerApi(simulation, HOTMART, unauthorized)
    rules = TokenRules(
        system=HOTMART,
        grant_types=("client_credentials", "authorization_code", "refresh_token"),
        read=read,
        authenticate=authenticate,
        answer=token_answer,
        refuse=refusal,
    )
    security, developers = "/api-sec-vlc.hotmart.com/security/oauth", "/developers.hotmart.com"
    add = app.add_url_rule
    authorize = AuthorizeEndpoint(simulation, HOTMART).handle
    add(f"{security}/authorize", "hotmart.authorize", authorize, methods=["GET", "POST"])
    add(f"{security}/token", "hotmart.token", TokenEndpoint(simulation, rules).handle, methods=["POST"])
    add(f"{developers}/payments/api/v1/sales/history", "hotmart.sales", api.guarded(sales), methods=["GET"])
    add(f"{developers}/user/api/v1/me", "hotmart.me", api.guarded(me), methods=["GET"])
    add(f"{developers}/<path:path>", "hotmart.unknown", unknown, methods=["GET", "POST", "PUT", "DELETE"])


def read(incoming: Request) -> dict[str, str]:
    """Client credentials come in the query, with an empty body; every other grant comes in a form body."""
    if not incoming.query_string:
        parameters = form_body(incoming)
        if parameters.get("grant_type") == "client_credentials":
            raise invalid_request("client_credentials parameters belong in the query", about="grant_type")
        return parameters
    if incoming.get_data():
        raise invalid_request("with parameters in the query, the body must be empty")
    parameters = query_parameters(incoming)
    if parameters.get("grant_type") != "client_credentials":
        raise invalid_request("only client_credentials may be asked for in the query", about="grant_type")
    return parameters


def authenticate(parties: Parties, incoming: Request, parameters: Parameters) -> Party:
    """HTTP Basic always, ready-made or computed without any encoding; a client id beside it must agree."""
    basic = basic_value(incoming)
    if parameters.get("grant_type") == "client_credentials":
        client_id, secret = required(parameters, "client_id"), required(parameters, "client_secret")
        customer = parties.authenticated_customer(HOTMART.id, client_id, secret)
        if not knows_basic(customer, basic):
            raise unknown_client()
        return customer
    client = parties.client_by_basic(HOTMART.id, basic)
    if parameters.get("client_id", client.client_id) != client.client_id:
        raise Refused("invalid_client", "client_id is not the one of HTTP Basic", about="client_id", status=401)
    if "client_secret" in parameters:
        raise invalid_request("authenticate with HTTP Basic alone", about="client_secret")
    return client


def token_answer(issued: Issued) -> Response:
    scope = " ".join(issued.access.scopes) or "read write"
    return json_answer(token_fields(issued) | {"scope": scope, "jti": fingerprint(issued.access.value)})


def refusal(refused: Refused) -> Response:
    error = "unauthorized" if refused.error == "invalid_client" else refused.error
    return json_answer({"error": error, "error_description": refused.description}, refused.status)


def unauthorized(entry: NoEntry) -> Response:
    error = "unauthorized" if entry.missing else "token_expired" if entry.seconds_ago else "invalid_token"
    return json_answer({"error": error, "error_description": "The access token does not work."}, 401)


def sales(token: AccessToken) -> Response:
    """`GET /payments/api/v1/sales/history`: `max_results`, `page_token`."""
    try:
        query = query_parameters(request)
        limit = whole(query.get("max_results", "10"), 1, 50, "max_results")
        first = whole(query.get("page_token", "page0").removeprefix("page"), 0, SALES, "page_token")
    except Refused as refused:
        return json_answer({"error": "invalid_parameter", "error_description": refused.description}, 400)
    end = min(first + limit, SALES)
    info: dict[str, object] = {"total_results": SALES, "results_per_page": end - first}
    if end < SALES:
        info["next_page_token"] = f"page{end}"
    return json_answer({"items": [sale(token, number) for number in range(first, end)], "page_info": info})


def sale(token: AccessToken, number: int) -> dict[str, object]:
    return {
        "product": {
            "id": 40_000 + number % 3,
            "name": ("Yoga at home", "Bread from scratch", "SQL in a week")[number % 3],
        },
        "buyer": {"name": f"Buyer {number + 1}", "email": f"buyer{number + 1}@customer.example"},
        "producer": {"name": token.account.name, "ucode": f"producer-{token.account.number}"},
        "purchase": {
            "transaction": f"HP{token.account.number}{number:06}",
            "status": ("APPROVED", "COMPLETE")[number % 2],
            "order_date": 1_788_000_000_000 + number * 3_600_000,
            "price": {"value": 49.9, "currency_code": "EUR"},
        },
    }


def me(token: AccessToken) -> Response:
    name = token.account.name
    return json_answer({"id": token.account.number, "name": name, "email": f"team@{token.account.key}.example"})


def unknown(path: str) -> Response:  # noqa: ARG001 - every path is answered alike
    """The documentation's single-page application answers whatever does not exist."""
    return Response(SPA, 200, content_type="text/html; charset=utf-8")
