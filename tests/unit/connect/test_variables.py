"""A part of the provider's address that a customer decides: asked for, kept, used for everything, and never swapped."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from consentry.aws.dynamodb import from_item, to_item
from consentry.model import ConnectionKey, Field, Removal
from consentry.refresh.policy import Outcome
from consentry.tokens import client_account, grant_secrets
from consentry.web.response import Response
from tests.support.catalogue import BOOKS, CRM, METRICS, SHOP, FakeCatalogue
from tests.support.deployment import (
    CREATE,
    INTEGRATIONS,
    PUT_CREDENTIALS,
    RETURN_URL,
    Browser,
    Deployment,
    body_of,
    provider_answer,
    query_of,
)
from tests.support.engines import engine_of
from tests.support.escrow import FakeEscrow
from tests.support.events import json_event
from tests.support.html import Outline
from tests.support.logs import Log
from tests.support.provider import answer, tokens
from tests.support.tables import items, refill

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SECRET = "CNRY-customer-secret-41fe"
INPUTS = {"client_id": "customer-1", "client_secret": SECRET}
SHOP_KEY = ConnectionKey("acme", "shop")
BOOKS_KEY = ConnectionKey("acme", "books")
GRANTED = tokens(hub_id=None, refresh_token="CNRY-refresh-shop-1")
MINTED = tokens(hub_id=None, refresh_token=None)
MINE = answer(200, {"active": True, "sub": "owner-1"})


@pytest.fixture
def deployment(dynamodb: "DynamoDBClient", tables_of_module: dict[str, str], log_lines: Log) -> Deployment:
    added = (
        {"integration": "shop", "provider": "shop", "client_id": "shop-client"},
        {"integration": "books", "provider": "books"},
    )
    registered = [to_item(each) for each in (*INTEGRATIONS[:1], *added)]
    refill(dynamodb, tables_of_module, {"IntegrationsTable": registered})
    return Deployment(dynamodb, tables_of_module, FakeCatalogue(CRM, METRICS, SHOP, BOOKS))


def created(deployment: Deployment, variables: object = None, **wanted: object) -> dict[str, Any]:
    said = {} if variables is None else {"variables": variables}
    return deployment.created(**{"integrations": ["shop"], **said, **wanted})


def refused(deployment: Deployment, variables: object, **wanted: object) -> dict[str, Any]:
    body = {"user_ref": "u-1", "integrations": ["shop"], "return_url": RETURN_URL, "variables": variables, **wanted}
    response = deployment.manage(json_event(CREATE, {"tenant": "acme"}, body))
    assert response["statusCode"] == 400, response["body"]
    return body_of(response)


def opened(browser: Browser, session: dict[str, Any], **query: str) -> Response:
    url = session["authorize_urls"]["shop"]
    return browser.open(url + "".join(f"&{name}={quote(value, safe='')}" for name, value in query.items()))


def came_back(browser: Browser, location: str) -> dict[str, str]:
    host = urlsplit(location).netloc
    return query_of(browser.open(provider_answer(location, iss=f"https://{host}")))


def connect(deployment: Deployment, shop: str = "acme-store", **wanted: object) -> Response:
    """Go through a whole consent with the shop that the company names."""
    deployment.provider.then(GRANTED, MINE)
    browser, session = Browser(deployment), created(deployment, {"shop": {"shop": shop}}, **wanted)
    return deployment.completed(came_back(browser, browser.departs(session, "shop")))


def put(deployment: Deployment, body: object) -> Response:
    path = {"tenant": "acme", "integration": "books", "name": "default"}
    return deployment.manage(json_event(PUT_CREDENTIALS, path, body))


def urls(deployment: Deployment) -> list[str]:
    return [request.url for request in deployment.provider.requests]


def row(deployment: Deployment) -> dict[str, Any]:
    (stored,) = items(deployment.dynamo.client, deployment.names["ConnectionsTable"])
    return from_item(stored)


def grant(deployment: Deployment, key: ConnectionKey) -> dict[str, str]:
    record = deployment.connections.read(key)
    assert record is not None
    payload = deployment.envelopes.open(record.grant, key.encryption_context(Field.GRANT))
    return {name: secret.reveal() for name, secret in grant_secrets(payload).items()}


def refresh(deployment: Deployment, key: ConnectionKey) -> Outcome:
    ports = {
        "clock": deployment.clock, "randomness": deployment.randomness, "connections": deployment.connections,
        "erasures": deployment.erasures, "catalogue": deployment.catalogue, "secrets": deployment.secrets,
        "envelopes": deployment.envelopes, "provider_client": deployment.provider, "escrow": FakeEscrow(),
        "guard": _AlwaysOpen(), "epoch": 1, "min_refresh_seconds": 60,
    }  # fmt: skip
    deployment.clock.remaining = 45.0
    return engine_of(ports)(key).outcome


class _AlwaysOpen:
    """`refresh.guard.Guard` of an integration in perfect health."""

    def __getattr__(self, _name: str) -> Any:  # noqa: ANN401 - whatever is asked, the answer is yes
        return lambda *_args, **_given: True


def fall_due(deployment: Deployment) -> None:
    deployment.clock.time = float(row(deployment)["due_at"])


# Named by the company


def test_what_the_company_says_is_where_everything_goes(deployment: Deployment) -> None:
    deployment.provider.then(GRANTED, MINE)
    browser, session = Browser(deployment), created(deployment, {"shop": {"shop": "acme-store"}})
    location = browser.departs(session, "shop")
    assert location.startswith("https://acme-store.shops.test/authorize?")
    assert deployment.flow(session, "shop").variables == {"shop": "acme-store"}
    shown = body_of(deployment.completed(came_back(browser, location)))["connection"]
    assert urls(deployment) == ["https://acme-store.shops.test/token", "https://acme-store.shops.test/whose"]
    assert shown["metadata"] == {"shop": "acme-store"}
    record = deployment.connection("shop")
    assert record is not None
    assert (record.variables, record.account) == ({"shop": "acme-store"}, "owner-1")


def test_connections_of_two_shops_have_no_account_in_common(deployment: Deployment) -> None:
    connect(deployment)
    assert row(deployment)["client_account"] == "acme-store.shops.test|shop-client|owner-1"
    assert "{" not in client_account(CRM, "c", "a")


def test_a_refresh_goes_to_the_connections_own_shop(deployment: Deployment) -> None:
    connect(deployment)
    fall_due(deployment)
    deployment.provider.then(tokens(hub_id=None))
    assert refresh(deployment, SHOP_KEY) is Outcome.REFRESHED
    assert urls(deployment)[-1] == "https://acme-store.shops.test/token"
    assert row(deployment)["variables"] == {"shop": "acme-store"}
    assert row(deployment)["metadata"] == {"shop": "acme-store"}


def test_a_revocation_goes_to_the_connections_own_shop(deployment: Deployment) -> None:
    connect(deployment)
    deployment.removals.mark(SHOP_KEY, now=deployment.clock.now(), removal=Removal.REVOKE)
    deployment.provider.then(answer(200, b""))
    assert refresh(deployment, SHOP_KEY) is Outcome.ERASED
    assert urls(deployment)[-1] == "https://acme-store.shops.test/revoke"


@pytest.mark.parametrize("stored", [{"shop": "evil.test/"}, {"shop": "a@evil.test"}, {"shop": 7}, {}])
def test_a_record_that_somebody_changed_leads_nowhere(deployment: Deployment, stored: dict[str, object]) -> None:
    """Whoever can write the table, and use no key, does not have the grant sent elsewhere (S-12)."""
    connect(deployment)
    fall_due(deployment)
    changed = to_item({**row(deployment), "variables": stored})
    deployment.dynamo.client.put_item(TableName=deployment.names["ConnectionsTable"], Item=changed)
    asked = len(deployment.provider.requests)
    assert refresh(deployment, SHOP_KEY) is Outcome.UNAVAILABLE
    assert len(deployment.provider.requests) == asked


def test_a_record_whose_variables_are_no_map_is_not_read(deployment: Deployment) -> None:
    connect(deployment)
    changed = to_item({**row(deployment), "variables": "acme-store"})
    deployment.dynamo.client.put_item(TableName=deployment.names["ConnectionsTable"], Item=changed)
    assert refresh(deployment, SHOP_KEY) is Outcome.UNREADABLE


def test_a_record_from_before_there_were_variables_is_as_it_was(deployment: Deployment) -> None:
    deployment.provider.then(tokens())
    browser = Browser(deployment)
    deployment.completed(query_of(browser.consents(deployment.created())))
    assert "variables" not in row(deployment)
    fall_due(deployment)
    deployment.provider.then(tokens())
    assert refresh(deployment, ConnectionKey("acme", "crm")) is Outcome.REFRESHED


@pytest.mark.parametrize(
    ("variables", "code", "said"),
    [
        ([], "invalid_request", "must be an object of objects"),
        ({"shop": "acme"}, "invalid_request", "must be an object of objects"),
        ({"crm": {}}, "invalid_request", "none of the session's integrations"),
        ({"shop": {"shop": "a.b"}}, "invalid_variable", "does not look as Shop writes it"),
        ({"shop": {"shop": ""}}, "invalid_variable", "is missing"),
        ({"shop": {"shop": None}}, "invalid_variable", "is missing"),
        ({"shop": {"shop": 1}}, "invalid_variable", "does not look as"),
        ({"shop": {"host": "acme"}}, "invalid_variable", "unknown variable 'host'; Shop has shop"),
    ],
)
def test_a_session_with_values_that_will_not_do_is_not_made(
    deployment: Deployment, variables: object, code: str, said: str
) -> None:
    problem = refused(deployment, variables)
    assert problem["code"] == code
    assert said in problem["detail"]


def test_companies_learn_what_to_say(deployment: Deployment) -> None:
    listed = body_of(deployment.manage(json_event("GET /integrations")))["integrations"]
    told = {each["integration"]: each["variables"] for each in listed}
    assert told == {
        "crm": [],
        "shop": [{"name": "shop", "label": "Shop name"}],
        "books": [{"name": "company", "label": "Company"}],
    }


# Asked of the person


def test_what_the_company_leaves_open_is_asked_for_and_nothing_is_written(deployment: Deployment) -> None:
    browser, session = Browser(deployment), created(deployment)
    response = opened(browser, session)
    assert response["statusCode"] == 200
    page = Outline(response["body"])
    form = page.one("form")
    assert (form["method"], form["action"]) == ("get", "https://vault.test/authorize/shop")
    ticket = session["authorize_urls"]["shop"].partition("session=")[2]
    assert page.one("input", name="session") == {"type": "hidden", "name": "session", "value": ticket}
    assert page.one("input", name="variable-shop")["aria-describedby"] == "variable-shop-hint"
    assert "What stands before .shops.test" in page.text
    assert "cookies" not in response
    assert "form-action 'self';" in response["headers"]["Content-Security-Policy"]
    assert deployment.sessions.flow(session["session"], "shop") is None


def test_what_the_person_says_is_where_everything_goes(deployment: Deployment) -> None:
    deployment.provider.then(GRANTED, MINE)
    browser, session = Browser(deployment), created(deployment)
    response = opened(browser, session, **{"variable-shop": " acme-store "})
    assert response["statusCode"] == 200
    location = response["headers"]["Refresh"].removeprefix("0;url=")
    assert location.startswith("https://acme-store.shops.test/authorize?")
    (link,) = Outline(response["body"]).all("a")
    assert link["href"] == location
    assert "form-action 'none'" in response["headers"]["Content-Security-Policy"]
    assert deployment.completed(came_back(browser, location))["statusCode"] == 200
    assert row(deployment)["variables"] == {"shop": "acme-store"}


@pytest.mark.parametrize("value", ["acme.evil", "https://acme.shops.test", "ACME", "a b", '"><script>', "x" * 600])
def test_an_entry_that_will_not_do_is_asked_for_again(deployment: Deployment, log_lines: Log, value: str) -> None:
    browser, session = Browser(deployment), created(deployment, language="pt")
    response = opened(browser, session, **{"variable-shop": value})
    assert response["statusCode"] == 400
    page = Outline(response["body"])
    entry = page.one("input", name="variable-shop")
    assert (entry["aria-invalid"], entry["aria-describedby"]) == ("true", "variable-shop-hint trouble")
    assert entry.get("value") == (value if len(value) <= 500 else None)
    assert page.all("script") == []
    assert "Nome da loja" in page.text
    assert page.one("html")["lang"] == "pt"
    assert page.unbalanced == []
    assert deployment.sessions.flow(session["session"], "shop") is None


def test_what_the_company_said_is_not_the_persons_to_change(deployment: Deployment) -> None:
    browser, session = Browser(deployment), created(deployment, {"shop": {"shop": "acme-store"}})
    response = opened(browser, session, **{"variable-shop": "evil-store"})
    assert response["statusCode"] == 302
    assert response["headers"]["Location"].startswith("https://acme-store.shops.test/authorize?")


def test_an_entry_that_stands_twice_is_refused(deployment: Deployment) -> None:
    browser, session = Browser(deployment), created(deployment)
    response = browser.open(f"{session['authorize_urls']['shop']}&variable-shop=a&variable-shop=b")
    assert response["statusCode"] == 400
    assert "Something stands twice" in response["body"]


def test_a_value_of_the_session_that_a_newer_file_refuses_is_not_the_persons_to_mend(deployment: Deployment) -> None:
    browser, session = Browser(deployment), created(deployment, {"shop": {"shop": "acme-store"}})
    narrower = {"shop": replace(SHOP.variables["shop"], pattern="[0-9]{4}")}
    deployment.catalogue = FakeCatalogue(replace(SHOP, variables=narrower))
    response = opened(browser, session)
    assert response["statusCode"] == 400
    assert "A part of the provider's address cannot be used" in Outline(response["body"]).text
    deployment.catalogue = FakeCatalogue(replace(SHOP, variables={}, token=CRM.token, authorization=CRM.authorization))
    assert browser.departs(session, "shop").startswith("https://app.crm.test/authorize?")  # no variables any more


def test_an_answer_of_another_shops_issuer_is_refused(deployment: Deployment) -> None:
    """S-05, where the issuer is the customer's own."""
    browser, session = Browser(deployment), created(deployment, {"shop": {"shop": "acme-store"}})
    location = browser.departs(session, "shop")
    response = browser.open(provider_answer(location, iss="https://evil-store.shops.test"))
    assert "issued by another server" in response["body"]
    assert deployment.provider.requests == []


# Another place is another account (S-38, S-42)


def test_a_consent_for_another_shop_does_not_take_the_connection_over(deployment: Deployment) -> None:
    connect(deployment)
    before = row(deployment)
    browser, session = Browser(deployment), created(deployment, {"shop": {"shop": "other-store"}})
    asked = len(deployment.provider.requests)
    response = deployment.completed(came_back(browser, browser.departs(session, "shop")))
    assert (response["statusCode"], body_of(response)["code"]) == (409, "account_mismatch")
    assert len(deployment.provider.requests) == asked  # not even a code is sent there
    assert row(deployment) == before


def test_where_a_change_is_allowed_nothing_of_the_old_grant_is_kept(deployment: Deployment) -> None:
    """Although account and client are the same, and the answer has no refresh token of its own."""
    connect(deployment)
    deployment.provider.then(tokens(hub_id=None, refresh_token=None), MINE)
    browser = Browser(deployment)
    session = created(deployment, {"shop": {"shop": "other-store"}}, allow_account_change=True)
    assert deployment.completed(came_back(browser, browser.departs(session, "shop")))["statusCode"] == 200
    stored = row(deployment)
    assert (stored["variables"], stored["metadata"]) == ({"shop": "other-store"}, {"shop": "other-store"})
    assert "grant" not in stored


def test_the_same_shop_keeps_its_grant_where_a_reconnect_brings_none(deployment: Deployment) -> None:
    connect(deployment)
    deployment.provider.then(tokens(hub_id=None, refresh_token=None), MINE)
    browser, session = Browser(deployment), created(deployment, {"shop": {"shop": "acme-store"}})
    assert deployment.completed(came_back(browser, browser.departs(session, "shop")))["statusCode"] == 200
    assert grant(deployment, SHOP_KEY) == {"refresh_token": "CNRY-refresh-shop-1"}


def test_two_consents_at_once_for_two_shops_leave_one_and_never_a_mixture(deployment: Deployment) -> None:
    first, second = Browser(deployment), Browser(deployment)
    one = created(deployment, {"shop": {"shop": "store-one"}})
    two = created(deployment, {"shop": {"shop": "store-two"}})
    back = [came_back(first, first.departs(one, "shop")), came_back(second, second.departs(two, "shop"))]
    deployment.provider.then(GRANTED, MINE)
    assert deployment.completed(back[0])["statusCode"] == 200
    assert deployment.completed(back[1])["statusCode"] == 409
    assert row(deployment)["variables"] == {"shop": "store-one"}


def test_a_connection_from_before_the_provider_had_variables_may_be_connected_again(deployment: Deployment) -> None:
    fixed = replace(
        SHOP, variables={}, token=CRM.token, authorization=CRM.authorization, introspection=None, revocation_url=""
    )
    deployment.catalogue = FakeCatalogue(fixed)
    deployment.provider.then(tokens(account=None))
    browser = Browser(deployment)
    returned = query_of(browser.open(provider_answer(browser.departs(created(deployment), "shop"))))
    assert deployment.completed(returned)["statusCode"] == 200
    deployment.catalogue = FakeCatalogue(SHOP)
    deployment.provider.then(GRANTED, answer(200, {"active": True, "sub": "4711"}))
    session = created(deployment, {"shop": {"shop": "acme-store"}})
    assert deployment.completed(came_back(browser, browser.departs(session, "shop")))["statusCode"] == 200
    assert row(deployment)["variables"] == {"shop": "acme-store"}


# Entered credentials


def test_credentials_are_tried_and_renewed_at_the_company_that_was_named(deployment: Deployment) -> None:
    deployment.provider.then(MINTED, MINTED)
    response = put(deployment, {"inputs": INPUTS, "variables": {"company": "AB1"}})
    assert response["statusCode"] == 200, response["body"]
    assert body_of(response)["connection"]["metadata"] == {"company": "AB1"}
    assert row(deployment)["variables"] == {"company": "AB1"}
    fall_due(deployment)
    assert refresh(deployment, BOOKS_KEY) is Outcome.REFRESHED
    assert urls(deployment) == ["https://api.books.test/AB1/token"] * 2


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        (None, "invalid_variable"),
        ({}, "invalid_variable"),
        ({"company": "../AB1"}, "invalid_variable"),
        ({"company": "AB1", "shop": "x"}, "invalid_variable"),
        ("AB1", "invalid_request"),
    ],
)
def test_credentials_without_a_usable_place_are_sent_nowhere(
    deployment: Deployment, variables: object, code: str
) -> None:
    response = put(deployment, {"inputs": INPUTS} | ({} if variables is None else {"variables": variables}))
    assert (response["statusCode"], body_of(response)["code"]) == (400, code)
    assert deployment.provider.requests == []


def test_another_place_needs_the_secret_again(deployment: Deployment) -> None:
    """S-38: what is stored was given for one place, and is never sent to another one."""
    deployment.provider.then(MINTED, MINTED)
    assert put(deployment, {"inputs": INPUTS, "variables": {"company": "AB1"}})["statusCode"] == 200
    before = row(deployment)
    for inputs in ({}, {"client_id": "customer-1"}, {"client_id": "customer-1", "client_secret": ""}):
        assert put(deployment, {"inputs": inputs, "variables": {"company": "CD2"}})["statusCode"] == 400
    assert put(deployment, {"variables": {"company": "CD2"}})["statusCode"] == 400
    assert (len(deployment.provider.requests), row(deployment)) == (1, before)
    again = {"inputs": {"client_id": "customer-2", "client_secret": "CNRY-other"}, "variables": {"company": "CD2"}}
    assert put(deployment, again)["statusCode"] == 200
    assert grant(deployment, BOOKS_KEY) == again["inputs"]
    assert row(deployment)["variables"] == {"company": "CD2"}


FORM = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin", "origin": "null"}


def sends(deployment: Deployment, session: dict[str, Any], **changes: str) -> Response:
    browser = Browser(deployment)
    url = session["connect_url"].replace("/connect?", "/connect/books?")
    token = Outline(browser.open(url)["body"]).one("input", name="form")["value"]
    fields = {"form": token, **{f"input-{name}": value for name, value in INPUTS.items()}, **changes}
    return browser.open(url, method="POST", body=urlencode(fields), headers=FORM)


def test_the_form_asks_for_what_the_session_leaves_open(deployment: Deployment) -> None:
    deployment.provider.then(MINTED)
    session = created(deployment, integrations=["books"])
    response = sends(deployment, session, **{"variable-company": " AB1 "})
    assert response["statusCode"] == 303, response["body"]
    assert urls(deployment) == ["https://api.books.test/AB1/token"]


@pytest.mark.parametrize(("value", "said"), [("", "enter 1 to 128"), ("ab/..", "does not look as Books writes it")])
def test_a_place_that_will_not_do_costs_no_try_and_is_asked_for_again(
    deployment: Deployment, value: str, said: str
) -> None:
    session = created(deployment, integrations=["books"])
    responses = [sends(deployment, session, **{"variable-company": value}) for _ in range(7)]
    assert [response["statusCode"] for response in responses] == [400] * 7
    page = Outline(responses[-1]["body"])
    assert said in page.text
    assert page.one("input", name="variable-company")["aria-invalid"] == "true"
    assert SECRET not in responses[-1]["body"]
    assert deployment.provider.requests == []


def test_the_form_does_not_ask_for_what_the_session_says(deployment: Deployment) -> None:
    deployment.provider.then(MINTED)
    session = created(deployment, {"books": {"company": "AB1"}}, integrations=["books"])
    browser = Browser(deployment)
    page = Outline(browser.open(session["connect_url"].replace("/connect?", "/connect/books?"))["body"])
    assert page.all("input", name="variable-company") == []
    assert sends(deployment, session, **{"variable-company": "ZZ9"})["statusCode"] == 303
    assert urls(deployment) == ["https://api.books.test/AB1/token"]


def test_a_value_of_the_session_that_a_newer_file_refuses_is_told_on_the_form(deployment: Deployment) -> None:
    session = created(deployment, {"books": {"company": "AB1"}}, integrations=["books"])
    narrower = {"company": replace(BOOKS.variables["company"], pattern="[0-9]{4}")}
    deployment.catalogue = FakeCatalogue(replace(BOOKS, variables=narrower))
    response = sends(deployment, session)
    assert response["statusCode"] == 400
    assert "A part of the provider's address cannot be used" in Outline(response["body"]).text


def test_nothing_secret_is_in_clear(deployment: Deployment, log_lines: Log) -> None:
    connect(deployment)
    deployment.provider.then(MINTED)
    session = created(deployment, integrations=["books"])
    sends(deployment, session, **{"variable-company": "AB1"})
    assert not [text for text in deployment.stored_texts() if "CNRY-" in text]
    assert "CNRY-" not in log_lines.text
