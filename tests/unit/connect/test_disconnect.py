"""Disconnecting by the signed API: one connection, or a whole tenant; and what is told meanwhile."""

from base64 import urlsafe_b64encode
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from consentry.aws.dynamodb import from_item, to_item
from consentry.model import ConnectionKey, Status
from consentry.web.response import Response
from tests.support.catalogue import CRM, FakeCatalogue
from tests.support.deployment import PUT_CREDENTIALS, Browser, Deployment, body_of, query_of
from tests.support.dynamo import MemoryDynamo
from tests.support.events import event, json_event
from tests.support.logs import Log
from tests.support.provider import tokens
from tests.support.tables import create_tables, items

ONE = "/tenants/{tenant}/connections/{integration}/{name}"
REMOVE = f"DELETE {ONE}"
REMOVE_TENANT = "DELETE /tenants/{tenant}"
LIST = "GET /tenants/{tenant}/connections"
PARAMETERS = {"tenant": "acme", "integration": "crm", "name": "default"}
CREDENTIALS = {"inputs": {"client_id": "me", "client_secret": "CNRY-mine"}}


@pytest.fixture
def deployment(log_lines: Log) -> Deployment:
    """In memory, and with an integration of each kind."""
    client = MemoryDynamo().as_client
    names = create_tables(client)
    for integration, provider in (("crm", "crm"), ("metrics", "metrics")):
        row = {"integration": integration, "provider": provider, "client_id": "crm-client"}
        client.put_item(TableName=names["IntegrationsTable"], Item=to_item(row))
    return Deployment(client, names, FakeCatalogue())


def connect(deployment: Deployment, **session: Any) -> Response:  # noqa: ANN401 - what a session may be asked for
    deployment.provider.then(tokens())
    return deployment.completed(query_of(Browser(deployment).consents(deployment.created(**session))))


def ask(deployment: Deployment, route: str, query: str = "", **parameters: str) -> Response:
    return deployment.manage(event(route, parameters=PARAMETERS | parameters, query=query))


def code_of(response: Response) -> tuple[int, str]:
    return response["statusCode"], body_of(response).get("code", "")


def put(deployment: Deployment, **attributes: object) -> None:
    deployment.dynamo.client.put_item(TableName=deployment.names["ConnectionsTable"], Item=to_item(attributes))


def rows(deployment: Deployment) -> dict[str, dict[str, Any]]:
    found = map(from_item, items(deployment.dynamo.client, deployment.names["ConnectionsTable"]))
    return {f"{each['tenant']}/{each['connection']}": each for each in found}


def test_a_connection_is_disconnected_and_doing_it_again_changes_nothing(
    deployment: Deployment, log_lines: Log
) -> None:
    connect(deployment)
    for _ in range(2):
        response = ask(deployment, REMOVE)
        assert (response["statusCode"], body_of(response)) == (202, {"status": "deleting"})
        deployment.clock.advance(10)
    assert rows(deployment)["acme/crm#default"]["deleting_since"] == deployment.clock.now() - 20
    assert log_lines.named("disconnected")[0]["connection"] == "crm#default"


def test_what_is_not_there_cannot_be_disconnected(deployment: Deployment) -> None:
    assert code_of(ask(deployment, REMOVE)) == (404, "not_connected")
    assert code_of(ask(deployment, REMOVE, "uninstall=true")) == (404, "not_connected")


def test_nobody_gets_a_token_any_more_and_the_end_can_be_watched(deployment: Deployment) -> None:
    connect(deployment)
    ask(deployment, REMOVE)
    assert code_of(ask(deployment, f"GET {ONE}/token")) == (404, "not_connected")
    refresh = json_event(f"POST {ONE}/refresh", PARAMETERS, {"rejected_generation": 1})
    assert code_of(deployment.manage(refresh)) == (404, "not_connected")
    assert [each["status"] for each in body_of(ask(deployment, LIST))["connections"]] == ["deleting"]
    assert body_of(ask(deployment, f"GET {ONE}"))["status"] == "deleting"


@pytest.mark.parametrize("query", ["uninstall=yes", "uninstall=1", "uninstall=TRUE"])
def test_a_wish_that_is_not_understood_disconnects_nothing(deployment: Deployment, query: str) -> None:
    connect(deployment)
    assert code_of(ask(deployment, REMOVE, query)) == (400, "invalid_parameter")
    assert rows(deployment)["acme/crm#default"]["status"] == "active"


def test_uninstalling_is_refused_where_the_provider_has_no_way(deployment: Deployment) -> None:
    connect(deployment)
    response = ask(deployment, REMOVE, "uninstall=true")
    assert code_of(response) == (400, "cannot_uninstall")
    assert "Leave out uninstall" in body_of(response)["detail"]
    assert rows(deployment)["acme/crm#default"]["status"] == "active"


@pytest.mark.parametrize(("query", "removal"), [("uninstall=true", "uninstall"), ("uninstall=false", "revoke")])
def test_uninstalling_is_noted_where_it_was_asked_for(deployment: Deployment, query: str, removal: str) -> None:
    connect(deployment)
    deployment.catalogue._providers["crm"] = replace(CRM, uninstall_url="https://api.crm.test/app")
    assert ask(deployment, REMOVE, query)["statusCode"] == 202
    assert rows(deployment)["acme/crm#default"]["removal"] == removal


def test_a_row_of_another_version_is_not_touched(deployment: Deployment) -> None:
    put(deployment, tenant="acme", connection="crm#default", v=9)
    assert code_of(ask(deployment, REMOVE)) == (503, "unreadable_record")
    assert rows(deployment)["acme/crm#default"] == {"tenant": "acme", "connection": "crm#default", "v": 9}


def test_the_same_name_can_be_connected_again_only_when_it_is_gone(deployment: Deployment) -> None:
    connect(deployment)
    ask(deployment, REMOVE)
    response = connect(deployment)
    assert code_of(response) == (409, "deleting")
    assert response["headers"]["Retry-After"] == "120"
    assert len(deployment.provider.requests) == 1  # the code was not redeemed
    key = ConnectionKey("acme", "crm")
    put(deployment, **{**rows(deployment)["acme/crm#default"], "due_at": deployment.clock.now() + 600})
    assert connect(deployment)["headers"]["Retry-After"] == "720"
    deployment.dynamo.client.delete_item(
        TableName=deployment.names["ConnectionsTable"], Key=to_item({"tenant": "acme", "connection": "crm#default"})
    )
    deployment.provider.script.clear()
    assert connect(deployment)["statusCode"] == 200
    record = deployment.connections.read(key)
    assert record is not None
    assert (record.gen, record.status) == (1, Status.ACTIVE)


def test_credentials_for_what_is_being_removed_are_not_tried(deployment: Deployment) -> None:
    put_credentials = json_event(PUT_CREDENTIALS, PARAMETERS | {"integration": "metrics"}, CREDENTIALS)
    deployment.provider.then(tokens())
    assert deployment.manage(put_credentials)["statusCode"] == 200
    ask(deployment, REMOVE, integration="metrics")
    assert code_of(deployment.manage(put_credentials)) == (409, "deleting")
    assert len(deployment.provider.requests) == 1


# A whole tenant


def test_a_tenant_is_disconnected_whole_and_nobody_else(deployment: Deployment, log_lines: Log) -> None:
    for number in range(25):
        connect(deployment, name=f"n{number}")
    deployment.provider.then(tokens())
    body = {"user_ref": "u-1", "integrations": ["crm"], "return_url": "https://app.test/connected"}
    made = body_of(deployment.manage(json_event("POST /tenants/{tenant}/sessions", {"tenant": "globex"}, body)))
    deployment.completed(query_of(Browser(deployment).consents(made)), tenant="globex")
    for _ in range(2):
        response = ask(deployment, REMOVE_TENANT)
        assert (response["statusCode"], body_of(response)) == (202, {"deleting": 25, "skipped": 0, "next": None})
    statuses = {name.partition("/")[0]: row["status"] for name, row in rows(deployment).items()}
    assert statuses == {"acme": "deleting", "globex": "active"}
    assert log_lines.named("tenant disconnected")[0]["count"] == 25


def test_a_tenant_without_connections_has_none_to_disconnect(deployment: Deployment) -> None:
    assert body_of(ask(deployment, REMOVE_TENANT)) == {"deleting": 0, "skipped": 0, "next": None}


def test_rows_that_nobody_can_read_are_counted_and_stop_no_other(deployment: Deployment, log_lines: Log) -> None:
    put(deployment, tenant="acme", connection="crm#newer", v=9)
    put(deployment, tenant="acme", connection="no name at all", v=1)
    connect(deployment)
    assert body_of(ask(deployment, REMOVE_TENANT)) == {"deleting": 1, "skipped": 2, "next": None}
    assert {line["connection"] for line in log_lines.named("row not readable, passed over")} == {
        "crm#newer",
        "no name at all",
    }


def test_what_disappears_meanwhile_is_not_counted(deployment: Deployment) -> None:
    connect(deployment)

    def gone(operation: str) -> None:
        if operation == "update_item":
            key = to_item({"tenant": "acme", "connection": "crm#default"})
            deployment.dynamo.client.delete_item(TableName=deployment.names["ConnectionsTable"], Key=key)

    deployment.ports.before = gone
    assert body_of(ask(deployment, REMOVE_TENANT)) == {"deleting": 0, "skipped": 0, "next": None}


def test_when_time_runs_out_the_answer_says_where_to_go_on(deployment: Deployment) -> None:
    for number in range(15):
        connect(deployment, name=f"n{number:02}")
    deployment.invocation_seconds = 10.0
    first = body_of(ask(deployment, REMOVE_TENANT))
    assert (first["deleting"], first["skipped"]) == (10, 0)
    assert quote(first["next"], safe="") == first["next"]
    assert body_of(ask(deployment, REMOVE_TENANT, f"next={first['next']}")) == {
        "deleting": 5, "skipped": 0, "next": None,
    }  # fmt: skip


def test_a_row_with_the_longest_of_names_is_gone_past(deployment: Deployment) -> None:
    for number in range(10):
        put(deployment, tenant="acme", connection=f"{number}{'ü' * 511}", v=1)
    connect(deployment)
    deployment.invocation_seconds = 10.0
    first = body_of(ask(deployment, REMOVE_TENANT))
    assert (first["deleting"], first["skipped"]) == (0, 10)
    assert body_of(ask(deployment, REMOVE_TENANT, f"next={first['next']}"))["deleting"] == 1


@pytest.mark.parametrize(
    "token",
    ["crm%23default", "Y3Jt", "x", "%C3%BC", "_w", urlsafe_b64encode(b"globex/crm#n1").decode(), "YWNtZS8",
     urlsafe_b64encode(b"acme/" + b"x" * 1025).decode()],
    ids=["a name", "no tenant", "no base64", "no ASCII", "no UTF-8", "another tenant's", "no place", "too long"],
)  # fmt: skip
def test_a_place_that_no_answer_ever_named_is_refused_and_disconnects_nothing(
    deployment: Deployment, token: str
) -> None:
    connect(deployment)
    assert code_of(ask(deployment, REMOVE_TENANT, f"next={token}")) == (400, "invalid_next")
    assert rows(deployment)["acme/crm#default"]["status"] == "active"


def test_uninstalling_for_a_whole_tenant_is_refused_and_not_forgotten(deployment: Deployment) -> None:
    connect(deployment)
    assert code_of(ask(deployment, REMOVE_TENANT, "uninstall=true")) == (400, "invalid_parameter")
    assert rows(deployment)["acme/crm#default"]["status"] == "active"


def test_uninstalling_may_still_be_asked_for_after_the_disconnect(deployment: Deployment) -> None:
    connect(deployment)
    deployment.catalogue._providers["crm"] = replace(CRM, uninstall_url="https://api.crm.test/app")
    ask(deployment, REMOVE)
    assert ask(deployment, REMOVE, "uninstall=true")["statusCode"] == 202
    assert rows(deployment)["acme/crm#default"]["removal"] == "uninstall"


def test_what_is_gone_before_uninstalling_could_be_asked_for_is_not_connected(deployment: Deployment) -> None:
    connect(deployment)
    deployment.catalogue._providers["crm"] = replace(CRM, uninstall_url="https://api.crm.test/app")
    ask(deployment, REMOVE)
    writes: list[str] = []

    def gone(operation: str) -> None:
        writes.append(operation)
        if writes.count("update_item") > 1:
            key = to_item({"tenant": "acme", "connection": "crm#default"})
            deployment.dynamo.client.delete_item(TableName=deployment.names["ConnectionsTable"], Key=key)

    deployment.ports.before = gone
    assert code_of(ask(deployment, REMOVE, "uninstall=true")) == (404, "not_connected")
