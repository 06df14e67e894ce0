"""Connecting with entered credentials: they mint a token first, and are stored only then."""

from typing import Any

import pytest

from consentry.model import ConnectionKey, Field
from consentry.ports import NotDelivered, Undetermined
from consentry.tokens import grant_secrets
from consentry.web.response import Response
from tests.support.deployment import PUT_CREDENTIALS, Deployment, SlowProvider, body_of
from tests.support.events import json_event
from tests.support.provider import Step, answer, tokens
from tests.support.tables import unavailable

SECRET = "CNRY-customer-secret-2b7d"
INPUTS = {"client_id": "customer-1", "client_secret": SECRET, "site_id": "99"}
PARAMETERS = {"tenant": "acme", "integration": "metrics", "name": "default"}
MINTED = tokens(refresh_token=None, hub_id=None)


def put(deployment: Deployment, body: object = None, **parameters: str) -> Response:
    return deployment.manage(
        json_event(PUT_CREDENTIALS, PARAMETERS | parameters, {"inputs": INPUTS} if body is None else body)
    )


def test_credentials_that_mint_a_token_are_stored_as_the_grant(deployment: Deployment) -> None:
    deployment.provider.then(MINTED)
    response = put(deployment, {"inputs": INPUTS, "label": "Shop", "description": "The shop's\nnumbers"})
    assert response["statusCode"] == 200
    shown = body_of(response)["connection"]
    assert (shown["status"], shown["label"], shown["description"]) == ("active", "Shop", "The shop's\nnumbers")
    assert shown["metadata"] == {"site_id": "99"}
    assert "CNRY-" not in response["body"]
    connection = deployment.connection("metrics")
    assert connection is not None
    payload = deployment.envelopes.open(connection.grant, connection.key.encryption_context(Field.GRANT))
    assert {name: secret.reveal() for name, secret in grant_secrets(payload).items()} == INPUTS
    assert (connection.client_id, connection.grant_type) == ("customer-1", "client_credentials")
    sent = deployment.provider.forms[0]
    assert sent == {"grant_type": "client_credentials", "client_id": "customer-1", "client_secret": SECRET}


def test_an_optional_input_may_be_left_out(deployment: Deployment) -> None:
    deployment.provider.then(MINTED, MINTED, MINTED)
    required = {name: INPUTS[name] for name in ("client_id", "client_secret")}
    for inputs in (required, required | {"site_id": ""}, required | {"site_id": None}):
        response = put(deployment, {"inputs": inputs})
        assert body_of(response)["connection"]["metadata"] == {}


def test_the_space_around_a_pasted_input_is_not_part_of_it(deployment: Deployment) -> None:
    deployment.provider.then(MINTED)
    put(deployment, {"inputs": {**INPUTS, "client_secret": f"  {SECRET} "}})
    assert deployment.provider.forms[0]["client_secret"] == SECRET


@pytest.mark.parametrize(
    ("step", "status", "code"),
    [
        (answer(401, {"error": "invalid_client"}), 400, "credential_rejected"),
        (answer(401, b"<html>CNRY-no</html>"), 400, "credential_rejected"),
        (answer(400, {"error": "invalid_grant"}), 400, "credential_rejected"),
        (answer(500, b""), 502, "provider_trouble"),
        (answer(200, b"<html>"), 502, "provider_trouble"),
        (NotDelivered("NewConnectionError"), 502, "provider_silent"),
        (Undetermined("deadline"), 502, "provider_silent"),
    ],
)
def test_credentials_that_mint_nothing_are_not_stored(
    deployment: Deployment, step: Step, status: int, code: str
) -> None:
    deployment.provider.then(step)
    response = put(deployment)
    assert (response["statusCode"], body_of(response)["code"]) == (status, code)
    assert "CNRY-" not in response["body"]
    assert deployment.connection("metrics") is None


def test_rejected_credentials_leave_working_ones_alone(deployment: Deployment) -> None:
    deployment.provider.then(MINTED, answer(401, {"error": "invalid_client"}))
    put(deployment)
    before = deployment.connection("metrics")
    assert put(deployment, {"inputs": {**INPUTS, "client_secret": "wrong"}})["statusCode"] == 400
    assert deployment.connection("metrics") == before


def test_new_credentials_replace_old_ones_and_keep_the_label(deployment: Deployment) -> None:
    deployment.provider.then(MINTED, MINTED)
    put(deployment, {"inputs": INPUTS, "label": "Shop"})
    shown = body_of(put(deployment, {"inputs": {**INPUTS, "client_id": "customer-2"}}))["connection"]
    assert (shown["generation"], shown["label"]) == (2, "Shop")
    connection = deployment.connection("metrics")
    assert connection is not None
    assert connection.client_id == "customer-2"


WRONG: list[tuple[Any, str]] = [
    ({}, "inputs"),
    ({"inputs": []}, "inputs"),
    ({"inputs": INPUTS, "labels": "x"}, "label"),
    ({"inputs": {**INPUTS, "password": "x"}}, "'password'"),
    ({"inputs": {}}, "client_id"),
    ({"inputs": {"client_id": "x"}}, "client_secret"),
    ({"inputs": {**INPUTS, "client_id": 7}}, "client_id"),
    ({"inputs": {**INPUTS, "client_id": ["x"]}}, "client_id"),
    ({"inputs": {**INPUTS, "client_id": {}}}, "client_id"),
    ({"inputs": {**INPUTS, "client_id": "x" * 41}}, "client_id"),
    ({"inputs": {**INPUTS, "client_secret": "a\r\nb"}}, "client_secret"),
    ({"inputs": {**INPUTS, "client_secret": "   "}}, "client_secret"),
    ({"inputs": {**INPUTS, "client_secret": "\ud800"}}, "client_secret"),
    ({"inputs": {**INPUTS, "site_id": ["1"]}}, "site_id"),
    ({"inputs": {**INPUTS, "site_id": "x" * 21}}, "site_id"),
    ({"inputs": INPUTS, "label": 7}, "label"),
    ({"inputs": INPUTS, "label": None}, "label"),
    ({"inputs": INPUTS, "label": "\x1b[31m"}, "label"),
    ({"inputs": INPUTS, "description": "x" * 501}, "description"),
    ({"inputs": INPUTS, "description": "\ud800"}, "description"),
]


@pytest.mark.parametrize(("body", "named"), WRONG)
def test_a_wrong_input_is_named_and_costs_no_request(deployment: Deployment, body: object, named: str) -> None:
    response = put(deployment, body)
    assert response["statusCode"] == 400
    assert named in body_of(response)["detail"]
    assert SECRET not in response["body"]
    assert deployment.provider.requests == []


def test_an_unknown_integration_is_not_found(deployment: Deployment) -> None:
    response = put(deployment, integration="nothing")
    assert (response["statusCode"], body_of(response)["code"]) == (404, "unknown_integration")


def test_an_integration_with_a_consent_page_takes_no_credentials(deployment: Deployment) -> None:
    response = put(deployment, integration="crm")
    assert (response["statusCode"], body_of(response)["code"]) == (400, "needs_consent")
    assert "create a session" in body_of(response)["detail"]


def test_a_table_that_is_away_is_found_out_before_the_provider_is_asked(deployment: Deployment) -> None:
    def fail(operation: str) -> None:
        if operation == "get_item":
            raise unavailable(operation)

    deployment.ports.before = fail
    assert put(deployment)["statusCode"] == 503
    assert deployment.provider.requests == []


def test_too_little_time_is_found_out_before_the_provider_is_asked(deployment: Deployment) -> None:
    deployment.invocation_seconds = 22.9
    response = put(deployment)
    assert (response["statusCode"], body_of(response)["code"]) == (503, "no_time_left")
    assert deployment.provider.requests == []
    deployment.invocation_seconds = 23.0
    deployment.provider.then(MINTED)
    assert put(deployment)["statusCode"] == 200


def test_a_lifetime_counts_from_when_the_token_was_asked_for(deployment: Deployment) -> None:
    asked_at = deployment.clock.now()
    deployment.provider = SlowProvider(deployment.clock, 9)
    deployment.provider.then(MINTED)
    put(deployment)
    connection = deployment.connection("metrics")
    assert connection is not None
    assert (connection.refreshed_at, connection.expires_at) == (asked_at, asked_at + 1800)


def test_each_name_is_a_connection_of_its_own(deployment: Deployment) -> None:
    deployment.provider.then(MINTED, MINTED)
    put(deployment)
    put(deployment, name="second")
    assert deployment.connections.read(ConnectionKey("acme", "metrics", "second")) is not None
    assert len(deployment.connections.of_tenant("acme")) == 2
