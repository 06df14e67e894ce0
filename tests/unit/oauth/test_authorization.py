from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oauthlib.oauth2 import WebApplicationClient

from consentry.errors import Misconfigured
from consentry.oauth.authorization import authorization_url
from consentry.oauth.provider import Pkce, Provider
from tests.unit.oauth.samples import OWN_CREDENTIALS, PLAIN, with_authorization


def url_for(provider: Provider = PLAIN, **changes: Any) -> str:  # noqa: ANN401 - the function's own arguments
    arguments: dict[str, Any] = {
        "client_id": "s6BhdRkqt3",
        "redirect_uri": "https://client.example.com/cb",
        "state": "xyz",
        "scopes": (),
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    }
    return authorization_url(provider, **arguments | changes)


def query_of(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)


def test_the_request_is_the_one_of_rfc_6749_section_4_1_1() -> None:
    url = url_for(with_authorization(pkce=Pkce.FORBIDDEN))
    example = (
        "https://server.example.com/authorize?response_type=code&client_id=s6BhdRkqt3&state=xyz"
        "&redirect_uri=https%3A%2F%2Fclient%2Eexample%2Ecom%2Fcb"
    )
    assert query_of(url) == query_of(example)
    assert urlsplit(url)._replace(query="") == urlsplit(example)._replace(query="")


def test_the_request_agrees_with_another_implementation() -> None:
    challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    oracle = WebApplicationClient("s6BhdRkqt3").prepare_request_uri(
        "https://server.example.com/authorize",
        redirect_uri="https://client.example.com/cb",
        scope=["a", "b"],
        state="xyz",
        code_challenge=challenge,
        code_challenge_method="S256",
    )
    assert query_of(url_for(scopes=("a", "b"))) == query_of(oracle)


@pytest.mark.parametrize("pkce", [Pkce.REQUIRED, Pkce.SUPPORTED, Pkce.IGNORED])
def test_a_challenge_is_sent_unless_the_provider_forbids_it(pkce: Pkce) -> None:
    assert query_of(url_for(with_authorization(pkce=pkce)))["code_challenge_method"] == ["S256"]
    assert "code_challenge" not in url_for(with_authorization(pkce=Pkce.FORBIDDEN))


def test_scopes_are_joined_as_the_provider_wants_and_spaces_become_percent_20() -> None:
    assert "scope=tickets%20oauth&" in url_for(scopes=("tickets", "oauth"))
    assert "scope=read%2Cwrite&" in url_for(with_authorization(scope_separator=","), scopes=("read", "write"))


def test_no_scopes_mean_the_providers_default_ones() -> None:
    provider = with_authorization(default_scopes=("basic",))
    assert query_of(url_for(provider))["scope"] == ["basic"]
    assert query_of(url_for(provider, scopes=("other",)))["scope"] == ["other"]
    assert "scope" not in query_of(url_for())


def test_optional_scopes_go_where_the_provider_has_a_parameter_for_them() -> None:
    provider = with_authorization(optional_scope_parameter="optional_scope")
    assert query_of(url_for(provider, optional_scopes=("x", "y")))["optional_scope"] == ["x y"]
    assert "optional_scope" not in url_for(provider)
    assert "x%20y" not in url_for(optional_scopes=("x", "y"))


def test_provider_parameters_are_sent_but_replace_nothing_of_the_protocol() -> None:
    provider = with_authorization(parameters={"prompt": "consent", "state": "forged", "redirect_uri": "https://evil"})
    query = query_of(url_for(provider))
    assert query["prompt"] == ["consent"]
    assert query["state"] == ["xyz"]
    assert query["redirect_uri"] == ["https://client.example.com/cb"]


@pytest.mark.parametrize("tail", ["?type=web_server", "?type=web_server&"])
def test_a_query_of_the_endpoint_is_kept(tail: str) -> None:
    url = url_for(with_authorization(url="https://server.example.com/authorize" + tail))
    assert url.startswith("https://server.example.com/authorize?type=web_server&response_type=code&")


def test_a_provider_without_consent_has_no_authorization_request() -> None:
    with pytest.raises(Misconfigured, match="connect it with credentials"):
        url_for(OWN_CREDENTIALS)


@given(
    values=st.fixed_dictionaries(
        {name: st.text(st.characters(exclude_categories=["Cs"]), min_size=1) for name in ("client_id", "state")}
    ),
    scopes=st.lists(st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1), min_size=1),
)
def test_every_value_arrives_as_it_was_given(values: dict[str, str], scopes: list[str]) -> None:
    url = url_for(PLAIN, **values, scopes=scopes)
    assert url.isascii()
    assert "+" not in url
    received = parse_qsl(urlsplit(url).query, strict_parsing=True)
    assert {name for name, _ in received} >= {"client_id", "state", "scope", "code_challenge"}
    assert len(received) == len(dict(received)) == 7
    assert {name: dict(received)[name] for name in values} == values
    assert dict(received)["scope"].split(" ") == scopes
