"""Creating connect sessions: every field checked, every mistake named."""

from typing import Any

import pytest

from consentry.aws.dynamodb import to_item
from tests.support.deployment import CREATE, OTHER_RETURN_URL, RETURN_URL, Deployment, body_of
from tests.support.events import json_event
from tests.support.tables import items

GOOD: dict[str, Any] = {"user_ref": "u-1", "integrations": ["crm"], "return_url": RETURN_URL}

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"user_ref": None}, "user_ref"),
    ({"user_ref": ""}, "user_ref"),
    ({"user_ref": 7}, "user_ref"),
    ({"user_ref": "x" * 257}, "user_ref"),
    ({"user_ref": "a\nb"}, "user_ref"),
    ({"user_ref": "\ud800"}, "user_ref"),
    ({"integrations": None}, "integrations"),
    ({"integrations": []}, "integrations"),
    ({"integrations": "crm"}, "integrations"),
    ({"integrations": {"crm": 1}}, "integrations"),
    ({"integrations": ["crm", "crm"]}, "integrations"),
    ({"integrations": ["crm", 7]}, "integrations"),
    ({"integrations": [f"crm{n}" for n in range(21)]}, "integrations"),
    ({"integrations": ["c/rm"]}, "integrations"),
    ({"integrations": [".."]}, "integrations"),
    ({"name": ""}, "name"),
    ({"name": None}, "name"),
    ({"name": "a#b"}, "name"),
    ({"name": "x" * 64}, "name"),
    ({"scopes": "contacts"}, "scopes"),
    ({"scopes": [""]}, "scopes"),
    ({"scopes": ["contacts deals"]}, "one word"),
    ({"scopes": ['"quoted"']}, "one word"),
    ({"scopes": ["x" * 257]}, "one word"),
    ({"scopes": ["contacts"], "integrations": ["crm", "desk"]}, "one provider"),
    ({"scopes": [["contacts"]]}, "scopes"),
    ({"completion": ""}, "completion"),
    ({"completion": "CONFIRM"}, "completion"),
    ({"completion": None}, "completion"),
    ({"completion": ["direct"]}, "completion"),
    ({"allow_account_change": "yes"}, "allow_account_change"),
    ({"allow_account_change": 1}, "allow_account_change"),
    ({"language": "english"}, "language"),
    ({"language": "e1"}, "language"),
    ({"language": "EN"}, "language"),
    ({"language": None}, "language"),
    ({"language": "éé"}, "language"),
    ({"language": ["e", "n"]}, "language"),
    ({"tenant": "other"}, "tenant"),
    ({"return_url": 7}, "return_url"),
    ({"return_url": [RETURN_URL]}, "return_url"),
    ({"return_url": None}, "return_url"),
    ({"x" * 500: 1}, "unknown field"),
]

# S-09: whatever is not registered, character by character, is refused.
RETURN_URLS = [
    f"{RETURN_URL}/", f"{RETURN_URL}?", f"{RETURN_URL}#", f"{RETURN_URL}%20", f" {RETURN_URL}", f"{RETURN_URL}\n",
    RETURN_URL.upper(), RETURN_URL.replace("https", "http"), RETURN_URL.replace("app.test", "app.test:443"),
    RETURN_URL.replace("app.test", "app.test."), RETURN_URL.replace("app.test", "user@app.test"),
    RETURN_URL.replace("app.test", "app.test@evil.test"),
    RETURN_URL.replace("app.test", "\N{CYRILLIC SMALL LETTER A}pp.test"),
    RETURN_URL.replace("/connected", "/connected/.."), RETURN_URL.replace("/connected", "/%63onnected"),
    RETURN_URL.replace("//", "/\\"), "//app.test/connected", "/connected", "https:app.test/connected",
    "javascript:alert(1)", "data:text/html,x", "https://evil.test/", f"{RETURN_URL},{OTHER_RETURN_URL}",
]  # fmt: skip


@pytest.mark.parametrize(("changes", "named"), WRONG)
def test_a_wrong_field_is_refused_by_its_name(deployment: Deployment, changes: dict[str, Any], named: str) -> None:
    response = deployment.manage(json_event(CREATE, {"tenant": "acme"}, {**GOOD, **changes}))
    assert response["statusCode"] == 400
    assert named in body_of(response)["detail"]
    assert items(deployment.dynamo.client, deployment.names["PendingTable"]) == []


@pytest.mark.parametrize("url", RETURN_URLS)
def test_a_return_url_must_equal_a_registered_one(deployment: Deployment, url: str) -> None:
    response = deployment.manage(json_event(CREATE, {"tenant": "acme"}, {**GOOD, "return_url": url}))
    assert response["statusCode"] == 400
    assert "ReturnUrls" in body_of(response)["detail"]


@pytest.mark.parametrize("tenant", ["", "a b", "../acme", "a" * 64, "é"])
def test_a_tenant_must_be_an_identifier(deployment: Deployment, tenant: str) -> None:
    response = deployment.manage(json_event(CREATE, {"tenant": tenant}, GOOD))
    assert response["statusCode"] == 400
    assert body_of(response)["code"] == "invalid_identifier"


def test_an_unknown_integration_is_not_found(deployment: Deployment) -> None:
    response = deployment.manage(json_event(CREATE, {"tenant": "acme"}, {**GOOD, "integrations": ["nothing"]}))
    assert response["statusCode"] == 404
    assert body_of(response)["code"] == "unknown_integration"


def test_what_is_connected_by_credentials_is_offered_on_the_page_and_has_no_consent(deployment: Deployment) -> None:
    created = deployment.created(integrations=["crm", "metrics"])
    assert set(created["authorize_urls"]) == {"crm"}
    assert created["connect_url"].startswith("https://vault.test/connect?session=")


def test_credentials_alone_need_no_return_url_and_take_no_scopes(deployment: Deployment) -> None:
    wanted: dict[str, Any] = {"user_ref": "u-1", "integrations": ["metrics"]}
    created = deployment.manage(json_event(CREATE, {"tenant": "acme"}, wanted))
    assert (created["statusCode"], body_of(created)["authorize_urls"]) == (201, {})
    refused = deployment.manage(json_event(CREATE, {"tenant": "acme"}, {**wanted, "scopes": ["contacts"]}))
    assert refused["statusCode"] == 400
    assert "scopes are asked for by consent" in body_of(refused)["detail"]


def test_a_session_without_a_language_leaves_it_to_the_browser(deployment: Deployment) -> None:
    session = deployment.sessions.session(deployment.created()["session"])
    assert session is not None
    assert session.language == ""


def test_an_integration_without_a_client_id_is_the_operator_s_to_finish_and_opens_no_session(
    deployment: Deployment,
) -> None:
    row = {"integration": "begun", "provider": "crm"}
    deployment.dynamo.client.put_item(TableName=deployment.names["IntegrationsTable"], Item=to_item(row))
    response = deployment.manage(json_event(CREATE, {"tenant": "acme"}, {**GOOD, "integrations": ["begun"]}))
    assert (response["statusCode"], body_of(response)["code"]) == (503, "misconfigured")
    assert "'begun' has no client_id" in body_of(response)["detail"]
    assert items(deployment.dynamo.client, deployment.names["PendingTable"]) == []


def test_confirm_needs_a_return_url_and_direct_does_not(deployment: Deployment) -> None:
    wanted = {"user_ref": "u-1", "integrations": ["crm"]}
    refused = deployment.manage(json_event(CREATE, {"tenant": "acme"}, wanted))
    assert refused["statusCode"] == 400
    assert "return_url is needed" in body_of(refused)["detail"]
    created = deployment.manage(json_event(CREATE, {"tenant": "acme"}, {**wanted, "completion": "direct"}))
    assert created["statusCode"] == 201


def test_the_answer_has_an_address_for_each_integration_and_the_end_of_the_session(deployment: Deployment) -> None:
    created = deployment.created(integrations=["crm", "desk"])
    assert set(created["authorize_urls"]) == {"crm", "desk"}
    assert created["authorize_urls"]["desk"].startswith("https://vault.test/authorize/desk?session=")
    ticket = created["authorize_urls"]["crm"].partition("?")[2]
    assert created["connect_url"] == f"https://vault.test/connect?{ticket}"
    assert created["expires_at"] == deployment.clock.now() + 1800


def test_the_session_holds_what_was_asked_for(deployment: Deployment) -> None:
    created = deployment.created(
        name="second", scopes=["deals"], return_url=OTHER_RETURN_URL, allow_account_change=True, language="de"
    )
    session = deployment.sessions.session(created["session"])
    assert session is not None
    assert (session.tenant, session.user_ref, session.name) == ("acme", "u-1", "second")
    assert (session.scopes, session.return_url, session.language) == (("deals",), OTHER_RETURN_URL, "de")
    assert session.allow_account_change
    assert session.completion == "confirm"


def test_the_ticket_is_nowhere_in_the_table(deployment: Deployment) -> None:
    ticket = deployment.created()["connect_url"].partition("session=")[2]
    stored = "\n".join(deployment.stored_texts())
    assert ticket not in stored
    assert ticket[:43] not in stored
    assert "CNRY-" not in stored


def test_ids_of_sessions_are_unique_and_tickets_too(deployment: Deployment) -> None:
    created = [deployment.created() for _ in range(50)]
    assert len({each["session"] for each in created}) == 50
    assert len({each["connect_url"] for each in created}) == 50


def test_a_session_disappears_by_itself_some_time_after_its_end(deployment: Deployment) -> None:
    created = deployment.created()
    stored = items(deployment.dynamo.client, deployment.names["PendingTable"])[0]
    assert int(stored["ttl"]["N"]) >= created["expires_at"] + 600
