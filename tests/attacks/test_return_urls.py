"""S-09: nobody is sent anywhere but to a registered address, and every reader takes that for the same place."""

import re
from random import Random
from urllib.parse import urlsplit

import pytest

from consentry.connect.return_urls import is_return_url
from consentry.web.response import origin_of
from tests.attacks.corpus import return_urls
from tests.attacks.handlers import World
from tests.attacks.persons import Person
from tests.support.deployment import CREATE, OTHER_RETURN_URL, RETURN_URL, body_of
from tests.support.events import json_event
from tests.support.tables import template

NOT_REGISTERED = (
    "return_url is not registered: it must equal one of the stack's ReturnUrls, character by character, and those must "
    "be https://host/path without a user or a fragment"
)
CORPUS = [(trick, url) for trick, urls in return_urls().items() for url in urls]
# Registered by an operator in a hurry; none of them can be used, and none of them makes another one usable.
UNUSABLE = (
    "http://app.test/plain", "javascript:alert(1)", "//evil.test", "https://user:pw@app.test/x", "https://app.test/#/x",
    "https://0x7f.1/", "https://2130706433/", "https://app.test:99999/", "https://app.test:/", "https://-app.test/",
    "https://app..test/", "https://b\u00fccher.test/", "https://app.test/\\x", "https://", "app.test", "*", "http://localhost.evil.test/",
    "http://127.0.0.1.evil.test/", "http://127.0.0.2/", "https://app.test\\@evil.test/", "https://[::1]/", "https://app_x.test/",
)  # fmt: skip
USABLE = (
    RETURN_URL, OTHER_RETURN_URL, "https://app.test", "https://App.Test:8443/x/y?z=1&b=%20", "https://a-b.c1.co/",
    "https://xn--bcher-kva.example/", "http://localhost:3001/back", "http://127.0.0.1:1/", "https://127.0.0.1/",
    "https://app.test?x=1", "https://intranet/", "https://app.test:65535/", "https://app.test:80/",
)  # fmt: skip


def test_the_corpus_is_large_and_has_no_doubles() -> None:
    urls = [url for _, url in CORPUS]
    assert len(urls) == len(set(urls)) > 100


@pytest.mark.parametrize(("trick", "url"), CORPUS, ids=lambda value: ascii(value)[:60])
def test_an_address_that_is_not_registered_makes_no_session(at: World, trick: str, url: str) -> None:
    body = {"user_ref": "u-1", "integrations": ["crm"], "return_url": url}
    writes = at.dynamo.calls.count("put_item")
    refused = at.answer(json_event(CREATE, {"tenant": "acme"}, body))
    assert (refused["statusCode"], body_of(refused).get("code")) == (400, "invalid_request"), trick
    assert body_of(refused)["detail"] == NOT_REGISTERED  # nothing of the address is in it
    assert at.dynamo.calls.count("put_item") == writes


@pytest.mark.parametrize("url", ["", RETURN_URL, OTHER_RETURN_URL])
def test_a_registered_address_does(at: World, url: str) -> None:
    assert at.session("crm", return_url=url, completion="direct")["session"]


@pytest.mark.parametrize("url", UNUSABLE, ids=ascii)
def test_an_address_that_could_be_misread_is_as_good_as_not_registered(at: World, url: str) -> None:
    at.told(CONSENTRY_RETURN_URLS=f"{url},{RETURN_URL}")
    assert at.wiring.return_urls == {RETURN_URL}
    assert not is_return_url(url)


@pytest.mark.parametrize("url", USABLE)
def test_an_address_of_an_ordinary_kind_can_be_registered(url: str) -> None:
    assert is_return_url(url)


def allowed_by_the_template(text: str) -> bool:
    return re.fullmatch(template()["Parameters"]["ReturnUrls"]["AllowedPattern"], text) is not None


def test_the_template_lets_in_what_can_be_used_and_little_else() -> None:
    assert allowed_by_the_template("")
    assert allowed_by_the_template(",".join(USABLE))
    left = [url for url in UNUSABLE if allowed_by_the_template(url)]
    assert left == [
        "https://0x7f.1/",
        "https://2130706433/",
        "https://app.test:99999/",
        "https://-app.test/",
        "https://app..test/",
    ]


PIECES = (
    "https://", "http://", "https:", "//", "/", "\\", "@", ":", "?", "#", ".", "..", "%2e", "%00", "%40", "\t", "\n",
    " ", "app.test", "evil.test", "localhost", "127.0.0.1", "0x7f.1", "1", "xn--a", "443", "99999", "[::1]", "a", "-",
    "_",
    "\u3002", "\uff0f", "\u0430", "é", "*", ",", ";", "x=1", "&", "'",
)  # fmt: skip


def generated(seed: int, count: int) -> list[str]:
    """Return addresses put together from pieces, most of them starting well."""
    chance = Random(seed)  # noqa: S311 - inputs that can be made again
    starts = ("https://app.test", "https://", "http://localhost", "")
    return [chance.choice(starts) + "".join(chance.choices(PIECES, k=chance.randrange(5))) for _ in range(count)]


def test_what_is_accepted_has_one_host_in_the_policy_and_in_the_address() -> None:
    """10,000 generated; what a browser makes of those that are accepted is in `test_return_urls_in_chromium`."""
    accepted = [url for url in generated(0, 10_000) if is_return_url(url)]
    assert len(accepted) > 500
    for url in accepted:
        parts = urlsplit(url)
        assert origin_of(url) == f"{parts.scheme}://{parts.netloc}"
        assert (parts.username, parts.password, parts.fragment) == (None, None, "")
        assert parts.scheme == "https" or parts.hostname in {"localhost", "127.0.0.1"}


@pytest.mark.parametrize("url", UNUSABLE[3:5] + UNUSABLE[12:13] + UNUSABLE[21:])
def test_a_policy_names_no_origin_that_it_cannot_name_in_full(url: str) -> None:
    assert origin_of(url) in {"", "https://app.test"}


def test_an_address_that_was_withdrawn_gets_nobody_and_no_handle(at: World) -> None:
    person = Person(at)
    location = person.departs(at.session("crm", return_url=OTHER_RETURN_URL))
    at.told(CONSENTRY_RETURN_URLS=RETURN_URL)
    shown = person.returns(location)
    assert (shown["statusCode"], "Location" in shown["headers"]) == (409, False)
    assert "crm." not in shown["body"]
