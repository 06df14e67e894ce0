import re
from html import unescape

import pytest
import requests

from tests.authserver.driver import AUTHORIZE_PATHS, REDIRECT_URI, Driver, sent_back


def test_the_page_names_the_simulation_and_offers_two_accounts(servers: Driver) -> None:
    servers.register("hubspot")
    answer = servers.authorize("hubspot", scope="tickets oauth")
    page = unescape(answer.text)
    assert answer.status_code == 200
    assert "simulated HubSpot (local stack)" in page
    assert "Acme GmbH (62515)" in page
    assert "Globex (62516)" in page
    assert re.findall(r'name="decision" value="(\w+)"', page) == ["allow", "deny"]


def test_the_page_needs_no_cookie_and_cannot_be_framed(servers: Driver) -> None:
    answer = servers.authorize()
    assert "Set-Cookie" not in answer.headers
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_the_page_keeps_its_opener_unless_it_is_told_to_cut_it_off(servers: Driver) -> None:
    assert "Cross-Origin-Opener-Policy" not in servers.authorize().headers
    servers.order("options", opener_policy="same-origin")
    assert servers.authorize().headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_allowing_sends_a_code_the_exact_state_and_the_issuer_back(servers: Driver) -> None:
    answer = servers.decide("allow")
    assert set(answer) == {"code", "state", "iss"}
    assert answer["state"] == "a state with spaces & more"
    assert answer["iss"] == f"{servers.base_url}/auth.example"


def test_denying_sends_an_awkward_description_back_with_state_and_issuer(servers: Driver) -> None:
    answer = servers.decide("deny")
    assert answer["error"] == "access_denied"
    assert answer["error_description"] == 'The user said <no> & "left"'
    assert set(answer) == {"error", "error_description", "state", "iss"}


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"redirect_uri": None},
        {"redirect_uri": REDIRECT_URI + "/"},
        {"redirect_uri": REDIRECT_URI + "?x=1"},
        {"redirect_uri": REDIRECT_URI.replace("localhost", "LOCALHOST")},
    ],
)
def test_an_unknown_client_or_redirect_uri_is_a_page_and_never_a_redirect(
    servers: Driver, change: dict[str, str | None]
) -> None:
    answer = servers.authorize(**change)
    assert answer.status_code == 400
    assert "Location" not in answer.headers
    assert "text/html" in answer.headers["Content-Type"]


def test_a_client_of_one_system_is_unknown_to_another(servers: Driver) -> None:
    assert servers.authorize("hotjar").status_code == 400


def test_a_repeated_parameter_is_a_page_and_never_a_redirect(servers: Driver) -> None:
    query = requests.models.PreparedRequest()
    query.prepare_url(servers.base_url + AUTHORIZE_PATHS["generic"], servers.authorize_query())
    answer = requests.get(f"{query.url}&state=other", allow_redirects=False, timeout=10)
    assert answer.status_code == 400
    assert "repeated" in answer.text


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "read admin"}, "invalid_scope"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "too-short"}, "invalid_request"),
    ],
)
def test_other_mistakes_go_back_to_the_client(servers: Driver, change: dict[str, str | None], error: str) -> None:
    answer = sent_back(servers.authorize(**change))
    assert answer["error"] == error
    assert answer["state"] == "a state with spaces & more"


def test_hubspot_needs_a_scope_but_no_response_type_and_no_proof_key(servers: Driver) -> None:
    servers.register("hubspot")
    bare: dict[str, str | None] = {"response_type": None, "code_challenge": None, "code_challenge_method": None}
    assert "code" in servers.decide("allow", "acme", "hubspot", scope="tickets", **bare)
    assert sent_back(servers.authorize("hubspot", scope=None, **bare))["error"] == "invalid_scope"


def test_optional_scopes_are_granted_too(servers: Driver) -> None:
    servers.register("hubspot")
    granted = servers.connect("hubspot", scope="oauth", optional_scope="tickets")
    assert granted["scopes"] == ["oauth", "tickets"]


def test_without_a_scope_the_registered_ones_are_granted(servers: Driver) -> None:
    assert servers.connect(scope=None)["scope"] == "read write tickets oauth"


def test_consent_can_be_ordered_in_advance_but_only_through_the_control_api(servers: Driver) -> None:
    assert servers.authorize(auto_consent="allow").status_code == 200
    servers.order("options", auto_consent="allow", account="globex")
    code = sent_back(servers.authorize())["code"]
    assert servers.whoami(servers.exchange(code).json()["access_token"]).json()["sub"] == "account-globex"
    servers.order("options", auto_consent="deny")
    assert sent_back(servers.authorize())["error"] == "access_denied"
    servers.order("options", auto_consent=None)
    assert servers.authorize().status_code == 200


def test_a_decision_for_an_account_that_is_not_on_the_list_is_a_page(servers: Driver) -> None:
    query = requests.models.PreparedRequest()
    query.prepare_url(servers.base_url + AUTHORIZE_PATHS["generic"], servers.authorize_query())
    for form in ({"account": "somebody", "decision": "allow"}, {"account": "acme", "decision": "maybe"}, {}):
        answer = requests.post(str(query.url), form, allow_redirects=False, timeout=10)
        assert answer.status_code == 400
        assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("mode", "expected"), [("omit", None), ("send", "{base}/auth.example"), ("https://evil.test", "https://evil.test")]
)
def test_the_issuer_is_sent_omitted_or_forged_as_ordered(servers: Driver, mode: str, expected: str | None) -> None:
    servers.order("options", iss=mode)
    sent = expected.format(base=servers.base_url) if expected else None
    assert servers.decide("allow").get("iss") == sent
    assert servers.decide("deny").get("iss") == sent


def test_only_the_generic_system_sends_an_issuer_unless_told_to(servers: Driver) -> None:
    servers.register("hotjar")
    assert "iss" not in servers.decide("allow", "acme", "hotjar")
    servers.order("options", iss="send")
    assert servers.decide("allow", "acme", "hotjar")["iss"] == f"{servers.base_url}/app.hotjar.com"


def test_text_from_the_client_is_escaped_on_the_page(servers: Driver) -> None:
    servers.register(client_id="<script>x</script>")
    answer = servers.authorize(client_id="<script>x</script>")
    assert answer.status_code == 200
    assert "<script>" not in answer.text
