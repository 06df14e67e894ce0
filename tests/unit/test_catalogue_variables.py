"""Provider files with variables: declared, used where they can do no harm, and explained."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from consentry.catalogue.compile import compile_folder
from consentry.catalogue.load import BUILT_IN, Catalogue, load_directory, parse_provider
from consentry.oauth.provider import UrlVariable
from consentry.oauth.variables import LABEL, PLACE, urls_of
from tests.unit.test_catalogue import CODE, CREDENTIALS, changed, documented, problems

DECLARED = '[variables.shop]\nlabel = "Shop"\n'
TEMPLATE = "https://{shop}.acme.example/token"


def with_url(url: str, declared: str = DECLARED) -> str:
    return changed(CODE, "https://acme.example/token", url) + declared


def test_a_variable_is_declared_and_used() -> None:
    declared = DECLARED + 'pattern = "[a-z]{2,20}"\nlabels = { pt = "Loja" }\nhelp = { en = "Before .acme.example" }\n'
    provider = parse_provider(with_url(TEMPLATE, declared), "acme.toml")
    assert provider.token.url == TEMPLATE
    assert provider.variables == {
        "shop": UrlVariable(
            label="Shop", labels={"pt": "Loja"}, pattern="[a-z]{2,20}", help={"en": "Before .acme.example"}
        )
    }


def test_a_variable_may_be_a_segment_of_a_path() -> None:
    for url in (
        "https://acme.example/{shop}/token",
        "https://acme.example/{shop}",
        "https://acme.example/a/{shop}?b=c",
    ):
        assert parse_provider(with_url(url), "acme.toml").token.url == url


def test_an_issuer_may_have_it_too() -> None:
    text = changed(with_url(TEMPLATE), "[authorization]\n", '[authorization]\nissuer = "https://{shop}.acme.example"\n')
    assert parse_provider(text, "acme.toml").variables


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("https://{shop}.com/token", "directly before a fixed name of two labels"),
        ("https://{shop}/token", "directly before a fixed name of two labels"),
        ("https://{shop}", "directly before a fixed name of two labels"),
        ("https://{shop}.example.com:8443/token", "without a port"),
        ("https://x-{shop}.acme.example/token", "as the whole first label"),
        ("https://{shop}-x.acme.example/token", "as the whole first label"),
        ("https://api.{shop}.acme.example/token", "as the whole first label"),
        ("https://{shop}.{shop}.acme.example/token", "one variable in its host"),
        ("https://{shop}acme.example/token", "as the whole first label"),
        ("https://{shop}.0.0.1/token", "directly before a fixed name of two labels"),
        ("https://{shop}.168.1.1/token", "directly before a fixed name of two labels"),
        ("https://{shop}.acme.1/token", "directly before a fixed name of two labels"),
        ("https://{shop}..example/token", "directly before a fixed name of two labels"),
        ("https://{shop}.acme.example./token", "directly before a fixed name of two labels"),
        ("https://{shop}.-acme.example/token", "directly before a fixed name of two labels"),
        ("https://{shop}@acme.example/token", "must not hold a user name"),
        ("https://user:{shop}@acme.example/token", "must not hold a user name"),
        ("http://{shop}.acme.example/token", "must begin with https://"),
        ("{shop}://acme.example/token", "must begin with https://"),
        ("https://{shop}.co.uk/token", "whoever registers one below co.uk"),
        ("https://{shop}.com.br/token", "whoever registers one below com.br"),
        ("https://{shop}.service.internal/token", "names below .internal"),
        ("https://{shop}.app.localhost/token", "names below .localhost"),
        ("https://{shop}.2.0.192.in-addr.arpa/token", "names below .arpa"),
        ("https://acme.example/x{shop}/token", "as a whole segment of its path"),
        ("https://acme.example/{shop}.json", "as a whole segment of its path"),
        ("https://acme.example/{shop}{shop}/", "as a whole segment of its path"),
        ("https://acme.example/token?shop={shop}", "must not have a variable in its query"),
        ("https://acme.example/token#{shop}", "must not have a fragment"),
        ("https://{shop}.acme.example/{other}/token", "is not a URL"),
        ("https://{SHOP}.acme.example/token", "is not a URL"),
        ("https://{}.acme.example/token", "is not a URL"),
        ("https://{shop.acme.example/token", "is not a URL"),
        ("https://[{shop}/token", "is not a URL"),
    ],
)
def test_a_variable_in_a_place_that_could_lead_elsewhere_is_refused(url: str, sentence: str) -> None:
    found = problems(with_url(url))
    assert any(problem.startswith("acme.toml: token.url ") and sentence in problem for problem in found), found


@pytest.mark.parametrize("field", ["authorization.url", "token.refresh_url", "revocation_url", "uninstall_url"])
def test_every_url_is_held_to_it(field: str) -> None:
    wrong = 'url = "https://{shop}.com/x"\n'
    text = with_url(TEMPLATE)
    texts = {
        "authorization.url": changed(text, 'url = "https://acme.example/authorize"\n', wrong),
        "token.refresh_url": changed(text, "[token]\n", f"[token]\nrefresh_{wrong}"),
        "revocation_url": changed(text, "[authorization]\n", f"revocation_{wrong}[authorization]\n"),
        "uninstall_url": changed(text, "[authorization]\n", f"uninstall_{wrong}[authorization]\n"),
    }
    (problem,) = problems(texts[field])
    assert problem.startswith(f"acme.toml: {field} may have one variable in its host")


def test_a_listed_loopback_origin_has_no_variable_in_its_host() -> None:
    anywhere = frozenset({"*"})
    allowed = with_url("http://localhost:4000/{shop}/token")
    assert parse_provider(allowed, "acme.toml", allowed_origins=anywhere).variables
    for url in ("http://{shop}.localhost:4000/token", "http://{shop}:4000/token"):
        assert problems(with_url(url), allowed_origins=anywhere)


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ('[variables.shop]\nhelp = { en = "x" }\n', "variables.shop.label is missing"),
        ('[variables.shop]\nlabel = ""\n', "variables.shop.label.en must be a text of 1 to 200"),
        ('[variables.shop]\nlabel = "x"\nlabels = { PT = "x" }\n', "variables.shop.labels has the language 'PT'"),
        ('[variables.shop]\nlabel = "x"\nhelp = { pt = "x" }\n', "variables.shop.help must say it in English"),
        ('[variables.shop]\nlabel = "x"\nhelp = "x"\n', "variables.shop.help must be a table"),
        ('[variables.shop]\nlabel = "x"\npattern = "(a+)+"\n', "variables.shop has a pattern that is not one"),
        ('[variables.shop]\nlabel = "x"\nkind = "x"\n', "variables.shop.kind is not a known field"),
        (DECLARED + '[variables.other]\nlabel = "x"\n', "variables.other stands in no URL: write {other}"),
        (DECLARED + '[variables.Shop]\nlabel = "x"\n', "variables has the name 'Shop'"),
        ("variables = 1\n", "variables must be a table"),
        ("[variables]\nshop = 1\n", "variables.shop must be a table"),
    ],
)
def test_a_mistake_in_a_declaration_is_named(declared: str, sentence: str) -> None:
    text = with_url(TEMPLATE, "") if declared.startswith("variables =") else with_url(TEMPLATE, declared)
    text = declared + text if declared.startswith("variables =") else text
    assert any(sentence in problem for problem in problems(text)), problems(text)


def test_readers_find_no_two_things_of_one_name() -> None:
    kept = changed(with_url(TEMPLATE), 'body = "form"', 'body = "form"\nkeep = ["shop"]')
    asked = with_url(TEMPLATE) + (
        '[introspection]\nurl = "https://acme.example/i"\naccount_field = "sub"\nkeep = ["shop"]\n'
    )
    entered = changed(CREDENTIALS, "https://acme.example/token", "https://{client_id}.acme.example/token")
    entered += '[variables.client_id]\nlabel = "x"\n'
    for text in (kept, asked, entered):
        assert any("has the name of a kept field or an input" in problem for problem in problems(text))


def test_a_compiled_provider_keeps_its_variables(tmp_path: Path) -> None:
    compiled = compile_folder(BUILT_IN, tmp_path)
    assert Catalogue((tmp_path,)).provider("zendesk") == Catalogue((BUILT_IN,)).provider("zendesk")
    assert json.loads(compiled.read_text())["zendesk"]["variables"]["subdomain"]["label"] == "Zendesk subdomain"


def test_the_documentation_explains_every_field_of_a_variable() -> None:
    text = documented()
    assert {f"variables.{name}" for name in asdict(UrlVariable(label="x"))} <= set(text.replace("`", " ").split())


def test_built_in_variables_say_where_they_are_found_in_each_language() -> None:
    templated = [each for each in load_directory(BUILT_IN).values() if each.variables]
    assert [each.id for each in templated] == ["zendesk"]
    for provider in templated:
        for variable in provider.variables.values():
            assert set(variable.help) == {"en", "pt"}
            assert set(variable.labels) == {"pt"}
        assert any(PLACE.search(url) for url in urls_of(provider).values())
        assert LABEL.fullmatch("acme")
