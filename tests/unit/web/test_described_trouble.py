"""Trouble that every operation may meet: each says so by a code that the document lists for it."""

from typing import Any

import pytest

from tests.support.deployment import RETURN_URL, Deployment, body_of
from tests.support.events import event, json_event
from tests.support.openapi import operations, resolved
from tests.support.tables import unavailable

PATH = {"tenant": "acme", "integration": "crm", "name": "default", "session": "a" * 22}
BODIES: dict[str, dict[str, Any]] = {
    "createSession": {"user_ref": "u-1", "integrations": ["crm"], "return_url": RETURN_URL},
    "completeSession": {"handle": "crm.x", "user_ref": "u-1"},
    "storeCredentials": {"inputs": {}},
    "requestRefresh": {"rejected_generation": 1},
}
QUERIES = {"listFlagged": "status=reauth_required"}
NAMES = {route: each["operationId"] for route, each in operations()}
WITH_BODIES = [route for route, each in operations() if "requestBody" in each]
WITH_QUERIES = {
    route: [resolved(given)["name"] for given in each["parameters"]]
    for route, each in operations()
    if "parameters" in each
}


def asked(route: str) -> dict[str, Any]:
    name = NAMES[route]
    parameters = {each: value for each, value in PATH.items() if f"{{{each}}}" in route}
    return json_event(route, parameters, BODIES.get(name)) | {"rawQueryString": QUERIES.get(name, "")}


def code_of(deployment: Deployment, request: dict[str, Any]) -> str:
    """`manage` refuses an answer that is not in the document."""
    code = body_of(deployment.manage(request))["code"]
    assert isinstance(code, str)
    return code


@pytest.mark.parametrize("route", NAMES)
def test_a_table_that_is_away_is_said_by_a_documented_code(deployment: Deployment, route: str) -> None:
    def away(operation: str) -> None:
        raise unavailable(operation)

    deployment.ports.before = away
    assert code_of(deployment, asked(route)) in {"storage_unavailable", "table_unavailable"}


@pytest.mark.parametrize("route", NAMES)
def test_a_mistake_of_ours_is_said_by_a_documented_code(deployment: Deployment, route: str) -> None:
    def mistaken(operation: str) -> None:
        raise ZeroDivisionError(operation)

    deployment.ports.before = mistaken
    assert code_of(deployment, asked(route)) == "unforeseen"


@pytest.mark.parametrize("route", WITH_BODIES)
def test_a_body_that_is_too_large_is_said_by_a_documented_code(deployment: Deployment, route: str) -> None:
    assert code_of(deployment, asked(route) | {"body": "x" * 70_000}) == "body_too_large"


@pytest.mark.parametrize(("route", "name"), [(route, name) for route, names in WITH_QUERIES.items() for name in names])
def test_a_parameter_that_stands_twice_is_said_by_a_documented_code(
    deployment: Deployment, route: str, name: str
) -> None:
    before = "status=reauth_required&" if name != "status" else ""
    parameters = asked(route).get("pathParameters")
    request = event(route, parameters=parameters, query=f"{before}{name}=1&{name}=1")
    assert code_of(deployment, request) == "duplicate_parameter"


@pytest.mark.parametrize("route", [route for route in NAMES if "{tenant}" in route])
def test_a_tenant_that_is_no_identifier_is_said_by_a_documented_code(deployment: Deployment, route: str) -> None:
    request = asked(route)
    request["pathParameters"]["tenant"] = "-"
    assert code_of(deployment, request) == "invalid_identifier"
