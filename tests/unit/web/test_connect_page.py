"""The connect page: what a person sees of a session, and that looking at it uses nothing up."""

import re
from dataclasses import replace
from html import escape
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consentry.aws.dynamodb import to_item
from consentry.connect.ports import MOST_TRIES
from consentry.errors import Misconfigured
from consentry.oauth.provider import Provider, ScopeWords
from consentry.pages.frame import Links, Manner
from consentry.pages.look import Look
from consentry.pages.tiles import connect_page
from consentry.pages.words import words
from consentry.web.response import Response
from tests.support.catalogue import CRM, DESK, METRICS, FakeCatalogue
from tests.support.deployment import CONNECT, OTHER_RETURN_URL, RETURN_URL, Browser, Deployment, query_of
from tests.support.events import event
from tests.support.html import Outline
from tests.support.logs import Log
from tests.support.provider import tokens

ALL = ["crm", "desk", "metrics"]
WORDY = replace(CRM, scope_words=(ScopeWords(scope="contacts", words={"en": "Read contacts", "pt": "Ler contatos"}),))


def shown(deployment: Deployment, created: dict[str, Any], **changes: Any) -> Response:  # noqa: ANN401 - handed on
    return Browser(deployment).open(created["connect_url"], **changes)


def pressable(found: Outline) -> list[dict[str, str]]:
    """What can be pressed on the tiles: all but the way back."""
    return [each for each in found.all("a") if "class" in each]


def page(deployment: Deployment, created: dict[str, Any], **changes: Any) -> Outline:  # noqa: ANN401 - handed on
    response = shown(deployment, created, **changes)
    assert response["statusCode"] == 200, response["body"]
    return Outline(response["body"])


def row(deployment: Deployment, integration: str = "crm", **attributes: object) -> None:
    """A connection as it stands in the table, ciphertexts included."""
    item = {
        "tenant": "acme", "connection": f"{integration}#default", "v": 1, "provider": "crm", "gen": 3, "epoch": 1,
        "grant_type": "authorization_code", "status": "active", "created_at": 1_790_000_000,
        "refreshed_at": 1_799_999_000, "access_token": b"CNRY-ciphertext", "grant": b"CNRY-ciphertext", **attributes,
    }  # fmt: skip
    deployment.dynamo.client.put_item(TableName=deployment.names["ConnectionsTable"], Item=to_item(item))


def test_there_is_a_tile_for_each_integration_of_the_session_in_its_order(deployment: Deployment) -> None:
    found = page(deployment, deployment.created(integrations=["desk", "metrics", "crm"]))
    assert [each["id"] for each in found.all("h2")] == ["name-desk", "name-metrics", "name-crm"]
    assert "Help desk" in found.text
    assert "You are connecting for acme" in found.text
    assert found.text.count("Not connected") == 3


def test_a_consent_is_a_link_to_authorize_and_credentials_one_to_their_form(deployment: Deployment) -> None:
    created = deployment.created(integrations=ALL)
    found = page(deployment, created)
    ticket = created["connect_url"].partition("?")[2]
    assert [each["href"] for each in pressable(found)] == [
        f"https://vault.test/authorize/crm?{ticket}",
        f"https://vault.test/authorize/desk?{ticket}",
        f"https://vault.test/connect/metrics?{ticket}",
    ]
    assert "Connect CRM" in found.text
    assert "Enter credentials for Metrics" in found.text


def test_the_link_of_a_tile_begins_the_consent(deployment: Deployment, browser: Browser) -> None:
    deployment.provider.then(tokens())
    (link,) = [each["href"] for each in pressable(Outline(browser.open(deployment.created()["connect_url"])["body"]))]
    assert browser.open(link)["statusCode"] == 302


def test_scopes_are_said_in_words_and_those_without_as_they_are(deployment: Deployment) -> None:
    deployment.catalogue = FakeCatalogue(WORDY, DESK, METRICS)
    created = deployment.created(integrations=["crm2", "desk", "metrics"])  # contacts and deals, none, credentials
    texts = page(deployment, created).texts
    assert "Read contacts" in texts
    assert "deals" in texts
    assert "The provider tells you before you decide." in texts
    assert "Whatever the credentials that you enter may do." in texts
    spoken = page(deployment, created, headers={"accept-language": "pt-BR"})
    assert "Ler contatos" in spoken.texts


def test_scopes_that_an_account_may_lack_are_said_to_be_so_and_once(deployment: Deployment) -> None:
    item = {"integration": "opt", "provider": "crm", "client_id": "c", "optional_scopes": ["contacts", "deals"]}
    deployment.dynamo.client.put_item(TableName=deployment.names["IntegrationsTable"], Item=to_item(item))
    texts = page(deployment, deployment.created(integrations=["opt"])).texts
    assert texts.count("contacts") == 1
    assert "If your account has it: deals" in texts


def test_a_connection_shows_state_account_names_and_times(deployment: Deployment) -> None:
    row(deployment, account="4711", label="Shop", description="The shop's\nnumbers", grant_expires_at=1_810_000_000)
    found = page(deployment, deployment.created())
    for text in ("Connected", "4711", "Shop", "The shop's", "2026-09-21 14:13 UTC", "2027-01-15 07:43 UTC", "Ends"):
        assert text in found.text, text
    assert "Connect CRM again" in found.text
    assert [each["class"] for each in pressable(found)] == ["button quiet", "button plain"]


@pytest.mark.parametrize(
    ("status", "cause", "state", "why"),
    [
        ("reauth_required", "grant_revoked", "Needs you again", "The provider has ended the access."),
        ("reauth_required", "from_a_newer_version", "Needs you again", "The access has to be given once more."),
        (
            "scope_insufficient",
            "scope_missing",
            "A permission is missing",
            "A permission that is needed was not given.",
        ),
        ("deleting", "", "Being removed", "It was disconnected: nobody gets access by it any more."),
    ],
)
def test_a_connection_that_needs_somebody_says_why(
    deployment: Deployment, status: str, cause: str, state: str, why: str
) -> None:
    row(deployment, status=status, status_cause=cause)
    found = page(deployment, deployment.created())
    assert state in found.text
    assert why in found.text
    links = [each["href"].partition("?")[0].removeprefix("https://vault.test/") for each in pressable(found)]
    assert links == ([] if status == "deleting" else ["authorize/crm", "connect/crm/disconnect"])


def test_a_session_that_may_not_disconnect_offers_no_way_to(deployment: Deployment) -> None:
    row(deployment)
    found = page(deployment, deployment.created(allow_disconnect=False))
    assert [each["class"] for each in pressable(found)] == ["button quiet"]
    assert "Disconnect" not in found.text


def test_connections_of_other_tenants_names_and_integrations_are_not_shown(deployment: Deployment) -> None:
    row(deployment, label="CNRY-other-name", connection="crm#second")
    row(deployment, label="CNRY-other-integration", connection="desk#default")
    row(deployment, label="CNRY-other-tenant", tenant="globex")
    found = page(deployment, deployment.created())
    assert "Not connected" in found.text
    assert "CNRY-" not in found.text.replace("CNRY-random", "")


def test_the_page_asks_for_no_ciphertext(deployment: Deployment) -> None:
    row(deployment)
    (found,) = deployment.connections.summaries("acme")
    assert (found.access_token, found.grant, found.gen) == (b"", b"", 3)


@pytest.mark.parametrize("time", [253_402_300_800, 2**52])
def test_a_time_that_has_no_date_is_not_shown_and_hides_nothing_else(deployment: Deployment, time: int) -> None:
    row(deployment, created_at=time, refreshed_at=time, grant_expires_at=time, account="4711")
    found = page(deployment, deployment.created())
    assert "4711" in found.text
    assert "Connected since" not in found.text
    assert "Ends" not in found.text


def test_a_registration_that_cannot_be_used_hides_no_other_and_is_logged(
    deployment: Deployment, log_lines: Log
) -> None:
    created = deployment.created(integrations=["crm", "desk"])
    item = {"integration": "desk", "provider": 7}
    deployment.dynamo.client.put_item(TableName=deployment.names["IntegrationsTable"], Item=to_item(item))
    found = page(deployment, created)
    assert "Not available" in found.text
    assert "This is not set up completely." in found.text
    assert "Connect CRM" in found.text
    (line,) = log_lines.named("integration not offered")
    assert (line["level"], line["integration"], line["code"]) == ("ERROR", "desk", "misconfigured")


def test_a_provider_that_is_gone_is_a_tile_without_a_link(deployment: Deployment) -> None:
    class Without(FakeCatalogue):
        def provider(self, provider_id: str) -> Provider:
            raise Misconfigured("there is none")

    created = deployment.created()
    deployment.catalogue = Without()
    assert pressable(page(deployment, created)) == []


def test_an_integration_that_was_withdrawn_is_left_out(deployment: Deployment) -> None:
    created = deployment.created(integrations=["crm", "desk"])
    withdraw(deployment, "desk")
    assert [each["id"] for each in page(deployment, created).all("h2")] == ["name-crm"]


@pytest.mark.parametrize(
    ("return_url", "company", "href", "told"),
    [
        (RETURN_URL, "", f"{RETURN_URL}?session=", "Back to the application"),
        (OTHER_RETURN_URL, "Globex", f"{OTHER_RETURN_URL}&session=", "Back to Globex"),
    ],
)
def test_whoever_leaves_all_as_it_is_gets_back_to_the_application(
    deployment: Deployment, return_url: str, company: str, href: str, told: str
) -> None:
    deployment.look = Look(company=company)
    created = deployment.created(return_url=return_url)
    found = page(deployment, created)
    assert found.all("a")[-1]["href"] == f"{href}{created['session']}"
    assert told in found.text


@pytest.mark.parametrize("return_url", ["", RETURN_URL])
def test_there_is_no_way_back_to_what_is_not_registered(deployment: Deployment, return_url: str) -> None:
    """S-09: it is looked at again when the page is shown."""
    created = deployment.created(return_url=return_url, completion="direct")
    deployment.return_urls = frozenset()
    found = page(deployment, created)
    assert [each for each in found.all("a") if "class" not in each] == []
    assert "Back to" not in found.text


def withdraw(deployment: Deployment, integration: str) -> None:
    deployment.dynamo.client.delete_item(
        TableName=deployment.names["IntegrationsTable"], Key={"integration": {"S": integration}}
    )


def opened(deployment: Deployment, ticket: str) -> Response:
    return deployment.connect(event(CONNECT, query=f"session={ticket}", request_id="r"))


def test_unknown_expired_used_and_forged_links_are_answered_alike_to_the_byte(deployment: Deployment) -> None:
    """S-19."""
    known, gone, used, empty = (deployment.created(integrations=[each]) for each in ("crm", "crm", "crm", "desk"))
    tickets = {each: name["connect_url"].partition("session=")[2] for each, name in
               (("known", known), ("gone", gone), ("used", used), ("empty", empty))}  # fmt: skip
    key = {"id": {"S": f"session#{gone['session']}"}}
    deployment.dynamo.client.delete_item(TableName=deployment.names["PendingTable"], Key=key)
    for number in range(MOST_TRIES + 1):
        deployment.sessions.spend_try(used["session"], form=f"f{number}", claim_id=f"c{number}")
    withdraw(deployment, "desk")
    unknown, _ = deployment.tickets.ticket("u" * 43)
    garbage = ("", "garbage", "\ud800é/..", tickets["known"][:-1] + "-", unknown)
    answers = [opened(deployment, each) for each in (*garbage, tickets["gone"], tickets["used"], tickets["empty"])]
    deployment.clock.advance(1800)
    answers.append(opened(deployment, tickets["known"]))
    assert answers[0]["statusCode"] == 410
    assert [each for each in answers if each != answers[0]] == []


def test_garbage_costs_no_call(deployment: Deployment) -> None:
    before = len(deployment.dynamo.calls)
    for number in range(1000):
        assert opened(deployment, f"{number:065d}")["statusCode"] == 410
    assert len(deployment.dynamo.calls) == before


def test_whoever_only_looks_uses_nothing_up(deployment: Deployment) -> None:
    """S-46: HEAD, prefetch and any number of visits write nothing and set no cookie."""
    created = deployment.created(integrations=ALL)
    browser = Browser(deployment)
    assert browser.open(created["connect_url"], method="HEAD")["statusCode"] == 405
    assert browser.open(created["connect_url"], headers={"sec-purpose": "prefetch;prerender"})["statusCode"] == 204
    before = len(deployment.dynamo.calls)
    bodies = {browser.open(created["connect_url"])["body"] for _ in range(3)}
    calls = deployment.dynamo.calls[before:]
    assert len(bodies) == 1
    assert browser.jar == {}
    assert set(calls) == {"get_item", "query"}
    assert deployment.envelopes.sealing == []
    assert browser.open(created["authorize_urls"]["crm"])["statusCode"] == 302


def test_post_is_for_the_form_alone(deployment: Deployment) -> None:
    answer = shown(deployment, deployment.created(), method="POST")
    assert (answer["statusCode"], answer["headers"]["Allow"]) == (405, "GET")


def test_nothing_of_the_request_s_addresses_is_in_the_page(deployment: Deployment) -> None:
    """S-13."""
    created = deployment.created(integrations=ALL)
    plain = shown(deployment, created)
    evil = {
        "host": "evil.test",
        "x-forwarded-host": "evil.test",
        "forwarded": "host=evil.test",
        "origin": "https://evil.test",
    }
    poisoned = shown(deployment, created, headers=evil)
    assert (poisoned["body"], poisoned["headers"]) == (plain["body"], plain["headers"])


def test_the_page_loads_nothing_and_runs_nothing(deployment: Deployment) -> None:
    """S-16."""
    found = page(deployment, deployment.created(integrations=ALL))
    assert not {"script", "img", "link", "iframe", "object", "embed", "base", "form"} & {
        tag for tag, _ in found.elements
    }
    assert not [
        attrs for _, attrs in found.elements for name, _ in attrs if name in {"src", "style"} or name[:2] == "on"
    ]
    assert found.unbalanced == found.open == []


def test_the_page_has_landmarks_headings_in_order_and_names_for_its_parts(deployment: Deployment) -> None:
    deployment.look = Look(company="Acme")
    found = page(deployment, deployment.created(integrations=ALL))
    tags = [tag for tag, _ in found.elements]
    assert [tags.count(each) for each in ("header", "main", "footer", "h1", "title")] == [1] * 5
    assert [each for each in tags if each in {"h1", "h2", "h3"}] == ["h1", *["h2", "h3"] * 3]
    assert found.elements[0] == ("html", [("lang", "en")])
    ids = [each["id"] for tag in set(tags) for each in found.all(tag) if "id" in each]
    assert sorted(ids) == sorted(set(ids))
    assert {each["aria-labelledby"] for each in found.all("article")} <= set(ids)
    assert all(each["aria-hidden"] == "true" for each in found.all("svg"))
    assert "Connect your accounts to Acme" in found.text


def test_a_mark_is_the_first_letters_of_the_name_and_stands_in_its_own_element(deployment: Deployment) -> None:
    item = {"integration": "odd", "provider": "crm", "client_id": "c", "display_name": "Help desk (local) three"}
    deployment.dynamo.client.put_item(TableName=deployment.names["IntegrationsTable"], Item=to_item(item))
    html = shown(deployment, deployment.created(integrations=["odd"]))["body"]
    assert re.search(r"<svg[^>]*><rect[^>]*></rect><text[^>]*>HD</text></svg>", html)
    assert "<text" in html


def test_the_company_s_own_mark_takes_the_letter_s_place(deployment: Deployment) -> None:
    deployment.look = Look(company="Acme", logo="M2 2h20v20z")
    html = shown(deployment, deployment.created())["body"]
    assert '<path d="M2 2h20v20z"></path></svg><span class="company">Acme</span>' in html


def test_the_language_is_the_session_s_else_the_browser_s(deployment: Deployment) -> None:
    chosen, left = deployment.created(language="pt"), deployment.created()
    assert page(deployment, chosen, headers={"accept-language": "en"}).elements[0][1] == [("lang", "pt")]
    assert page(deployment, left, headers={"accept-language": "pt"}).elements[0][1] == [("lang", "pt")]
    assert page(deployment, left).elements[0][1] == [("lang", "en")]


def test_a_session_s_own_trouble_is_told_in_its_language(deployment: Deployment, browser: Browser) -> None:
    created = deployment.created(language="pt", completion="direct", return_url="")
    denied = browser.consents(created, code="", error="access_denied")
    assert "Você escolheu não permitir a conexão." in denied["body"]
    gone = opened(deployment, "x")
    assert "This link is no longer valid." in gone["body"]


def test_a_direct_consent_ends_on_a_page_in_the_session_s_language(deployment: Deployment, browser: Browser) -> None:
    deployment.provider.then(tokens())
    ended = browser.consents(deployment.created(language="pt", completion="direct", return_url=""))
    assert '<html lang="pt">' in ended["body"]
    assert "A conexão funciona." in ended["body"]


def test_a_failed_direct_consent_is_told_in_the_session_s_language(deployment: Deployment, browser: Browser) -> None:
    deployment.provider.then(tokens(access_token=""))
    failed = browser.consents(deployment.created(language="pt", completion="direct", return_url=""))
    assert "CRM está com problemas no momento." in failed["body"]


def test_after_a_confirmed_consent_the_page_says_connected(deployment: Deployment, browser: Browser) -> None:
    created = deployment.created()
    deployment.provider.then(tokens())
    assert deployment.completed(query_of(browser.consents(created)))["statusCode"] == 200
    assert "Connected since" in page(deployment, deployment.created()).text


TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)
MARKUP = st.sampled_from(
    ['"><script>alert(1)</script>', "'--></style>", "</title><img src=x onerror=y>", "&lt;", "${x}"]
)


@given(texts=st.lists(TEXT | MARKUP, min_size=6, max_size=6))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_the_table_the_page_s_structure_is_the_same(
    deployment: Deployment, texts: list[str]
) -> None:
    """S-10: account, label, description, display name, company and tenant; more than 1,000 strings."""
    offer = offered(deployment)
    plain = Outline(connect_page(Manner(Look(company="c"), words("en")), with_texts(offer, ["x"] * 6), LINKS)).skeleton
    company = Look(company=texts[5] or "c")
    html = connect_page(Manner(company, words("en")), with_texts(offer, [each or "x" for each in texts]), LINKS)
    assert Outline(html).skeleton == plain
    assert all(escape(each) in html for each in texts)


LINKS = Links("https://vault.test", "ticket")


def offered(deployment: Deployment) -> Any:  # noqa: ANN401 - an Offer, changed below
    row(deployment)
    return deployment.show_offer(deployment.created()["connect_url"].partition("session=")[2])


def with_texts(offer: Any, texts: list[str]) -> Any:  # noqa: ANN401 - as above
    (one,) = offer.offered
    connection = replace(one.connection, account=texts[0], label=texts[1], description=texts[2], status_cause=texts[3])
    session = replace(offer.session, tenant=texts[4])
    return replace(offer, session=session, offered=(replace(one, name=texts[3], connection=connection),))
