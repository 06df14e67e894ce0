"""S-18: the cookies that bind a consent, and a form, to a browser: what they are, when they go, who can plant one."""

import re
from collections.abc import Iterator

import pytest

from consentry.web.credentials import COOKIE
from consentry.web.response import Response
from tests.attacks.handlers import World
from tests.attacks.persons import FOREIGN_SITE, OWN_SITE, PROVIDER_SITE, Person
from tests.support.deployment import BASE_URL, provider_answer
from tests.support.jar import Jar, Kind, parsed

CALLBACK = f"{BASE_URL}/callback/crm"
SIBLING = "https://blog.vault.test/"
FLOW = re.compile(r"__Host-cv-[0-9a-f]{8}")
# What Unicode counts as white space and a browser as part of a name; control characters it does not take at all.
BLANKS = ("\u0085", "\u00a0", "\u1680", "\u2000", "\u2003", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000")


@pytest.fixture
def person(at: World) -> Person:
    return Person(at)


def everywhere(at: World) -> Iterator[Response]:
    """Yield an answer of each kind that may set a cookie, and of many that may not."""
    person = Person(at)
    for completion in ("confirm", "direct"):
        for answer in ({}, {"code": "", "error": "access_denied"}, {"iss": "https://evil.test"}):
            session = at.session("crm", "metrics", completion=completion)
            yield person.goes(session["authorize_urls"]["crm"])
            yield person.returns(person.departs(session), **answer)
            yield person.goes(session["connect_url"])
            url, form = person.form(session)
            yield person.goes(url)
            yield person.sends(url, form)
            yield person.sends(url, form)
            yield person.sends(url, "x")
    yield person.goes(f"{BASE_URL}/health")
    yield person.goes(f"{BASE_URL}/authorize/crm?session=x")
    yield person.goes(f"{CALLBACK}?code=x&state=y")


def test_every_cookie_is_the_host_s_own_and_hidden_and_short(at: World) -> None:
    seen = [each for response in everywhere(at) for each in response.get("cookies", ())]
    assert len(seen) > 12
    for each in seen:
        cookie = parsed(each, BASE_URL, 0)
        assert cookie is not None, each
        assert (cookie.secure, cookie.http_only, cookie.same_site, cookie.path) == (True, True, "lax", "/")
        assert cookie.host_only
        assert FLOW.fullmatch(cookie.name) or cookie.name == COOKIE
        assert cookie.ends_at <= (1800 if cookie.name == COOKIE else 600)
        assert len(cookie.value) in {0, 43}
        assert "domain" not in each.lower()


def test_no_cookie_s_value_is_stored(at: World) -> None:
    """S-04."""
    person = Person(at)
    session = at.session("crm", "metrics")
    person.departs(session)
    person.form(session)
    stored = repr(at.memory.scan(TableName=at.tables["PendingTable"]))
    assert len(person.jar.cookies) == 2
    assert [each for each in person.jar.cookies if each.value in stored] == []


@pytest.mark.parametrize(
    ("method", "kind", "present"),
    [
        ("GET", Kind.TOP_LEVEL, True),
        ("POST", Kind.TOP_LEVEL, False),
        ("GET", Kind.FRAME, False),
        ("GET", Kind.FETCH, False),
        ("POST", Kind.FETCH, False),
    ],
)
def test_from_another_site_a_cookie_comes_with_a_link_and_with_nothing_else(
    at: World, person: Person, method: str, kind: Kind, present: bool
) -> None:
    session = at.session("crm", "metrics")
    person.departs(session)
    person.form(session)
    assert len(person.jar.sent(CALLBACK, site=FOREIGN_SITE, method=method, kind=kind)) == (2 if present else 0)
    assert len(person.jar.sent(CALLBACK, site=OWN_SITE, method=method, kind=kind)) == 2
    assert person.jar.sent(CALLBACK.replace("https", "http"), site=OWN_SITE) == []
    assert person.jar.sent(SIBLING, site=OWN_SITE) == []


@pytest.mark.parametrize(("kind", "status"), [(Kind.TOP_LEVEL, 303), (Kind.FRAME, 403), (Kind.FETCH, 403)])
def test_a_provider_s_redirect_is_received_at_the_top_level_alone(
    at: World, person: Person, kind: Kind, status: int
) -> None:
    url = provider_answer(person.departs(at.session("crm")))
    assert person.goes(url, site=PROVIDER_SITE, kind=kind)["statusCode"] == status


def test_a_form_posted_from_another_site_comes_without_its_cookie(at: World, person: Person) -> None:
    """S-37: even from a browser that tells nothing of where it comes from."""
    url, form = person.form(at.session("metrics"))
    calls = at.calls
    for headers in ({"origin": "null"}, {"origin": BASE_URL}, {"sec-fetch-site": "same-origin"}):
        assert person.sends(url, form, headers, site=FOREIGN_SITE)["statusCode"] == 403
    assert at.calls == calls
    assert person.sends(url, form)["statusCode"] == 303


def test_two_consents_at_once_do_not_disturb_each_other(at: World, person: Person) -> None:
    first, second = person.departs(at.session("crm")), person.departs(at.session("desk"), "desk")
    third = person.departs(at.session("crm", name="third"))
    assert person.returns(second, iss="https://desk.test")["statusCode"] == 303
    assert person.returns(third)["statusCode"] == 303
    assert person.returns(first)["statusCode"] == 303


def test_the_sixth_consent_takes_the_place_of_the_oldest(at: World, person: Person) -> None:
    departed = [person.departs(at.session("crm", name=f"n{number}")) for number in range(6)]
    assert len(person.jar.cookies) == 5
    assert [person.returns(each)["statusCode"] for each in departed] == [403, *[303] * 5]


def test_the_form_s_cookie_survives_any_number_of_consents(at: World, person: Person) -> None:
    url, form = person.form(at.session("metrics"))
    for number in range(7):
        person.departs(at.session("crm", name=f"n{number}"))
    assert person.sends(url, form)["statusCode"] == 303


@pytest.mark.parametrize(
    ("completion", "answer"),
    [("direct", {}), ("direct", {"code": "", "error": "access_denied"}), ("confirm", {"code": "", "error": "no"})],
)
def test_a_cookie_is_taken_back_once_its_consent_has_ended(
    at: World, person: Person, completion: str, answer: dict[str, str]
) -> None:
    location = person.departs(at.session("crm", completion=completion))
    assert person.returns(location, **answer)["statusCode"] == 303
    assert person.jar.cookies == []


def test_a_cookie_kept_for_a_reload_opens_nothing_after_its_minute(at: World, person: Person) -> None:
    location = person.departs(at.session("crm"))
    assert person.returns(location)["statusCode"] == 303
    at.clock.advance(60)
    assert person.returns(location)["statusCode"] == 409
    person.jar.now += 600
    assert person.jar.sent(CALLBACK, site=OWN_SITE) == []


# Whoever has another host of the site, a blog perhaps, can plant cookies for all of it, but none with our prefix.


def planted(jar: Jar, name: str, value: str) -> bool:
    return jar.keep(f"{name}={value}; Domain=vault.test; Path=/; Secure", SIBLING)


def test_a_sibling_s_cookie_with_our_name_is_not_kept_by_the_browser(at: World) -> None:
    jar = Jar()
    assert not planted(jar, COOKIE, "x" * 43)
    assert not planted(jar, COOKIE.swapcase(), "x" * 43)
    assert not jar.keep(f"{COOKIE}={'x' * 43}; Domain=vault.test", SIBLING)
    assert not jar.keep(f"={COOKIE}={'x' * 43}; Domain=vault.test; Secure", SIBLING)
    assert not planted(jar, f"\x0b{COOKIE}", "x" * 43)


@pytest.mark.parametrize("blank", BLANKS)
def test_a_name_that_only_looks_like_ours_is_another_name(at: World, blank: str) -> None:
    """The attacker's own consent, her cookie planted in the victim's browser under a name that trims to ours."""
    attacker, victim = Person(at), Person(at)
    location = attacker.departs(at.session("crm"))
    (mine,) = attacker.jar.cookies
    assert planted(victim.jar, blank + mine.name, mine.value)
    assert not planted(victim.jar, mine.name + blank, mine.value)
    assert len(victim.jar.sent(CALLBACK, site=PROVIDER_SITE)) == 1
    assert victim.returns(location)["statusCode"] == 403
    assert attacker.returns(location)["statusCode"] == 303


@pytest.mark.parametrize("blank", BLANKS)
def test_planted_names_drive_out_no_consent_and_bind_no_form(at: World, blank: str) -> None:
    attacker, victim = Person(at), Person(at)
    location = victim.departs(at.session("crm"))
    session = at.session("crm", "metrics")
    url, form = attacker.form(session)
    (mine,) = attacker.jar.cookies
    assert planted(victim.jar, blank + COOKIE, mine.value)
    for number in range(9):
        assert planted(victim.jar, f"{blank}__Host-cv-0000000{number}", "x")
    assert victim.sends(url, form)["statusCode"] == 403
    victim.departs(session)
    assert victim.returns(location)["statusCode"] == 303


def test_a_second_cookie_of_the_same_name_opens_nothing_that_the_first_does_not(at: World) -> None:
    attacker, victim = Person(at), Person(at)
    location = attacker.departs(at.session("crm"))
    (mine,) = attacker.jar.cookies
    cookies = [f"{mine.name}=x", f"{mine.name}={mine.value}"]
    for given in (cookies, cookies[::-1]):
        assert victim.goes(provider_answer(location), cookies=given)["statusCode"] == 403
    assert attacker.returns(location)["statusCode"] == 303
