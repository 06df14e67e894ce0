"""What a tenant may decide of a URL, and what is made of it (S-12)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consentry.errors import Misconfigured
from consentry.oauth.provider import Provider, UrlVariable
from consentry.oauth.variables import InvalidVariable, checked_variables, given_variables, rendered, urls_of
from tests.support.catalogue import BOOKS, CRM, SHOP


def at_path(provider: Provider, pattern: str = "") -> Provider:
    return replace(provider, variables={"company": UrlVariable(label="Company", pattern=pattern)})


def test_a_value_stands_in_every_url_of_the_provider() -> None:
    provider = rendered(SHOP, {"shop": "acme"})
    assert provider.authorization is not None
    assert provider.introspection is not None
    assert provider.authorization.url == "https://acme.shops.test/authorize"
    assert provider.authorization.issuer == "https://acme.shops.test"
    assert provider.token.url == "https://acme.shops.test/token"
    assert provider.introspection.url == "https://acme.shops.test/whose"
    assert provider.revocation_url == "https://acme.shops.test/revoke"
    assert "{" not in "".join(urls_of(provider).values())
    assert rendered(provider, {"shop": "acme"}) == provider


def test_a_provider_without_variables_is_the_same_whatever_a_record_says() -> None:
    assert rendered(CRM, {}) is CRM
    assert rendered(CRM, {"shop": "../"}) is CRM


@pytest.mark.parametrize("values", [{}, {"shop": ""}, {"shop": "a.b"}, {"shop": 1}, {"shop": None}, {"shop": ["a"]}])
def test_a_stored_value_that_will_not_do_leads_nowhere(values: dict[str, object]) -> None:
    with pytest.raises(Misconfigured, match="no usable shop for Shop: it has to be made anew"):
        rendered(SHOP, values)


def test_a_missing_value_is_told_from_a_wrong_one() -> None:
    with pytest.raises(InvalidVariable, match=r"variable shop \(Shop name\) is missing: Shop needs it") as missing:
        checked_variables(SHOP, {})
    with pytest.raises(InvalidVariable, match="does not look as Shop writes it") as wrong:
        checked_variables(SHOP, {"shop": "a b"})
    assert (missing.value.missing, wrong.value.missing) == (True, False)
    assert (missing.value.variable, wrong.value.variable, wrong.value.code) == ("shop", "shop", "invalid_variable")
    assert "a b" not in str(wrong.value)


def test_a_name_that_the_provider_does_not_know_is_refused() -> None:
    with pytest.raises(InvalidVariable, match="unknown variable 'subdomain'; Shop has shop"):
        checked_variables(SHOP, {"shop": "acme", "subdomain": "acme"})
    with pytest.raises(InvalidVariable, match="CRM has none"):
        given_variables(CRM, {"shop": "acme"})


def test_some_values_may_be_left_for_later() -> None:
    assert given_variables(SHOP, {}) == {}
    assert given_variables(SHOP, {"shop": "acme"}) == {"shop": "acme"}


@pytest.mark.parametrize("value", ["AB1", "XY999999"])
def test_a_pattern_says_what_a_path_may_hold(value: str) -> None:
    assert rendered(BOOKS, {"company": value}).token.url == f"https://api.books.test/{value}/token"


@pytest.mark.parametrize("value", ["ab1", "AB", "AB1/..", "AB1%2f", "../AB1", "AB1?x", "AB1#", "AB1\n"])
def test_what_is_unlike_the_pattern_is_refused(value: str) -> None:
    with pytest.raises(InvalidVariable):
        checked_variables(BOOKS, {"company": value})


@pytest.mark.parametrize("value", [".", "..", "...", "a/b", "a%2fb", "a\\b", "a;b", "a:b", "a@b", "é", "x" * 129, " "])
def test_no_pattern_lets_more_into_a_path_than_one_segment(value: str) -> None:
    wide = at_path(BOOKS, "[A-Za-z0-9_.:@+/= -]{1,200}")
    with pytest.raises(InvalidVariable):
        checked_variables(wide, {"company": value})
    assert checked_variables(wide, {"company": "acme.example_1"}) == {"company": "acme.example_1"}


def test_no_pattern_lets_more_into_a_host_than_one_label() -> None:
    wide = replace(SHOP, variables={"shop": UrlVariable(label="Shop", pattern="[A-Za-z0-9_.:@+/= -]{1,200}")})
    for value in ("a.b", "a_b", "A", "a@b", "a:1", "-a", "a-", "x" * 64):
        with pytest.raises(InvalidVariable):
            checked_variables(wide, {"shop": value})
    assert checked_variables(wide, {"shop": "a" * 63}) == {"shop": "a" * 63}


def test_without_a_pattern_a_path_holds_what_a_label_may() -> None:
    with pytest.raises(InvalidVariable):
        checked_variables(at_path(BOOKS), {"company": "acme.example"})
    assert checked_variables(at_path(BOOKS), {"company": "acme"}) == {"company": "acme"}


def test_a_value_in_host_and_path_has_to_suit_both() -> None:
    both = replace(SHOP, revocation_url="https://api.shops.test/{shop}/revoke")
    with pytest.raises(InvalidVariable):
        checked_variables(both, {"shop": "a.b"})
    assert rendered(both, {"shop": "acme"}).revocation_url == "https://api.shops.test/acme/revoke"


@given(st.text(max_size=20))
def test_a_path_keeps_its_segments_whatever_is_entered(text: str) -> None:
    wide = at_path(BOOKS, "[A-Za-z0-9_.:@+/= -]{1,200}")
    try:
        url = rendered(wide, {"company": text}).token.url
    except Misconfigured:
        return
    assert url.split("/") == ["https:", "", "api.books.test", text, "token"]
    assert text.strip(".")
