"""Hotjar: client credentials as documented, and the authorization code variant of a published guide (unverified)."""

from datetime import UTC, datetime, timedelta
from typing import Final

from flask import Flask, Request, Response, request

from dev.authserver.answers import json_answer, plain_refusal, plain_token_answer, token_fields
from dev.authserver.authorize import AuthorizeEndpoint
from dev.authserver.bearer import BearerApi, NoEntry
from dev.authserver.grants import AccessToken, Issued
from dev.authserver.parties import Client, Customer, Parties
from dev.authserver.simulation import Simulation
from dev.authserver.strict import (
    Parameters,
    Refused,
    form_body,
    json_body,
    no_authorization_header,
    query_parameters,
    required,
)
from dev.authserver.systems import HOTJAR
from dev.authserver.tickets import whole
from dev.authserver.token_endpoint import TokenEndpoint, TokenRules

SURVEYS_PER_SITE: Final = 30
BEGINNING: Final = datetime(2026, 8, 3, 9, 0, tzinfo=UTC)


def register(app: Flask, simulation: Simulation) -> None:
    api = BearerApi(simulation, HOTJAR, unauthorized)
    add = app.add_url_rule
    authorize = AuthorizeEndpoint(simulation, HOTJAR).handle
    add("/app.hotjar.com/oauth2/authorize", "hotjar.authorize", authorize, methods=["GET", "POST"])
    customer_token = TokenEndpoint(simulation, CUSTOMER_RULES).handle
    add("/api.hotjar.io/v1/oauth/token", "hotjar.customer_token", customer_token, methods=["POST"])
    client_token = TokenEndpoint(simulation, CLIENT_RULES).handle
    add("/app.hotjar.com/oauth2/token", "hotjar.client_token", client_token, methods=["POST"])
    add("/api.hotjar.io/v1/sites/<site_id>/surveys", "hotjar.surveys", api.guarded(surveys), methods=["GET"])


def read_form(incoming: Request) -> dict[str, str]:
    no_authorization_header(incoming)
    return form_body(incoming)


def read_json(incoming: Request) -> dict[str, str]:
    no_authorization_header(incoming)
    return json_body(incoming)


def authenticate_customer(parties: Parties, _incoming: Request, parameters: Parameters) -> Customer:
    """Exactly the three documented fields: a scope belongs to the key, not to the request."""
    extra = sorted(set(parameters) - {"grant_type", "client_id", "client_secret"})
    if extra:
        raise Refused("invalid_request", f"the field '{extra[0][:40]}' is not part of this request", about=extra[0])
    client_id, secret = required(parameters, "client_id"), required(parameters, "client_secret")
    return parties.authenticated_customer(HOTJAR.id, client_id, secret)


def authenticate_client(parties: Parties, _incoming: Request, parameters: Parameters) -> Client:
    client_id, secret = required(parameters, "client_id"), required(parameters, "client_secret")
    return parties.authenticated_client(HOTJAR.id, client_id, secret)


def customer_answer(issued: Issued) -> Response:
    return json_answer(token_fields(issued))


CUSTOMER_RULES: Final = TokenRules(
    system=HOTJAR,
    grant_types=("client_credentials",),
    read=read_form,
    authenticate=authenticate_customer,
    answer=customer_answer,
    refuse=plain_refusal,
)
CLIENT_RULES: Final = TokenRules(
    system=HOTJAR,
    grant_types=("authorization_code", "refresh_token"),
    read=read_json,
    authenticate=authenticate_client,
    answer=plain_token_answer,
    refuse=plain_refusal,
)


def unauthorized(_entry: NoEntry) -> Response:
    return json_answer({"message": "The access token is missing, expired or invalid."}, 401)


def surveys(token: AccessToken, site_id: str) -> Response:
    """`GET /v1/sites/{site_id}/surveys`: `limit`, `cursor`, `with_questions`."""
    if site_id != str(token.account.number):
        return json_answer({"message": "This token does not reach that site."}, 403)
    try:
        query = query_parameters(request)
        limit = whole(query.get("limit", "20"), 1, 100, "limit")
        first = whole(query.get("cursor", "cursor-0").removeprefix("cursor-"), 0, SURVEYS_PER_SITE, "cursor")
    except Refused as refused:
        return json_answer({"message": refused.description}, 400)
    end = min(first + limit, SURVEYS_PER_SITE)
    with_questions = query.get("with_questions") == "true"
    results = [survey(site_id, number, with_questions=with_questions) for number in range(first, end)]
    return json_answer({"results": results, "next_cursor": f"cursor-{end}" if end < SURVEYS_PER_SITE else None})


def survey(site_id: str, number: int, *, with_questions: bool) -> dict[str, object]:
    fields: dict[str, object] = {
        "id": f"{site_id}{number:04}",
        "name": f"Visitor survey {number + 1}",
        "type": ("popover", "link", "full_screen")[number % 3],
        "url": f"https://surveys.example/{site_id}/{number}",
        "is_enabled": number % 4 != 0,
        "created_time": (BEGINNING + timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    questions = [{"id": f"q{number}", "text": "How likely are you to recommend us?", "type": "nps"}]
    return fields | ({"questions": questions} if with_questions else {})
