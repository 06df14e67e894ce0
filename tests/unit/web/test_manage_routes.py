"""The management API's reading routes, and the forced refresh."""

from dataclasses import replace
from typing import Any

import pytest

from consentry.aws.dynamodb import Update, apply, to_item
from consentry.model import ConnectionKey, Status
from consentry.ports import Commit
from consentry.web.response import Response
from tests.support.deployment import Browser, Deployment, body_of, query_of
from tests.support.events import json_event
from tests.support.provider import TOKEN_ANSWER, tokens
from tests.support.tables import unavailable

ONE = "GET /tenants/{tenant}/connections/{integration}/{name}"
TOKEN = f"{ONE}/token"
REFRESH = "POST /tenants/{tenant}/connections/{integration}/{name}/refresh"
LIST = "GET /tenants/{tenant}/connections"
KEY = ConnectionKey("acme", "crm")
PARAMETERS = {"tenant": "acme", "integration": "crm", "name": "default"}


def connect(deployment: Deployment, answer: dict[str, Any] | None = None, **session: object) -> None:
    deployment.provider.then(tokens(**(answer or {})))
    returned = query_of(Browser(deployment).consents(deployment.created(**session)))
    assert deployment.completed(returned)["statusCode"] == 200


def ask(deployment: Deployment, route: str, body: object = None, **parameters: str) -> Response:
    return deployment.manage(json_event(route, PARAMETERS | parameters, body))


def reauth(deployment: Deployment) -> None:
    """The engine finds that the grant has ended."""
    update = Update().set({"status": Status.REAUTH_REQUIRED.value, "status_cause": "grant_revoked"})
    update.require(update.equal("gen", 1))
    key = {"tenant": KEY.tenant, "connection": KEY.sort_key}
    request = update.request(deployment.names["ConnectionsTable"], key)
    apply(deployment.dynamo.client.update_item, request, "end the grant")


def commit_next(deployment: Deployment, gen: int = 1) -> None:
    commit = Commit(
        key=KEY,
        expected_gen=gen,
        expected_epoch=1,
        epoch=1,
        commit_id=f"c{gen}",
        status=Status.ACTIVE,
        set_attributes={"refreshed_at": deployment.clock.now()},
    )
    deployment.connections.commit(commit)


def test_a_connection_is_shown_with_the_fields_of_the_contract_and_no_token(deployment: Deployment) -> None:
    connect(deployment)
    response = ask(deployment, ONE)
    assert set(body_of(response)) == {
        "tenant", "integration", "name", "provider", "status", "cause", "account", "scopes", "lost_scopes",
        "scopes_reduced_at", "metadata", "label", "description", "generation", "expires_at", "grant_expires_at",
        "refreshed_at", "created_at",
    }  # fmt: skip
    assert "CNRY-" not in response["body"]
    assert "CNRY-" not in ask(deployment, LIST)["body"]


def test_a_list_says_of_a_connection_what_is_said_of_it_alone(deployment: Deployment) -> None:
    connect(deployment)
    update = Update().set({"lost_scopes": ["deals"], "scopes_reduced_at": 7})
    row = {"tenant": "acme", "connection": "crm#default"}
    request = update.require(update.equal("gen", 1)).request(deployment.names["ConnectionsTable"], row)
    apply(deployment.dynamo.client.update_item, request, "lose a scope")
    one = body_of(ask(deployment, ONE))
    assert (one["lost_scopes"], one["scopes_reduced_at"]) == (["deals"], 7)
    assert body_of(ask(deployment, LIST))["connections"] == [one]


def test_connections_are_listed_for_their_tenant_alone(deployment: Deployment) -> None:
    connect(deployment)
    connect(deployment, name="second")
    assert [each["name"] for each in body_of(ask(deployment, LIST))["connections"]] == ["default", "second"]
    assert body_of(ask(deployment, LIST, tenant="other"))["connections"] == []


@pytest.mark.parametrize(("route", "body"), [(ONE, None), (TOKEN, None), (REFRESH, {})])
@pytest.mark.parametrize("other", [{"tenant": "other"}, {"integration": "desk"}, {"name": "second"}])
def test_what_is_not_there_is_not_connected(
    deployment: Deployment, route: str, body: object, other: dict[str, str]
) -> None:
    connect(deployment)
    response = ask(deployment, route, body, **other)
    assert (response["statusCode"], body_of(response)["code"]) == (404, "not_connected")


@pytest.mark.parametrize("odd", ["", "..", "a#b", "a/b", "é", "x" * 64])
def test_an_odd_name_is_refused_without_a_call(deployment: Deployment, odd: str) -> None:
    deployment.dynamo.calls.clear()
    assert body_of(ask(deployment, ONE, name=odd))["code"] == "invalid_identifier"
    assert deployment.dynamo.calls == []


def test_a_token_is_read_with_what_a_caller_needs(deployment: Deployment) -> None:
    connect(deployment, {"scope": "contacts"})
    assert body_of(ask(deployment, TOKEN)) == {
        "access_token": TOKEN_ANSWER["access_token"],
        "token_type": "Bearer",
        "expires_at": deployment.clock.now() + 1800,
        "generation": 1,
        "scopes": ["contacts"],
        "metadata": {"hub_id": 4711},
    }
    assert deployment.envelopes.opened[-1] == "access_token"


def test_a_token_is_served_until_a_minute_before_its_end(deployment: Deployment) -> None:
    connect(deployment)
    deployment.clock.advance(1739)
    assert ask(deployment, TOKEN)["statusCode"] == 200
    deployment.clock.advance(1)
    response = ask(deployment, TOKEN)
    assert (response["statusCode"], body_of(response)["code"]) == (503, "token_unavailable")
    assert int(response["headers"]["Retry-After"]) > 0


def test_a_grant_that_ended_is_said_with_its_cause_once_the_token_is_over(deployment: Deployment) -> None:
    connect(deployment)
    reauth(deployment)
    assert ask(deployment, TOKEN)["statusCode"] == 200
    deployment.clock.advance(1800)
    response = ask(deployment, TOKEN)
    assert (response["statusCode"], body_of(response)["code"]) == (409, "reauth_required")
    assert "grant_revoked" in body_of(response)["detail"]


def test_a_connection_without_all_scopes_is_not_said_to_be_on_its_way(deployment: Deployment) -> None:
    connect(deployment, {"scope": "other"})
    assert ask(deployment, TOKEN)["statusCode"] == 200
    deployment.clock.advance(1800)
    response = ask(deployment, TOKEN)
    assert (response["statusCode"], body_of(response)["code"]) == (409, "reauth_required")
    assert "scope_missing" in body_of(response)["detail"]
    assert ask(deployment, REFRESH, {"rejected_generation": 1})["statusCode"] == 409
    assert deployment.refresh_requests.asked == []


def test_a_forced_refresh_asks_the_engine_and_waits_for_the_next_generation(deployment: Deployment) -> None:
    connect(deployment)
    deployment.refresh_requests.then = lambda _key, _gen: commit_next(deployment)
    response = ask(deployment, REFRESH, {"rejected_generation": 1})
    assert (response["statusCode"], body_of(response)) == (200, {"generation": 2, "outcome": "refreshed"})
    assert deployment.refresh_requests.asked == [(KEY, 1)]


def test_a_generation_that_has_passed_spends_nothing(deployment: Deployment) -> None:
    connect(deployment)
    commit_next(deployment)
    assert body_of(ask(deployment, REFRESH, {"rejected_generation": 1}))["generation"] == 2
    assert deployment.refresh_requests.asked == []


@pytest.mark.parametrize("rejected", [None, True, "1", 1.0, 0, -1, 2, 10**30])
def test_a_refresh_must_name_a_generation_that_there_was(deployment: Deployment, rejected: object) -> None:
    connect(deployment)
    response = ask(deployment, REFRESH, {} if rejected is None else {"rejected_generation": rejected})
    assert (response["statusCode"], body_of(response)["code"]) == (400, "invalid_generation")
    assert deployment.refresh_requests.asked == []


def test_a_refresh_that_takes_long_is_pending_after_twenty_seconds(deployment: Deployment) -> None:
    connect(deployment)
    start = deployment.clock.now()
    response = ask(deployment, REFRESH, {"rejected_generation": 1})
    assert (response["statusCode"], body_of(response)["outcome"]) == (202, "pending")
    assert response["headers"]["Retry-After"] == "5"
    assert deployment.clock.now() == start + 20


def test_a_grant_that_ends_meanwhile_ends_the_wait(deployment: Deployment) -> None:
    connect(deployment)
    deployment.refresh_requests.then = lambda _key, _gen: reauth(deployment)
    assert ask(deployment, REFRESH, {"rejected_generation": 1})["statusCode"] == 409


def test_integrations_are_listed_by_name_with_their_redirect_address(deployment: Deployment) -> None:
    found = body_of(deployment.manage(json_event("GET /integrations")))["integrations"]
    assert [each["integration"] for each in found] == ["crm", "crm2", "desk", "metrics"]
    desk = next(each for each in found if each["integration"] == "desk")
    assert (desk["name"], desk["provider"], desk["grant"]) == ("Help desk", "desk", "authorization_code")
    assert desk["redirect_uri"] == "https://vault.test/callback/desk"
    assert "client_secret" not in str(desk)


def test_an_integration_that_cannot_be_used_hides_no_other(deployment: Deployment) -> None:
    row = {"integration": "broken", "provider": "nothing"}
    deployment.dynamo.client.put_item(TableName=deployment.names["IntegrationsTable"], Item=to_item(row))
    response = deployment.manage(json_event("GET /integrations"))
    assert response["statusCode"] == 200
    assert len(body_of(response)["integrations"]) == 5


def test_a_registration_with_a_mistake_is_listed_with_what_is_wrong_and_nothing_to_offer(
    deployment: Deployment,
) -> None:
    row = {"integration": "mistaken", "provider": "crm", "scopes": "contacts"}
    deployment.dynamo.client.put_item(TableName=deployment.names["IntegrationsTable"], Item=to_item(row))
    found = body_of(deployment.manage(json_event("GET /integrations")))["integrations"]
    assert next(each for each in found if each["integration"] == "mistaken") == {
        "integration": "mistaken",
        "provider": "crm",
        "problem": "its attribute scopes must be a list (L) of strings (S)",
    }
    assert [each["integration"] for each in found if "problem" not in each] == ["crm", "crm2", "desk", "metrics"]


@pytest.mark.parametrize("route", [ONE, TOKEN, LIST])
def test_a_table_in_trouble_is_a_503_without_its_words(deployment: Deployment, route: str) -> None:
    connect(deployment)

    def fail(operation: str) -> None:
        raise unavailable(operation)

    deployment.ports.before = fail
    response = ask(deployment, route)
    assert response["statusCode"] == 503
    assert "CNRY-" not in response["body"]


def test_a_token_that_was_moved_from_another_row_does_not_open(deployment: Deployment) -> None:
    connect(deployment)
    connect(deployment, name="second")
    names, client = deployment.names["ConnectionsTable"], deployment.dynamo.client
    other = client.get_item(TableName=names, Key=to_item({"tenant": "acme", "connection": "crm#second"}))["Item"]
    moved = replace(KEY, tenant="evil")
    client.put_item(TableName=names, Item={**other, "tenant": {"S": moved.tenant}})
    response = ask(deployment, TOKEN, tenant="evil", name="second")
    assert (response["statusCode"], body_of(response)["code"]) == (503, "unreadable_record")
    assert "CNRY-" not in response["body"]
