"""Off to the provider: what a link opens, what is stored of it, and what a browser is told."""

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from consentry.connect.authorize import Departure
from consentry.connect.flow_secrets import open_verifier
from consentry.connect.tickets import digest
from consentry.model import FlowStatus, Secret
from consentry.web.response import Response
from tests.support.deployment import (
    AUTHORIZE,
    COMPLETE,
    Browser,
    Deployment,
    parsed_cookie,
    provider_answer,
    query_of,
)
from tests.support.events import event, json_event
from tests.support.provider import tokens
from tests.support.tables import items


def asked(location: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(location).query))


def opened(deployment: Deployment, ticket: str, integration: str = "crm", **changes: Any) -> Response:  # noqa: ANN401 - handed on
    parameters = {"integration": integration}
    return deployment.authorize(event(AUTHORIZE, parameters=parameters, query=f"session={ticket}", **changes))


def ticket_of(created: dict[str, Any]) -> str:
    return str(created["connect_url"].partition("session=")[2])


def test_the_browser_goes_to_the_provider_with_everything_that_it_needs(
    deployment: Deployment, browser: Browser
) -> None:
    location = browser.departs(deployment.created())
    assert location.startswith("https://app.crm.test/authorize?")
    sent = asked(location)
    assert sent["response_type"] == "code"
    assert sent["client_id"] == "crm-client"
    assert sent["redirect_uri"] == "https://vault.test/callback/crm"
    assert sent["scope"] == "contacts"
    assert sent["code_challenge_method"] == "S256"


def test_the_challenge_is_the_sha_256_of_the_sealed_verifier(deployment: Deployment, browser: Browser) -> None:
    created = deployment.created()
    challenge = asked(browser.departs(created))["code_challenge"]
    flow = deployment.flow(created)
    verifier = open_verifier(deployment.envelopes, flow).secret.reveal()
    assert 43 <= len(verifier) <= 128
    hashed = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert challenge == hashed


def test_state_browser_binding_and_verifier_are_not_stored_in_clear(deployment: Deployment, browser: Browser) -> None:
    created = deployment.created()
    state = asked(browser.departs(created))["state"]
    stored = "\n".join(deployment.stored_texts())
    assert state not in stored
    assert state[22:65] not in stored
    assert "CNRY-" not in stored  # every random value of a test begins so
    flow = deployment.flow(created)
    assert flow.state_hash == digest(state)
    assert flow.browser_hash == digest(next(iter(browser.jar.values())))


def test_each_departure_has_its_own_state_verifier_and_cookie(deployment: Deployment) -> None:
    created = deployment.created()
    departures = [asked(Browser(deployment).departs(created)) for _ in range(3)]
    assert len({each["state"] for each in departures}) == 3
    assert len({each["code_challenge"] for each in departures}) == 3


def test_scopes_come_from_the_session_then_the_integration_then_the_provider(deployment: Deployment) -> None:
    def scope(created: dict[str, Any], integration: str) -> str:
        return asked(Browser(deployment).departs(created, integration))["scope"]

    assert scope(deployment.created(scopes=["deals"]), "crm") == "deals"
    assert scope(deployment.created(integrations=["crm2"]), "crm2") == "contacts deals"
    assert scope(deployment.created(), "crm") == "contacts"


def answers_to_links_that_open_nothing(deployment: Deployment) -> dict[str, Response]:
    known, other, gone = deployment.created(), deployment.created(integrations=["desk"]), deployment.created()
    deployment.dynamo.client.delete_item(
        TableName=deployment.names["PendingTable"], Key={"id": {"S": f"session#{gone['session']}"}}
    )
    withdrawn = deployment.created(integrations=["crm2"])
    deployment.dynamo.client.delete_item(
        TableName=deployment.names["IntegrationsTable"], Key={"integration": {"S": "crm2"}}
    )
    unknown, _ = deployment.tickets.ticket("u" * 43)
    used = deployment.created()
    deployment.provider.then(tokens())
    deployment.completed(query_of(Browser(deployment).consents(used)))
    answers = {
        "garbage": opened(deployment, "garbage", request_id="r"),
        "empty": opened(deployment, "", request_id="r"),
        "forged": opened(deployment, ticket_of(known)[:-1] + "-", request_id="r"),
        "unknown": opened(deployment, unknown, request_id="r"),
        "deleted": opened(deployment, ticket_of(gone), request_id="r"),
        "foreign": opened(deployment, ticket_of(other), request_id="r"),
        "no such integration": opened(deployment, ticket_of(known), "nothing", request_id="r"),
        "used up": opened(deployment, ticket_of(used), request_id="r"),
        "withdrawn integration": opened(deployment, ticket_of(withdrawn), "crm2", request_id="r"),
        "odd integration": opened(deployment, ticket_of(known), "\ud800é/..", request_id="r"),
    }
    deployment.clock.advance(1800)
    return answers | {"expired": opened(deployment, ticket_of(known), request_id="r")}


def test_unknown_expired_used_foreign_and_forged_links_are_answered_alike_to_the_byte(deployment: Deployment) -> None:
    """S-19."""
    answers = answers_to_links_that_open_nothing(deployment)
    assert answers["garbage"]["statusCode"] == 410
    assert {name: each for name, each in answers.items() if each != answers["garbage"]} == {}


def test_a_link_that_opens_nothing_writes_nothing(deployment: Deployment) -> None:
    answers_to_links_that_open_nothing(deployment)
    stored = items(deployment.dynamo.client, deployment.names["PendingTable"])
    flows = [item["status"]["S"] for item in stored if item["id"]["S"].startswith("flow#")]
    assert flows == ["done"]  # the one that was used up


def test_garbage_costs_no_call(deployment: Deployment) -> None:
    deployment.dynamo.calls.clear()
    for n in range(500):
        assert opened(deployment, f"{n:065d}")["statusCode"] == 410
    assert deployment.dynamo.calls == []
    assert deployment.envelopes.sealing == []


def test_a_ticket_given_twice_is_refused(deployment: Deployment) -> None:
    ticket = ticket_of(deployment.created())
    assert opened(deployment, f"{ticket}&session={ticket}")["statusCode"] == 400


def test_the_newest_state_wins(deployment: Deployment, browser: Browser) -> None:
    created = deployment.created()
    first, second = browser.departs(created), browser.departs(created)
    assert browser.open(provider_answer(first))["statusCode"] == 410
    assert browser.open(provider_answer(second))["statusCode"] == 303


def test_a_consent_may_be_begun_again_after_it_was_parked_or_refused(deployment: Deployment, browser: Browser) -> None:
    created = deployment.created()
    returned = query_of(browser.consents(created))
    again = browser.departs(created)
    assert deployment.completed(returned)["statusCode"] == 404
    browser.open(provider_answer(again, code="", error="access_denied"))
    assert deployment.flow(created).status is FlowStatus.FAILED
    assert browser.consents(created)["statusCode"] == 303


def test_a_consent_may_not_be_begun_again_once_its_code_is_exchanged(deployment: Deployment, browser: Browser) -> None:
    created = deployment.created(integrations=["crm", "crm2"])
    returned = query_of(browser.consents(created))
    deployment.sessions.claim(deployment.flow(created), expected=FlowStatus.CODE_RECEIVED, claim_id="mine")
    assert browser.open(created["authorize_urls"]["crm"])["statusCode"] == 410
    deployment.provider.then(tokens())
    done = query_of(browser.consents(created, "crm2"))
    body = {"handle": done["handle"], "user_ref": "u-1"}
    parameters = {"tenant": "acme", "session": returned["session"]}
    assert deployment.manage(json_event(COMPLETE, parameters, body))["statusCode"] == 200
    assert browser.open(created["authorize_urls"]["crm2"])["statusCode"] == 410


def test_the_cookie_binds_one_flow_to_one_browser_and_host(deployment: Deployment) -> None:
    response = Browser(deployment).open(deployment.created()["authorize_urls"]["crm"])
    name, value, attributes = parsed_cookie(response["cookies"][0])
    assert len(response["cookies"]) == 1
    assert name.startswith("__Host-cv-")
    assert len(name) == len("__Host-cv-") + 8
    assert len(value) == 43
    assert attributes == {"Max-Age": "600", "Path": "/", "Secure": "", "HttpOnly": "", "SameSite": "Lax"}


def test_at_most_five_flows_of_a_browser_stay_alive_and_the_oldest_gives_way(
    deployment: Deployment, browser: Browser
) -> None:
    """S-18."""
    urls = [deployment.created()["authorize_urls"]["crm"] for _ in range(7)]
    names: list[str] = []
    for url in urls:
        before = set(browser.jar)
        browser.open(url)
        names += set(browser.jar) - before
        assert len(browser.jar) <= 5
    assert set(browser.jar) == set(names[-5:])


def test_two_tabs_finish_both(deployment: Deployment, browser: Browser) -> None:
    one, two = deployment.created(), deployment.created()
    first, second = browser.departs(one), browser.departs(two)
    assert browser.open(provider_answer(second))["statusCode"] == 303
    assert browser.open(provider_answer(first))["statusCode"] == 303


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get", ""])
def test_other_methods_are_not_allowed_and_write_nothing(deployment: Deployment, method: str) -> None:
    ticket = ticket_of(deployment.created())
    request = event(AUTHORIZE, method=method or "HEAD", parameters={"integration": "crm"}, query=f"session={ticket}")
    deployment.dynamo.calls.clear()
    response = deployment.authorize(request)
    assert (response["statusCode"], response["headers"]["Allow"]) == (405, "GET")
    assert deployment.dynamo.calls == []


@pytest.mark.parametrize("header", [{"sec-purpose": "prefetch;prerender"}, {"purpose": "prefetch"}])
def test_a_prefetch_writes_nothing(deployment: Deployment, header: dict[str, str]) -> None:
    ticket = ticket_of(deployment.created())
    deployment.dynamo.calls.clear()
    response = opened(deployment, ticket, headers=header)
    assert (response["statusCode"], response["body"]) == (204, "")
    assert deployment.dynamo.calls == []


def test_looking_first_does_not_use_a_link_up(deployment: Deployment, browser: Browser) -> None:
    """S-46."""
    created = deployment.created()
    ticket = ticket_of(created)
    opened(deployment, ticket, method="HEAD")
    opened(deployment, ticket, headers={"sec-purpose": "prefetch"})
    for _ in range(3):
        Browser(deployment).departs(created)
    assert browser.consents(created)["statusCode"] == 303


def test_opening_one_link_thirty_times_keeps_one_flow(deployment: Deployment) -> None:
    created = deployment.created()
    for _ in range(30):
        Browser(deployment).departs(created)
    assert len(items(deployment.dynamo.client, deployment.names["PendingTable"])) == 2


@pytest.mark.parametrize("header", ["host", "x-forwarded-host", "forwarded", "x-forwarded-proto"])
def test_headers_about_the_host_change_nothing(deployment: Deployment, header: str) -> None:
    ticket = ticket_of(deployment.created())
    response = opened(deployment, ticket, headers={header: "evil.test"})
    assert "evil.test" not in response["headers"]["Location"]
    assert asked(response["headers"]["Location"])["redirect_uri"] == "https://vault.test/callback/crm"


def test_a_key_that_is_away_leaves_no_flow_behind(deployment: Deployment) -> None:
    ticket = ticket_of(deployment.created())

    def fail(operation: str) -> None:
        if operation == "seal":
            raise ConnectionError("CNRY-key-trouble")

    deployment.ports.before = fail
    response = opened(deployment, ticket)
    assert response["statusCode"] == 503
    assert "CNRY-" not in response["body"]
    assert len(items(deployment.dynamo.client, deployment.names["PendingTable"])) == 1


def test_a_departure_does_not_print_its_binding(deployment: Deployment) -> None:
    departure = deployment.departure(ticket_of(deployment.created()), "crm", lambda _name: "")
    assert isinstance(departure, Departure)
    assert isinstance(departure.binding, Secret)
    assert departure.binding.reveal() not in repr(departure)
