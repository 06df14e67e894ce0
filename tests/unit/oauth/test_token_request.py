import json
from base64 import b64decode
from collections.abc import Mapping
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oauthlib.oauth2 import BackendApplicationClient, WebApplicationClient

from consentry.errors import InvalidRequest, Misconfigured
from consentry.model import Secret
from consentry.oauth.callback import AuthorizationCode
from consentry.oauth.pkce import Verifier
from consentry.oauth.provider import BodyFormat, ClientAuthentication, Pkce, Provider
from consentry.oauth.token_request import (
    ClientIdentity,
    client_credentials_request,
    code_request,
    refresh_request,
)
from consentry.oauth.wire import TokenRequest
from tests.unit.oauth.samples import OWN_CREDENTIALS, PLAIN, RFC_BASIC, RFC_CLIENT, with_authorization, with_token

CODE = AuthorizationCode(Secret("SplxlOBeZQQYbYS6WxSbIA"))
REDIRECT_URI = "https://client.example.com/cb"
VERIFIER = Verifier.from_random("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
INPUTS = {"client_id": Secret("s6BhdRkqt3"), "client_secret": Secret("gX1fBat3bV")}


def form(request: TokenRequest) -> dict[str, str]:
    pairs = parse_qsl(request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def exchange(provider: Provider = PLAIN, client: ClientIdentity = RFC_CLIENT) -> TokenRequest:
    return code_request(provider, client, CODE, REDIRECT_URI, VERIFIER)


def test_a_code_is_exchanged_as_in_rfc_6749_section_4_1_3() -> None:
    request = code_request(PLAIN, RFC_CLIENT, CODE, REDIRECT_URI, None)
    assert (request.method, request.url) == ("POST", "https://server.example.com/token")
    assert request.headers["Authorization"] == RFC_BASIC
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(request.body.decode()) == parse_qs(
        "grant_type=authorization_code&code=SplxlOBeZQQYbYS6WxSbIA&redirect_uri=https%3A%2F%2Fclient%2Eexample%2Ecom%2Fcb"
    )


def test_a_token_is_refreshed_as_in_rfc_6749_section_6() -> None:
    request = refresh_request(PLAIN, RFC_CLIENT, Secret("tGzv3JOkF0XG5Qx2TlKWIA"))
    assert request.headers["Authorization"] == RFC_BASIC
    assert request.body == b"grant_type=refresh_token&refresh_token=tGzv3JOkF0XG5Qx2TlKWIA"


def test_credentials_are_presented_as_in_rfc_6749_section_4_4_2() -> None:
    request = client_credentials_request(OWN_CREDENTIALS, INPUTS)
    assert request.headers["Authorization"] == RFC_BASIC
    assert request.body == b"grant_type=client_credentials"


def test_the_bodies_agree_with_another_implementation() -> None:
    web = WebApplicationClient("s6BhdRkqt3")
    oracle = web.prepare_request_body(
        code=CODE.code.reveal(),
        redirect_uri=REDIRECT_URI,
        include_client_id=False,
        code_verifier=VERIFIER.secret.reveal(),
    )
    assert parse_qs(exchange().body.decode()) == parse_qs(oracle)
    refreshed = refresh_request(PLAIN, RFC_CLIENT, Secret("a+b/c="), ("x", "y")).body.decode()
    assert parse_qs(refreshed) == parse_qs(web.prepare_refresh_body(refresh_token="a+b/c=", scope=["x", "y"]))
    minted = client_credentials_request(OWN_CREDENTIALS, INPUTS).body.decode()
    backend = BackendApplicationClient("s6BhdRkqt3").prepare_request_body(include_client_id=False)
    assert parse_qs(minted) == parse_qs(backend)


def test_the_answer_is_asked_for_as_uncompressed_json() -> None:
    headers = exchange().headers
    assert (headers["Accept"], headers["Accept-Encoding"]) == ("application/json", "identity")


@pytest.mark.parametrize("pkce", [Pkce.REQUIRED, Pkce.SUPPORTED, Pkce.IGNORED])
def test_the_verifier_is_sent_unless_the_provider_forbids_it(pkce: Pkce) -> None:
    assert form(exchange(with_authorization(pkce=pkce)))["code_verifier"] == VERIFIER.secret.reveal()
    assert "code_verifier" not in form(exchange(with_authorization(pkce=Pkce.FORBIDDEN)))


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_basic_form_encodes_id_and_secret_first(client_id: str, secret: str) -> None:
    client = ClientIdentity(client_id, {"client_secret": Secret(secret)})
    encoded = b64decode(exchange(client=client).headers["Authorization"].removeprefix("Basic "))
    left, right = encoded.decode("ascii").split(":")
    assert (unquote_plus(left), unquote_plus(right)) == (client_id, secret)


def test_post_carries_id_and_secret_in_the_body_alone() -> None:
    request = exchange(with_token(client_authentication=ClientAuthentication.POST))
    assert form(request)["client_id"] == "s6BhdRkqt3"
    assert form(request)["client_secret"] == "gX1fBat3bV"
    assert "Authorization" not in request.headers


def test_a_public_client_sends_its_id_alone() -> None:
    request = exchange(with_token(client_authentication=ClientAuthentication.NONE), ClientIdentity("public"))
    assert form(request)["client_id"] == "public"
    assert "client_secret" not in form(request)
    assert "Authorization" not in request.headers


@pytest.mark.parametrize("stored", ["aXNzdWVk+/==", "Basic aXNzdWVk+/==", " basic  aXNzdWVk+/== \n"])
def test_an_issued_basic_token_is_sent_as_it_is(stored: str) -> None:
    provider = with_token(client_authentication=ClientAuthentication.OPAQUE_BASIC)
    client = ClientIdentity("id", {"client_secret": Secret("secret"), "basic_token": Secret(stored)})
    assert exchange(provider, client).headers["Authorization"] == "Basic aXNzdWVk+/=="


def test_a_basic_token_that_was_not_issued_is_computed_without_encoding() -> None:
    provider = with_token(client_authentication=ClientAuthentication.OPAQUE_BASIC)
    client = ClientIdentity("a/b", {"client_secret": Secret("c+d")})
    assert b64decode(exchange(provider, client).headers["Authorization"].removeprefix("Basic ")) == b"a/b:c+d"


@pytest.mark.parametrize("malformed", ["line\r\nX-Evil: 1", "two words", "ünicode", "Basic "])
def test_a_malformed_basic_token_never_reaches_a_header(malformed: str) -> None:
    provider = with_token(client_authentication=ClientAuthentication.OPAQUE_BASIC)
    client = ClientIdentity("id", {"client_secret": Secret("secret"), "basic_token": Secret(malformed)})
    with pytest.raises(Misconfigured, match="malformed"):
        exchange(provider, client)
    own = with_token(OWN_CREDENTIALS, client_authentication=ClientAuthentication.OPAQUE_BASIC)
    with pytest.raises(InvalidRequest, match="basic_token is malformed"):
        client_credentials_request(own, {**INPUTS, "basic_token": Secret(malformed)})


def test_a_json_body_holds_what_a_form_would() -> None:
    request = exchange(with_token(body=BodyFormat.JSON))
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body) == form(exchange())


def test_query_puts_everything_into_the_url_and_leaves_the_body_empty() -> None:
    provider = with_token(
        OWN_CREDENTIALS,
        url="https://server.example.com/token?version=2",
        body=BodyFormat.QUERY,
        client_authentication=ClientAuthentication.OPAQUE_BASIC,
        client_in_parameters=True,
        headers={"content-type": "application/json"},
    )
    request = client_credentials_request(provider, {**INPUTS, "client_secret": Secret("a b&c=+%")})
    assert request.body == b""
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"].startswith("Basic ")
    assert dict(parse_qsl(urlsplit(request.url).query, strict_parsing=True)) == {
        "version": "2",
        "grant_type": "client_credentials",
        "client_id": "s6BhdRkqt3",
        "client_secret": "a b&c=+%",
    }
    assert request.host == "https://server.example.com"


def test_provider_headers_and_parameters_are_added_but_replace_nothing_of_the_protocol() -> None:
    provider = with_token(
        parameters={"audience": "api", "grant_type": "forged"}, headers={"user-agent": "Consentry", "accept": "*/*"}
    )
    request = exchange(provider)
    assert form(request)["audience"] == "api"
    assert form(request)["grant_type"] == "authorization_code"
    assert request.headers["User-Agent"] == "Consentry"
    assert request.headers["Accept"] == "*/*"
    assert len({name.lower() for name in request.headers}) == len(request.headers)


def test_a_separate_refresh_url_is_for_refreshing_alone() -> None:
    provider = with_token(refresh_url="https://server.example.com/refresh")
    assert refresh_request(provider, RFC_CLIENT, Secret("r")).url == "https://server.example.com/refresh"
    assert exchange(provider).url == "https://server.example.com/token"


def test_narrowed_scopes_are_joined_as_the_provider_wants() -> None:
    provider = with_token(scope_separator=",")
    assert form(refresh_request(provider, RFC_CLIENT, Secret("r"), ("a", "b")))["scope"] == "a,b"


@pytest.mark.parametrize("authentication", [ClientAuthentication.BASIC, ClientAuthentication.POST])
@pytest.mark.parametrize("secrets", [{}, {"client_secret": Secret("")}])
def test_a_missing_client_secret_is_the_operators_matter(
    authentication: ClientAuthentication, secrets: Mapping[str, Secret]
) -> None:
    with pytest.raises(Misconfigured, match="client_secret in the integration's secret"):
        exchange(with_token(client_authentication=authentication), ClientIdentity("id", secrets))


@pytest.mark.parametrize("missing", ["client_id", "client_secret"])
def test_a_missing_input_is_named(missing: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{missing} is missing"):
        client_credentials_request(OWN_CREDENTIALS, {**INPUTS, missing: Secret("")})


def test_no_request_prints_what_it_carries() -> None:
    request = exchange(with_token(body=BodyFormat.QUERY, client_authentication=ClientAuthentication.POST))
    for secret in ("gX1fBat3bV", "SplxlOBeZQQYbYS6WxSbIA", VERIFIER.secret.reveal()):
        assert secret in request.url
        assert secret not in f"{request} {request!r} {request.host}"
