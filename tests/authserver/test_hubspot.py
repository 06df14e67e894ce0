import re
from typing import Any

import pytest

from tests.authserver.driver import TOKEN_PATHS, Driver

OAUTH = "/api.hubapi.com/oauth/2026-03/token"
TICKETS = "/api.hubapi.com/crm/v3/objects/tickets"
UNINSTALL = "/api.hubapi.com/appinstalls/2026-03/external-install"


@pytest.fixture
def hubspot(servers: Driver) -> Driver:
    servers.register("hubspot")
    return servers


def connect(hubspot: Driver, account: str = "acme", scope: str = "oauth tickets") -> dict[str, Any]:
    return hubspot.connect("hubspot", account, scope=scope)


def test_the_answer_says_whose_hub_it_is_and_lists_scopes_as_an_array(hubspot: Driver) -> None:
    granted = connect(hubspot, "globex")
    assert granted["hub_id"] == 62516
    assert isinstance(granted["user_id"], int)
    assert granted["scopes"] == ["oauth", "tickets"]
    assert granted["token_use"] == "access_token"
    assert granted["expires_in"] == 1800
    assert "scope" not in granted
    assert len(granted["access_token"]) > 300


def test_a_refresh_answers_in_the_same_shape(hubspot: Driver) -> None:
    first = connect(hubspot)
    second = hubspot.refresh(first["refresh_token"], "hubspot").json()
    assert set(second) == set(first)
    assert second["hub_id"] == 62515


def test_a_json_body_is_refused(hubspot: Driver) -> None:
    fields = {"grant_type": "refresh_token", "client_id": "app", "client_secret": hubspot.client_secret}
    answer = hubspot.post(TOKEN_PATHS["hubspot"], json=fields)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_secret_in_the_query_is_refused(hubspot: Driver) -> None:
    path = f"{TOKEN_PATHS['hubspot']}?client_secret={hubspot.client_secret}"
    answer = hubspot.post(path, {"grant_type": "refresh_token", "client_id": "app", "refresh_token": "x"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_http_basic_is_refused(hubspot: Driver) -> None:
    fields = {"grant_type": "refresh_token", "refresh_token": "x"}
    answer = hubspot.post(TOKEN_PATHS["hubspot"], fields, headers=hubspot.basic())
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("fields", "error", "status"),
    [
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant", "BAD_REFRESH_TOKEN"),
        (
            {"grant_type": "authorization_code", "code": "x", "redirect_uri": "http://x.test"},
            "invalid_grant",
            "BAD_AUTH_CODE",
        ),
        ({"grant_type": "refresh_token", "client_id": "nobody"}, "invalid_client", "BAD_CLIENT_ID"),
        ({"grant_type": "refresh_token", "client_secret": "wrong"}, "invalid_client", "BAD_CLIENT_SECRET"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type", "BAD_GRANT_TYPE"),
    ],
)
def test_errors_carry_the_old_and_the_new_fields(
    hubspot: Driver, fields: dict[str, str | None], error: str, status: str
) -> None:
    answer = hubspot.token("hubspot", **fields)
    body = answer.json()
    assert answer.status_code == 400
    assert (body["error"], body["status"]) == (error, status)
    assert body["error_description"] == body["message"]


def test_a_wrong_redirect_uri_has_a_status_of_its_own(hubspot: Driver) -> None:
    code = hubspot.code("hubspot", scope="oauth")
    body = hubspot.exchange(code, "hubspot", redirect_uri="http://x.test").json()
    assert (body["error"], body["status"]) == ("invalid_grant", "MISMATCH_REDIRECT_URI_AUTH_CODE")


def test_tickets_come_ten_at_a_time_and_the_last_page_has_no_paging(hubspot: Driver) -> None:
    token = connect(hubspot)["access_token"]
    pages = [hubspot.get(TICKETS, token=token).json()]
    while "paging" in pages[-1]:
        pages.append(hubspot.get(TICKETS, token=token, query={"after": pages[-1]["paging"]["next"]["after"]}).json())
    identifiers = [ticket["id"] for page in pages for ticket in page["results"]]
    assert [len(page["results"]) for page in pages] == [10, 10, 7]
    assert len(set(identifiers)) == 27
    first = pages[0]["results"][0]
    assert {"subject", "hs_pipeline_stage", "createdate"} <= set(first["properties"])
    assert first["createdAt"].endswith("Z")


def test_the_link_of_a_page_leads_to_the_next_one(hubspot: Driver) -> None:
    token = connect(hubspot)["access_token"]
    page = hubspot.get(TICKETS, token=token, query={"limit": "20", "properties": "subject"}).json()
    link = page["paging"]["next"]["link"]
    following = hubspot.get(link.removeprefix(hubspot.base_url), token=token).json()
    assert len(following["results"]) == 7
    assert "content" not in following["results"][0]["properties"]


def test_each_hub_has_tickets_of_its_own(hubspot: Driver) -> None:
    acme, globex = (connect(hubspot, account)["access_token"] for account in ("acme", "globex"))
    ids = [{row["id"] for row in hubspot.get(TICKETS, token=t).json()["results"]} for t in (acme, globex)]
    assert not ids[0] & ids[1]


@pytest.mark.parametrize("limit", ["0", "101", "ten", "-1"])
def test_a_limit_outside_1_to_100_is_refused(hubspot: Driver, limit: str) -> None:
    answer = hubspot.get(TICKETS, token=connect(hubspot)["access_token"], query={"limit": limit})
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")


def test_without_the_scope_tickets_it_is_a_403(hubspot: Driver) -> None:
    answer = hubspot.get(TICKETS, token=connect(hubspot, scope="oauth")["access_token"])
    assert (answer.status_code, answer.json()["category"]) == (403, "MISSING_SCOPES")


def test_an_expired_token_is_told_since_when(hubspot: Driver) -> None:
    token = connect(hubspot)["access_token"]
    hubspot.clock.advance(1800 + 42)
    answer = hubspot.get(TICKETS, token=token)
    assert answer.status_code == 401
    assert answer.json()["category"] == "EXPIRED_AUTHENTICATION"
    assert answer.json()["message"] == "The OAuth token used to make this call expired 42 second(s) ago."
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.json()["correlationId"])


def test_an_unknown_or_missing_token_is_a_401_too(hubspot: Driver) -> None:
    assert hubspot.get(TICKETS, token="unknown").json()["category"] == "EXPIRED_AUTHENTICATION"
    assert hubspot.get(TICKETS).status_code == 401


def test_a_token_of_another_system_is_worth_nothing_here(hubspot: Driver) -> None:
    assert hubspot.get(TICKETS, token=hubspot.connect()["access_token"]).status_code == 401


def test_a_rate_limit_names_its_policy(hubspot: Driver) -> None:
    token = connect(hubspot)["access_token"]
    hubspot.order("faults", endpoint="api", system="hubspot", kind="status", status=429, policy_name="DAILY")
    answer = hubspot.get(TICKETS, token=token)
    assert answer.status_code == 429
    assert (answer.json()["errorType"], answer.json()["policyName"]) == ("RATE_LIMIT", "DAILY")
    assert hubspot.get(TICKETS, token=token).status_code == 200


def test_introspection_tells_whose_token_it_is_until_it_ends(hubspot: Driver) -> None:
    granted = connect(hubspot)
    secret = {"client_id": "app", "client_secret": hubspot.client_secret}
    access = hubspot.post(f"{OAUTH}/introspect", secret | {"token": granted["access_token"]}).json()
    refresh = hubspot.post(f"{OAUTH}/introspect", secret | {"token": granted["refresh_token"]}).json()
    assert (access["active"], access["hub_id"], access["token_use"]) == (True, 62515, "access_token")
    assert (refresh["active"], refresh["token_use"]) == (True, "refresh_token")
    assert "expires_in" in access
    assert "expires_in" not in refresh
    hubspot.clock.advance(1800)
    assert hubspot.post(f"{OAUTH}/introspect", secret | {"token": granted["access_token"]}).json() == {"active": False}


def test_introspection_and_revocation_need_the_client_secret(hubspot: Driver) -> None:
    for path in ("introspect", "revoke"):
        answer = hubspot.post(f"{OAUTH}/{path}", {"client_id": "app", "client_secret": "wrong", "token": "x"})
        assert (answer.status_code, answer.json()["status"]) == (400, "BAD_CLIENT_SECRET")


def test_revoking_the_refresh_token_leaves_the_access_token_until_it_expires(hubspot: Driver) -> None:
    granted = connect(hubspot)
    fields = {"client_id": "app", "client_secret": hubspot.client_secret, "token": granted["refresh_token"]}
    assert hubspot.post(f"{OAUTH}/revoke", fields).status_code == 204
    assert hubspot.refresh(granted["refresh_token"], "hubspot").json()["status"] == "BAD_REFRESH_TOKEN"
    assert hubspot.get(TICKETS, token=granted["access_token"]).status_code == 200
    assert hubspot.stats()["live_grants"] == 0


def test_uninstalling_ends_every_grant_of_the_client_in_that_hub(hubspot: Driver) -> None:
    one, two, elsewhere = connect(hubspot), connect(hubspot), connect(hubspot, "globex")
    answer = hubspot.delete(UNINSTALL, token=one["access_token"])
    assert answer.status_code == 204
    assert hubspot.get(TICKETS, token=one["access_token"]).status_code == 401
    assert hubspot.refresh(two["refresh_token"], "hubspot").json()["status"] == "BAD_REFRESH_TOKEN"
    assert hubspot.refresh(elsewhere["refresh_token"], "hubspot").status_code == 200


def test_uninstalling_needs_the_scope_oauth(hubspot: Driver) -> None:
    token = connect(hubspot, scope="tickets")["access_token"]
    assert hubspot.delete(UNINSTALL, token=token).status_code == 403
