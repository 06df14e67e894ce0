"""Zendesk, after its documentation (unverified): a host for each customer, played here as a part of the path."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from flask import Flask, Request, Response

from dev.authserver.answers import json_answer, plain_refusal, plain_token_answer
from dev.authserver.authorize import AuthorizeEndpoint
from dev.authserver.parties import Client, Parties
from dev.authserver.simulation import Simulation
from dev.authserver.strict import Parameters, form_body, no_authorization_header, required
from dev.authserver.systems import ZENDESK
from dev.authserver.token_endpoint import TokenEndpoint, TokenRules

PLACE: Final = "/zendesk.com/<subdomain>/oauth"


def register(app: Flask, simulation: Simulation) -> None:
    authorize, token = AuthorizeEndpoint(simulation, ZENDESK), TokenEndpoint(simulation, RULES)
    add = app.add_url_rule
    add(f"{PLACE}/authorizations/new", "zendesk.authorize", of_customer(authorize.handle), methods=["GET", "POST"])
    add(f"{PLACE}/tokens", "zendesk.token", of_customer(token.handle), methods=["POST"])


def of_customer(view: Callable[[], Response]) -> Callable[[str], Response]:
    """Answer for the hosts of customers alone: each account's own."""

    def answered(subdomain: str) -> Response:
        if subdomain not in {account.key for account in ZENDESK.accounts}:
            return json_answer({"error": {"title": "No help desk at this address"}}, HTTPStatus.NOT_FOUND)
        return view()

    return answered


def read(incoming: Request) -> dict[str, str]:
    no_authorization_header(incoming)
    return form_body(incoming)


def authenticate(parties: Parties, _incoming: Request, parameters: Parameters) -> Client:
    client_id, secret = required(parameters, "client_id"), required(parameters, "client_secret")
    return parties.authenticated_client(ZENDESK.id, client_id, secret)


RULES: Final = TokenRules(
    system=ZENDESK,
    grant_types=("authorization_code", "refresh_token"),
    read=read,
    authenticate=authenticate,
    answer=plain_token_answer,
    refuse=plain_refusal,
)
