"""Consent end to end, over TLS and through real handler processes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from dev.acme.trouble import Trouble
from tests.support.html import Outline
from tests.support.person import Company, consent_url, form_url, query_of

pytestmark = pytest.mark.stack
TICKETING = "hubspot-ticketing"
HOTJAR = {"client_id": "hotjar-demo-customer", "client_secret": "hotjar-demo-secret", "site_id": "14"}


def test_a_consent_becomes_a_connection_and_a_list_of_tickets(company: Company) -> None:
    connection = company.connect("acme", TICKETING)
    assert (connection["status"], connection["account"], connection["generation"]) == ("active", "62515", 1)
    assert set(connection["scopes"]) == {"tickets", "oauth"}
    assert connection["metadata"]["hub_id"] == 62515
    read = company.invoke("TicketsFunction", {"tenant": "acme", "limit": 10})
    assert read["pages"] > 1
    assert len(read["tickets"]) > 10


def test_a_direct_consent_needs_no_backend_and_ends_on_a_page(company: Company) -> None:
    begun = company.begin("direct", TICKETING, completion="direct", return_url="")
    page = company.get(company.consents(consent_url(begun)))
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "Connected" in page.text
    assert company.record("direct", TICKETING) is not None


def test_sixty_four_copies_of_one_callback_are_one_exchange(company: Company) -> None:
    begun = company.begin("parallel", TICKETING, completion="direct", return_url="")
    callback = company.consents(consent_url(begun))
    cookie = "; ".join(f"{name}={value}" for name, value in company.browser.cookies.items())
    before = company.asked("stats")["by_grant_type"]["authorization_code"]

    def open_callback(_copy: int) -> int:
        verify = company.ready.ca_bundle
        with requests.Session() as session:
            session.trust_env = False
            headers = {"Cookie": cookie}
            return session.get(callback, headers=headers, verify=verify, allow_redirects=False, timeout=60).status_code

    with ThreadPoolExecutor(64) as pool:
        statuses = list(pool.map(open_callback, range(64)))
    assert company.asked("stats")["by_grant_type"]["authorization_code"] == before + 1
    assert statuses.count(200) == 1
    assert set(statuses) == {200, 409}


def test_a_denied_consent_stores_nothing_and_goes_back_with_the_reason(company: Company) -> None:
    begun = company.begin("denied", TICKETING)
    returned = query_of(company.get(company.consents(consent_url(begun), decision="deny")))
    assert returned == {"session": begun["session"], "integration": TICKETING, "error": "access_denied"}
    assert company.record("denied", TICKETING) is None


def test_a_callback_in_another_browser_is_refused_and_exchanges_nothing(company: Company) -> None:
    callback = company.consents(consent_url(company.begin("victim", TICKETING)))
    stranger = Company(company.ready, company.authorization_server)
    before = company.asked("stats")["by_grant_type"]
    refused = stranger.get(callback)
    assert refused.status_code == 403
    assert "another browser" in refused.text
    assert company.asked("stats")["by_grant_type"] == before
    assert query_of(company.get(callback))["handle"]


def test_a_link_that_was_used_up_opens_nothing_any_more(company: Company) -> None:
    begun = company.begin("once", TICKETING)
    returned = query_of(company.get(company.consents(consent_url(begun))))
    company.consentry.complete("once", returned["session"], returned["handle"], "u-1")
    assert company.get(consent_url(begun)).status_code == 410
    with pytest.raises(Trouble) as caught:
        company.consentry.complete("once", returned["session"], returned["handle"], "u-1")
    assert caught.value.code == "already_received"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"kind": "status", "status": 500}, 502),
        ({"kind": "html", "status": 200}, 502),
        ({"kind": "json_error", "error": "invalid_grant", "status": 400}, 400),
        ({"kind": "empty", "status": 200}, 502),
        ({"kind": "drop_before"}, 502),
        ({"kind": "truncated"}, 502),
        ({"kind": "redirect"}, 503),
    ],
)
def test_a_provider_in_trouble_is_explained_and_nothing_is_stored(
    company: Company, fault: dict[str, object], status: int
) -> None:
    begun = company.begin("trouble", TICKETING, completion="direct", return_url="")
    callback = company.consents(consent_url(begun))
    company.control("faults", endpoint="token", count=1, **fault)
    page = company.get(callback)
    assert (page.status_code, "Reference" in page.text) == (status, True)
    assert company.record("trouble", TICKETING) is None
    assert company.asked("stats")["redirects_followed"] == 0


def test_a_session_allows_only_what_it_names(company: Company) -> None:
    begun = company.begin("narrow", TICKETING)
    other = consent_url(begun).replace(TICKETING, "hubspot")
    assert company.get(other).status_code == 410
    assert company.get(consent_url(begun) + "x").status_code == 410


def test_the_hosted_page_leads_to_the_consent_and_to_the_form(company: Company) -> None:
    begun = company.begin("hosted", TICKETING, integrations=[TICKETING, "hotjar"], language="pt")
    page = company.get(begun["connect_url"])
    assert (page.status_code, "Set-Cookie" in page.headers) == (200, False)
    links = [each["href"] for each in Outline(page.text).all("a")]
    back = f"http://localhost:1/return?session={begun['session']}"
    assert links == [consent_url(begun), form_url(begun, "hotjar"), back]
    assert "Ler e alterar tickets de suporte" in page.text
    company.get(company.consents(links[0]))
    refused = company.enters(links[1], HOTJAR | {"client_secret": "CNRY-wrong-6b1c"}, label="Minha <loja>")
    assert (refused.status_code, "Hotjar não aceita estas credenciais." in refused.text) == (400, True)
    assert "Minha &lt;loja&gt;" in refused.text
    assert "CNRY-" not in refused.text
    told = query_of(company.enters(links[1], HOTJAR))
    assert told == {"session": begun["session"], "integration": "hotjar", "status": "active"}
    assert "Trocar as credenciais de Hotjar" in company.get(begun["connect_url"]).text


def test_a_form_that_comes_from_another_site_is_refused(company: Company) -> None:
    url = form_url(company.begin("foreign", "hotjar"), "hotjar")
    (form,) = Outline(company.get(url).text).all("input", name="form")
    fields = {"form": form["value"], **{f"input-{name}": value for name, value in HOTJAR.items()}}
    for headers in ({}, {"Origin": "https://evil.test"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = company.browser.post(url, data=fields, headers=headers, allow_redirects=False, timeout=30)
        assert answer.status_code == 403
    assert company.record("foreign", "hotjar") is None


def test_the_management_api_wants_a_signature(company: Company) -> None:
    answer = company.get(f"{company.ready.base_url}/tenants/acme/connections")
    assert answer.status_code == 403


def test_customers_credentials_mint_and_wrong_ones_are_refused(company: Company) -> None:
    good = HOTJAR
    assert company.consentry.put_credentials("acme", "hotjar", good, "Our site")["metadata"] == {"site_id": "14"}
    hotmart = {"client_id": "hotmart-demo-customer", "client_secret": "hotmart-demo-secret"}
    assert company.consentry.put_credentials("acme", "hotmart", hotmart, "")["status"] == "active"
    with pytest.raises(Trouble) as caught:
        company.consentry.put_credentials("globex", "hotjar", {**good, "client_secret": "CNRY-wrong-7c4d1e"}, "")
    assert caught.value.code == "credential_rejected"
    assert company.record("globex", "hotjar") is None


@pytest.mark.parametrize("integration", ["hotjar-code", "hotmart-code", "hubspot"])
def test_the_other_consents_work_too(company: Company, integration: str) -> None:
    assert company.connect("others", integration)["status"] == "active"


def test_a_customers_own_address_is_asked_for_and_used_from_then_on(company: Company) -> None:
    begun = company.begin("places", "zendesk")
    question = company.get(consent_url(begun))
    assert (question.status_code, "Zendesk subdomain" in Outline(question.text).text) == (200, True)
    assert company.get(f"{consent_url(begun)}&variable-subdomain=acme.evil").status_code == 400
    left = company.get(f"{consent_url(begun)}&variable-subdomain=acme")
    location = left.headers["Refresh"].removeprefix("0;url=")
    assert location.startswith(f"{company.authorization_server}/zendesk.com/acme/oauth/authorizations/new?")
    form = {"decision": "allow", "account": "acme"}
    decided = requests.post(location, data=form, allow_redirects=False, timeout=30)
    returned = query_of(company.get(decided.headers["Location"]))
    connection = company.consentry.complete("places", returned["session"], returned["handle"], "u-1")
    assert connection["metadata"] == {"subdomain": "acme"}
    wish = {"tenant": "places", "connection": "zendesk#default", "rejected_generation": connection["generation"]}
    assert company.invoke("RefreshFunction", wish)["outcome"] == "refreshed"
    assert company.record("places", "zendesk")["variables"] == {"M": {"subdomain": {"S": "acme"}}}  # type: ignore[index]  # it is there


def test_a_customers_own_address_may_be_the_companys_to_name(company: Company) -> None:
    named = {"zendesk": {"subdomain": "globex"}}
    assert company.connect("named", "zendesk", variables=named)["metadata"] == {"subdomain": "globex"}
    with pytest.raises(Trouble) as caught:
        company.connect("named", "zendesk", variables={"zendesk": {"subdomain": "acme"}})
    assert caught.value.code == "account_mismatch"


def test_health_needs_no_session(company: Company) -> None:
    assert company.get(f"{company.ready.base_url}/health").json() == {"status": "ok"}


def test_no_browser_learns_here_that_localhost_wants_tls(company: Company) -> None:
    headers = company.get(f"{company.ready.base_url}/authorize/hubspot?session=x").headers
    assert "Strict-Transport-Security" not in headers
    assert headers["X-Frame-Options"] == "DENY"


def test_the_functions_logged_what_happened_and_no_secret(company: Company) -> None:
    tokens = [company.consentry.token("acme", TICKETING), company.consentry.token("others", "hubspot")]
    text = Path(company.ready.log_file).read_text(encoding="utf-8")
    assert '"message":"consent"' in text
    assert "CNRY-" not in text
    assert "demo-secret" not in text
    for token in tokens:
        assert token.access_token.reveal() not in text
