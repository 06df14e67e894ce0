"""Lists by pages: a tenant's connections, and those of all tenants that need their customers."""

import base64
from urllib.parse import urlencode

import pytest

from consentry.aws.dynamodb import Update, apply, to_item
from consentry.model import Status
from consentry.web.response import Response
from tests.support.deployment import Browser, Deployment, body_of, query_of
from tests.support.events import event
from tests.support.logs import Log
from tests.support.provider import tokens

OF_TENANT = "GET /tenants/{tenant}/connections"
FLAGGED = "GET /connections"


def connect(deployment: Deployment, name: str, tenant: str = "acme") -> None:
    deployment.provider.then(tokens())
    begun = deployment.create_session(
        tenant, {"user_ref": "u-1", "integrations": ["crm"], "return_url": "https://app.test/connected", "name": name}
    )
    created = {"authorize_urls": {"crm": f"{deployment.base_url}/authorize/crm?{urlencode({'session': begun.ticket})}"}}
    assert deployment.completed(query_of(Browser(deployment).consents(created)), tenant=tenant)["statusCode"] == 200


def flag(deployment: Deployment, tenant: str, name: str, *, since: int, label: object = "") -> None:
    """The engine finds that the grant has ended."""
    ended = {"status": Status.REAUTH_REQUIRED.value, "status_cause": "grant_revoked", "label": label}
    update = Update().set({**ended, "attention": Status.REAUTH_REQUIRED.value, "attention_since": since})
    request = update.require(update.equal("gen", 1)).request(
        deployment.names["ConnectionsTable"], {"tenant": tenant, "connection": f"crm#{name}"}
    )
    apply(deployment.dynamo.client.update_item, request, "end the grant")


def ask(deployment: Deployment, route: str, tenant: str = "", **query: str) -> Response:
    parameters = {"tenant": tenant} if tenant else {}
    return deployment.manage(event(route, parameters=parameters, query=urlencode(query)))


def test_a_tenants_connections_come_by_pages_each_once(deployment: Deployment) -> None:
    for name in ("a", "b", "c"):
        connect(deployment, name)
    seen, place = [], ""
    while True:
        page = body_of(ask(deployment, OF_TENANT, "acme", limit="2", next=place))
        seen += [each["name"] for each in page["connections"]]
        place = page["next"]
        if not place:
            break
    assert seen == ["a", "b", "c"]


def test_a_page_of_a_tenants_connections_shows_all_but_tokens(deployment: Deployment) -> None:
    connect(deployment, "a")
    response = ask(deployment, OF_TENANT, "acme")
    (shown,) = body_of(response)["connections"]
    one = deployment.manage(
        event(
            "GET /tenants/{tenant}/connections/{integration}/{name}",
            parameters={"tenant": "acme", "integration": "crm", "name": "a"},
        )
    )
    assert shown == body_of(one)
    assert body_of(response)["next"] is None
    assert "CNRY-" not in response["body"]


def test_those_who_must_connect_again_are_listed_across_tenants_the_longest_first(deployment: Deployment) -> None:
    for tenant, since in (("acme", 300), ("globex", 100), ("initech", 200)):
        connect(deployment, "default", tenant)
        flag(deployment, tenant, "default", since=since)
    connect(deployment, "well")
    found = body_of(ask(deployment, FLAGGED, status="reauth_required"))
    assert [each["tenant"] for each in found["connections"]] == ["globex", "initech", "acme"]
    assert found["next"] is None
    assert found["connections"][0] == {
        "tenant": "globex", "integration": "crm", "name": "default", "provider": "crm", "status": "reauth_required",
        "cause": "grant_revoked", "label": "", "attention_since": 100,
    }  # fmt: skip
    assert body_of(ask(deployment, FLAGGED, status="scope_insufficient"))["connections"] == []


def test_the_list_across_tenants_goes_on_where_the_page_before_ended(deployment: Deployment) -> None:
    for number in range(3):
        connect(deployment, f"n{number}")
        flag(deployment, "acme", f"n{number}", since=100)
    seen, place = [], ""
    while True:
        page = body_of(ask(deployment, FLAGGED, status="reauth_required", limit="1", next=place))
        seen += [each["name"] for each in page["connections"]]
        place = page["next"]
        if not place:
            break
    assert sorted(seen) == ["n0", "n1", "n2"]


@pytest.mark.parametrize("label", [7, "fine"])
def test_a_row_that_cannot_be_read_is_logged_and_hides_no_other(
    deployment: Deployment, log_lines: Log, label: object
) -> None:
    connect(deployment, "good")
    connect(deployment, "bad")
    flag(deployment, "acme", "good", since=1)
    flag(deployment, "acme", "bad", since=2, label=label)
    if label == "fine":
        row = {"tenant": "acme", "connection": "no-name", "attention": "reauth_required", "attention_since": 2}
        deployment.dynamo.client.put_item(TableName=deployment.names["ConnectionsTable"], Item=to_item(row))
        flagged = ["good", "bad"]
    else:
        flagged = ["good"]
    found = body_of(ask(deployment, FLAGGED, status="reauth_required"))["connections"]
    assert [each["name"] for each in found] == flagged
    assert any("not readable" in line["message"] for line in log_lines.lines)


@pytest.mark.parametrize("status", ["", "active", "deleting", "REAUTH_REQUIRED"])
def test_only_statuses_that_need_somebody_are_listed_across_tenants(deployment: Deployment, status: str) -> None:
    response = ask(deployment, FLAGGED, status=status)
    assert (response["statusCode"], body_of(response)["code"]) == (400, "invalid_parameter")


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1e2", "٣", "1000000000000"])
def test_a_limit_is_a_number_from_one_to_a_hundred(deployment: Deployment, limit: str) -> None:
    response = ask(deployment, OF_TENANT, "acme", limit=limit)
    assert (response["statusCode"], body_of(response)["code"]) == (400, "invalid_parameter")


def token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "place",
    [
        "x",
        token("acme/crm#a"),
        token("reauth_required/{"),
        token("reauth_required/[1, 2, 3]"),
        token('reauth_required/["acme", "crm#a"]'),
        token('reauth_required/["", "crm#a", 1]'),
        token('reauth_required/["acme", "crm#a", true]'),
        token('reauth_required/["acme", "crm#a", 1' + "0" * 40 + "]"),
        token("reauth_required/" + "[" * 1000),
    ],
)
def test_a_place_that_no_page_said_is_refused(deployment: Deployment, place: str) -> None:
    response = ask(deployment, FLAGGED, status="reauth_required", next=place)
    assert (response["statusCode"], body_of(response)["code"]) == (400, "invalid_next")
