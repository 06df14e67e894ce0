"""The built-in providers ask for tokens exactly as their vendors document, and read their answers."""

import json
from base64 import b64decode
from datetime import date
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from consentry.catalogue.load import BUILT_IN, Catalogue, load_directory
from consentry.model import Grant, Secret
from consentry.oauth.authorization import authorization_url
from consentry.oauth.callback import AuthorizationCode
from consentry.oauth.pkce import Verifier, challenge_s256
from consentry.oauth.provider import Provider, Rotation
from consentry.oauth.token_answer import parse_token_answer
from consentry.oauth.token_request import ClientIdentity, client_credentials_request, code_request, refresh_request
from consentry.oauth.variables import rendered
from consentry.oauth.wire import FailureClass, GrantType, HttpAnswer, TokenGrant, TokenRequestFailed

PROVIDERS = load_directory(BUILT_IN)
CLIENT = ClientIdentity("client-1", {"client_secret": Secret("secret-1")})
INPUTS = {"client_id": Secret("client-1"), "client_secret": Secret("secret-1")}
CODE = AuthorizationCode(Secret("code-1"))
REDIRECT_URI = "https://vault.example/callback/it"
VERIFIER = Verifier.from_random("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")

# Shapes as in the vendor's specification (2026-03, AccessTokenResponse), values invented.
HUBSPOT_ANSWER = {
    "access_token": "CLDv8ImzMxIHBgEAAAAA",
    "refresh_token": "na1-0000-0000",
    "expires_in": 1800,
    "token_type": "bearer",
    "token_use": "access_token",
    "hub_id": 62515,
    "user_id": 123,
    "scopes": ["oauth", "tickets"],
}


def answer(body: object, status: int = 200) -> HttpAnswer:
    return HttpAnswer(status=status, headers={}, body=json.dumps(body).encode())


def grant(provider: Provider, body: object, kind: GrantType) -> TokenGrant:
    return parse_token_answer(provider, answer(body), grant=kind, now=0)


def test_there_are_seven() -> None:
    known = ["hotjar", "hotjar-code", "hotmart", "hotmart-code", "hubspot", "hubspot-ticketing", "zendesk"]
    assert sorted(PROVIDERS) == known
    assert all(Catalogue().provider(provider_id) == provider for provider_id, provider in PROVIDERS.items())


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_each_says_when_and_where_its_facts_were_read(provider: Provider) -> None:
    assert date.fromisoformat(provider.checked) >= date(2026, 11, 1)
    assert provider.sources
    text = (BUILT_IN / f"{provider.id}.toml").read_text(encoding="utf-8")
    assert provider.unverified == ("UNVERIFIED" in text)
    assert provider.unverified == (provider.id.endswith("-code") or provider.id == "zendesk")


@pytest.mark.parametrize(
    ("provider_id", "endpoint", "scope"),
    [
        ("hubspot", "https://app.hubspot.com/oauth/authorize", ["oauth"]),
        ("hubspot-ticketing", "https://app.hubspot.com/oauth/authorize", ["tickets oauth"]),
        ("hotjar-code", "https://app.hotjar.com/oauth2/authorize", ["insights"]),
        ("hotmart-code", "https://api-sec-vlc.hotmart.com/security/oauth/authorize", None),
    ],
)
def test_a_browser_is_sent_where_the_vendor_says(provider_id: str, endpoint: str, scope: list[str] | None) -> None:
    url = authorization_url(
        PROVIDERS[provider_id],
        client_id="client-1",
        redirect_uri=REDIRECT_URI,
        state="xyz",
        scopes=(),
        optional_scopes=("crm.lists.read",),
        code_challenge=challenge_s256(VERIFIER),
    )
    query = parse_qs(urlsplit(url).query)
    assert url.startswith(endpoint + "?")
    assert query.get("scope") == scope
    assert query["code_challenge_method"] == ["S256"]
    assert ("optional_scope" in query) == provider_id.startswith("hubspot")


@pytest.mark.parametrize("provider_id", ["hubspot", "hubspot-ticketing"])
def test_hubspot_wants_a_form_with_the_secret_in_it(provider_id: str) -> None:
    request = code_request(PROVIDERS[provider_id], CLIENT, CODE, REDIRECT_URI, VERIFIER)
    assert request.url == "https://api.hubapi.com/oauth/2026-03/token"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "Authorization" not in request.headers
    assert dict(parse_qsl(request.body.decode())) == {
        "grant_type": "authorization_code",
        "code": "code-1",
        "redirect_uri": REDIRECT_URI,
        "client_id": "client-1",
        "client_secret": "secret-1",
        "code_verifier": VERIFIER.secret.reveal(),
    }


@pytest.mark.parametrize("provider_id", ["hubspot", "hubspot-ticketing"])
def test_hubspots_answer_names_account_and_scopes(provider_id: str) -> None:
    tokens = grant(PROVIDERS[provider_id], HUBSPOT_ANSWER, GrantType.REFRESH)
    assert tokens.account == "62515"
    assert tokens.metadata == {"hub_id": 62515, "user_id": 123}
    assert tokens.scopes == ("oauth", "tickets")
    assert tokens.expires_in_seconds == 1800


@pytest.mark.parametrize(
    "body",
    [
        {"error": "invalid_grant", "error_description": "expired", "status": "BAD_REFRESH_TOKEN", "message": "..."},
        {"status": "BAD_REFRESH_TOKEN", "message": "missing or unknown refresh token", "correlationId": "1-2"},
        {"status": "BAD_AUTH_CODE", "message": "missing or unknown auth code"},
    ],
)
def test_hubspots_dead_grants_are_recognised_in_old_and_new_answers(body: object) -> None:
    with pytest.raises(TokenRequestFailed) as caught:
        parse_token_answer(PROVIDERS["hubspot"], answer(body, 400), grant=GrantType.REFRESH, now=0)
    assert caught.value.kind is FailureClass.GONE


def test_hubspots_rate_limit_means_later() -> None:
    body = {"status": "error", "message": "limit", "errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"}
    with pytest.raises(TokenRequestFailed) as caught:
        parse_token_answer(PROVIDERS["hubspot"], answer(body, 429), grant=GrantType.REFRESH, now=0)
    assert caught.value.kind is FailureClass.LATER


def test_hubspot_ticketing_differs_from_hubspot_in_its_scopes_alone() -> None:
    hubspot, ticketing = (BUILT_IN / f"{name}.toml" for name in ("hubspot", "hubspot-ticketing"))
    own = ("id =", "name =", "default_scopes =", "#")

    def shared(text: str) -> list[str]:
        return [line for line in text.splitlines() if line and not line.startswith(own)]

    assert shared(hubspot.read_text(encoding="utf-8")) == shared(ticketing.read_text(encoding="utf-8"))


def test_hubspot_refreshes_as_if_every_refresh_token_were_new() -> None:
    assert PROVIDERS["hubspot"].refresh.rotation is Rotation.ROTATES
    assert PROVIDERS["hubspot"].refresh.reuse_grace_seconds == 0


def test_hotjar_wants_three_form_fields_and_nothing_else() -> None:
    request = client_credentials_request(PROVIDERS["hotjar"], {**INPUTS, "site_id": Secret("1234")})
    assert request.url == "https://api.hotjar.io/v1/oauth/token"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.body == b"grant_type=client_credentials&client_id=client-1&client_secret=secret-1"


def test_hotjars_keys_end_after_a_year_and_its_site_is_metadata() -> None:
    hotjar = PROVIDERS["hotjar"]
    assert hotjar.credential_lifetime_days == 365
    assert [(wanted.name, wanted.required) for wanted in hotjar.credential_inputs if wanted.metadata] == [
        ("site_id", False)
    ]
    tokens = grant(
        hotjar, {"access_token": "t", "token_type": "bearer", "expires_in": 3600}, GrantType.CLIENT_CREDENTIALS
    )
    assert (tokens.refresh_token, tokens.expires_in_seconds) == (None, 3600)


def test_hotmart_wants_a_query_a_basic_header_and_an_empty_json_body() -> None:
    request = client_credentials_request(PROVIDERS["hotmart"], {**INPUTS, "basic_token": Secret("aXNzdWVk")})
    assert request.url == (
        "https://api-sec-vlc.hotmart.com/security/oauth/token"
        "?grant_type=client_credentials&client_id=client-1&client_secret=secret-1"
    )
    assert request.headers["Authorization"] == "Basic aXNzdWVk"
    assert request.headers["Content-Type"] == "application/json"
    assert request.body == b""


def test_hotmarts_basic_token_is_computed_where_none_was_given() -> None:
    header = client_credentials_request(PROVIDERS["hotmart"], INPUTS).headers["Authorization"]
    assert b64decode(header.removeprefix("Basic ")) == b"client-1:secret-1"


def test_hotmarts_token_is_kept_verbatim() -> None:
    odd = "H4sIAAAAAAAAAB+/3d/%2BAA%3D%3D"
    body = {"access_token": odd, "token_type": "bearer", "expires_in": 86400, "scope": "read write", "jti": "1-2"}
    tokens = grant(PROVIDERS["hotmart"], body, GrantType.CLIENT_CREDENTIALS)
    assert tokens.access_token.reveal() == odd
    assert tokens.expires_in_seconds == 86_400


def test_rejected_credentials_cost_their_own_connection_alone() -> None:
    for provider_id, status, error in [("hotjar", 401, "invalid_client"), ("hotmart", 403, "unauthorized_client")]:
        with pytest.raises(TokenRequestFailed) as caught:
            parse_token_answer(
                PROVIDERS[provider_id], answer({"error": error}, status), grant=GrantType.CLIENT_CREDENTIALS, now=0
            )
        assert caught.value.kind is FailureClass.CREDENTIAL_REJECTED


def test_the_unverified_hotjar_flow_sends_json_as_its_guide_says() -> None:
    hotjar = PROVIDERS["hotjar-code"]
    request = refresh_request(hotjar, CLIENT, Secret("refresh-1"))
    assert (request.url, request.headers["Content-Type"]) == ("https://app.hotjar.com/oauth2/token", "application/json")
    assert json.loads(request.body) == {
        "grant_type": "refresh_token",
        "refresh_token": "refresh-1",
        "client_id": "client-1",
        "client_secret": "secret-1",
    }


def test_the_unverified_hotmart_flow_sends_a_form_and_a_basic_header() -> None:
    request = code_request(PROVIDERS["hotmart-code"], CLIENT, CODE, REDIRECT_URI, VERIFIER)
    assert request.url == "https://api-sec-vlc.hotmart.com/security/oauth/token"
    assert request.headers["Authorization"].startswith("Basic ")
    assert set(dict(parse_qsl(request.body.decode()))) == {"grant_type", "code", "redirect_uri", "code_verifier"}


def test_an_unverified_flow_may_answer_without_a_refresh_token() -> None:
    for provider_id in ("hotjar-code", "hotmart-code"):
        assert PROVIDERS[provider_id].grant is Grant.AUTHORIZATION_CODE
        tokens = grant(PROVIDERS[provider_id], {"access_token": "t", "expires_in": 60}, GrantType.CODE)
        assert tokens.refresh_token is None


def test_zendesk_is_asked_at_the_customers_own_host_with_an_end_to_its_tokens() -> None:
    zendesk = rendered(PROVIDERS["zendesk"], {"subdomain": "acme"})
    request = refresh_request(zendesk, CLIENT, Secret("refresh-1"))
    assert request.url == "https://acme.zendesk.com/oauth/tokens"
    assert dict(parse_qsl(request.body.decode())) == {
        "expires_in": "86400",
        "grant_type": "refresh_token",
        "refresh_token": "refresh-1",
        "client_id": "client-1",
        "client_secret": "secret-1",
    }
    tokens = grant(
        zendesk, {"access_token": "t", "refresh_token": "r", "refresh_token_expires_in": 2592000}, GrantType.REFRESH
    )
    assert tokens.refresh_expires_in_seconds == 2_592_000
