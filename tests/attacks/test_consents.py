"""A consent under attack: links mailed to victims, answers delivered elsewhere, copies, other issuers and accounts."""

import base64
import hashlib

import pytest

from consentry.model import ConnectionKey
from consentry.web.response import Response
from tests.attacks.handlers import World
from tests.attacks.persons import Person
from tests.support.catalogue import ISSUER
from tests.support.deployment import BASE_URL, body_of, provider_answer, query_of
from tests.support.tables import ignore

MINUTE = 60


def code_of(response: Response) -> str:
    return str(body_of(response).get("code"))


def nothing_came_of_it(at: World) -> None:
    assert at.provider.asked == 0
    assert at.wiring.connections.read(ConnectionKey("acme", "crm")) is None


# S-01: the attacker's own session, and a victim who follows her link.


def test_a_victim_who_follows_a_mailed_link_connects_nothing_by_herself(at: World) -> None:
    """S-01 (a): she consents, and comes back to the company with a handle; nobody has asked the provider."""
    victim = Person(at)
    assert victim.returns(victim.departs(at.session("crm")))["statusCode"] == 303
    nothing_came_of_it(at)


def test_an_attacker_without_the_victim_s_handle_completes_nothing(at: World) -> None:
    """S-01 (b)."""
    victim, session = Person(at), at.session("crm")
    victim.returns(victim.departs(session))
    for handle in ("crm.x", f"crm.{'x' * 43}", "crm.", "x", f"desk.{'x' * 43}"):
        refused = at.completes({"session": session["session"], "handle": handle})
        assert refused["statusCode"] in {400, 404}
    nothing_came_of_it(at)


def test_another_user_s_completion_destroys_the_code(at: World) -> None:
    """S-01 (c): the company names the user who is signed in there, who is the victim."""
    victim = Person(at)
    returned = query_of(victim.returns(victim.departs(at.session("crm"))))
    refused = at.completes(returned, user_ref="victim")
    assert (refused["statusCode"], code_of(refused)) == (409, "other_user")
    assert at.completes(returned)["statusCode"] == 409
    nothing_came_of_it(at)


@pytest.mark.parametrize("late", [MINUTE, MINUTE + 1, 599, 86_400])
def test_a_late_completion_is_refused_and_destroys_the_code(at: World, late: int) -> None:
    """S-01 (d)."""
    person = Person(at)
    returned = query_of(person.returns(person.departs(at.session("crm"))))
    at.clock.advance(late)
    assert at.completes(returned)["statusCode"] == 410
    at.clock.advance(-late)
    assert at.completes(returned)["statusCode"] == 409
    nothing_came_of_it(at)


def test_a_completion_counts_once(at: World) -> None:
    """S-01 (e)."""
    person = Person(at)
    returned = query_of(person.returns(person.departs(at.session("crm"))))
    assert [at.completes(returned)["statusCode"] for _ in range(3)] == [200, 409, 409]
    assert at.provider.asked == 1


def test_a_victim_who_gets_the_provider_s_address_alone_is_refused(at: World) -> None:
    """S-01 (f): the attacker opened the link, so that the cookie is hers."""
    attacker, victim = Person(at), Person(at)
    location = attacker.departs(at.session("crm"))
    assert victim.returns(location)["statusCode"] == 403
    nothing_came_of_it(at)


# S-02, S-03, S-08: the answer, delivered elsewhere, again, or twice in one.


def test_the_attacker_s_answer_in_the_victim_s_browser_is_refused(at: World) -> None:
    """S-02: also where the victim has a consent of her own under way."""
    attacker, victim = Person(at), Person(at)
    location = attacker.departs(at.session("crm", completion="direct"))
    victim.departs(at.session("crm", completion="direct", name="own"))
    assert victim.returns(location)["statusCode"] == 403
    nothing_came_of_it(at)


@pytest.mark.parametrize("completion", ["confirm", "direct"])
def test_two_copies_of_an_answer_at_once_are_one(at: World, completion: str) -> None:
    """S-03: the second comes after the first has read the flow, and before it has written anything."""
    person = Person(at)
    url = provider_answer(person.departs(at.session("crm", completion=completion)))
    copies: list[Response] = []

    def overtaken(operation: str) -> None:
        if operation == "update_item":
            at.dynamo.before = ignore
            copies.append(person.goes(url))

    at.dynamo.before, cookies = overtaken, person.jar.sent(url, site="vault.test")
    copies.append(person.goes(url, cookies=cookies))
    assert [each["statusCode"] for each in copies] == [303, 409]
    assert at.provider.asked == (1 if completion == "direct" else 0)


@pytest.mark.parametrize("name", ["code", "state", "iss"])
def test_an_answer_that_says_something_twice_is_refused(at: World, name: str) -> None:
    """S-08."""
    person = Person(at)
    url = provider_answer(person.departs(at.session("crm", completion="direct")))
    for twice in (
        f"{url}&{name}=x",
        f"{url}&{name}=",
        url.replace("?", f"?{name}=x&"),
        f"{url}&%{ord(name[0]):x}{name[1:]}=x",
    ):
        assert person.goes(twice)["statusCode"] == 400
    nothing_came_of_it(at)


# S-05, S-06, S-07: which server answers, for whom, and with whose code.


@pytest.mark.parametrize(
    "issuer", ["https://evil.test", f"{ISSUER}/", ISSUER.upper(), f" {ISSUER}", f"{ISSUER}\n", "null"]
)
@pytest.mark.parametrize("said", [{}, {"code": "", "error": "access_denied"}])
def test_an_answer_of_another_issuer_is_not_looked_at(at: World, issuer: str, said: dict[str, str]) -> None:
    """S-05: code or error, the page is the same, and the company is not told of a refusal that nobody spoke."""
    person = Person(at)
    answered = person.returns(person.departs(at.session("crm")), iss=issuer, **said)
    assert (answered["statusCode"], "Location" in answered["headers"]) == (400, False)
    nothing_came_of_it(at)


def test_a_provider_that_always_names_itself_is_held_to_it(at: World) -> None:
    """S-05."""
    person = Person(at)
    assert person.returns(person.departs(at.session("desk"), "desk"))["statusCode"] == 400


@pytest.mark.parametrize("other", ["crm2", "desk", "metrics", "nothing"])
def test_an_answer_at_another_integration_s_address_is_refused(at: World, other: str) -> None:
    """S-06: each has a redirect URI of its own, and a state is bound to it."""
    person = Person(at)
    url = provider_answer(person.departs(at.session("crm", "crm2", completion="direct")))
    assert person.goes(url.replace("/callback/crm?", f"/callback/{other}?"))["statusCode"] == 410
    nothing_came_of_it(at)


def test_a_session_opens_what_it_names_and_nothing_else(at: World) -> None:
    """S-06."""
    (url,) = at.session("crm")["authorize_urls"].values()
    for other in ("crm2", "desk", "metrics"):
        assert at.at(url.replace("/authorize/crm?", f"/authorize/{other}?"))["statusCode"] == 410


def test_the_verifier_is_that_of_the_challenge_and_new_each_time(at: World) -> None:
    """S-07: S256, 43 signs, and nowhere but in the token request."""
    person, verifiers = Person(at), set[str]()
    for number in range(50):
        location = person.departs(at.session("crm", completion="direct", name=f"n{number}"))
        asked = query_of({"headers": {"Location": location}})
        person.returns(location)
        verifier = at.provider.form["code_verifier"]
        hashed = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        assert (asked["code_challenge"], asked["code_challenge_method"]) == (hashed, "S256")
        assert verifier not in location
        verifiers.add(verifier)
    assert len(verifiers) == 50


# S-13, S-42, S-46.


@pytest.mark.parametrize(
    "name", ["host", "x-forwarded-host", "x-forwarded-proto", "forwarded", "x-original-url", "origin"]
)
def test_no_header_of_a_request_has_a_say_in_an_address(at: World, name: str) -> None:
    """S-13: pages, departures and returns are the same to the byte."""

    def shown(headers: dict[str, str]) -> list[object]:
        again = Person(at)
        session = at.session("crm", "metrics")
        location = again.goes(session["authorize_urls"]["crm"], headers=headers)["headers"]["Location"]
        asked = query_of({"headers": {"Location": location}})
        back = again.goes(provider_answer(location), site="crm.test", headers=headers)["headers"]["Location"]
        page = again.goes(session["connect_url"], headers=headers)["body"]
        return [asked["redirect_uri"], back.partition("?")[0], "evil" in page, f"{BASE_URL}/authorize/crm?" in page]

    assert shown({name: "evil.test"}) == shown({})


def test_another_account_does_not_take_a_connection_s_place(at: World) -> None:
    """S-42: the old tokens stay."""
    person = Person(at)
    person.returns(person.departs(at.session("crm", completion="direct")))
    before = at.wiring.connections.read(ConnectionKey("acme", "crm"))
    at.provider.account = 815
    answered = person.returns(person.departs(at.session("crm", completion="direct")))
    assert query_of(answered).get("error") == "account_mismatch"
    assert at.wiring.connections.read(ConnectionKey("acme", "crm")) == before
    allowed = at.session("crm", completion="direct", allow_account_change=True)
    assert query_of(person.returns(person.departs(allowed)))["status"] == "active"


LOOKS: list[tuple[str, dict[str, str]]] = [
    ("HEAD", {}), ("OPTIONS", {}), ("GET", {"sec-purpose": "prefetch"}), ("GET", {"sec-purpose": "prefetch;prerender"}),
    ("GET", {"purpose": "prefetch"}), ("PUT", {}), ("DELETE", {}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "headers"), LOOKS, ids=str)
def test_scanners_and_prefetchers_use_nothing_up(at: World, method: str, headers: dict[str, str]) -> None:
    """S-46: the links, the callback and the form; afterwards all of them work."""
    person = Person(at)
    session = at.session("crm", "metrics")
    form, value = person.form(session)
    callback = provider_answer(person.departs(session))
    calls, jar = at.calls, list(person.jar.cookies)
    for url in (session["connect_url"], session["authorize_urls"]["crm"], callback, form):
        assert person.goes(url, method=method, headers=headers)["statusCode"] in {204, 405}
    assert (at.calls, person.jar.cookies) == (calls, jar)
    assert person.goes(callback, site="crm.test")["statusCode"] == 303
    assert person.sends(form, value)["statusCode"] == 303


# S-37: the form.

ELSEWHERE: list[dict[str, str]] = [
    {"sec-fetch-site": "cross-site", "origin": "null"}, {"sec-fetch-site": "same-site", "origin": "null"},
    {"sec-fetch-site": "none"}, {"origin": "https://blog.vault.test"}, {"origin": "https://evil.test"}, {},
    {"sec-fetch-site": "same-origin,cross-site"}, {"referer": f"{BASE_URL}/connect"},
]  # fmt: skip


@pytest.mark.parametrize("headers", ELSEWHERE, ids=str)
def test_a_form_from_elsewhere_is_refused_with_cookie_and_value_all_the_same(
    at: World, headers: dict[str, str]
) -> None:
    """S-37."""
    person = Person(at)
    url, value = person.form(at.session("metrics"))
    calls = at.calls
    assert person.sends(url, value, headers)["statusCode"] == 403
    assert at.calls == calls


def test_a_link_is_no_oracle_for_stolen_credentials(at: World) -> None:
    """S-37: five tries; the sixth ends the session, the right secret included."""
    person = Person(at)
    url, _ = person.form(at.session("metrics", "crm"))
    values = [person.form_value(url) for _ in range(7)]
    statuses = [person.sends(url, value, secret="wrong")["statusCode"] for value in values[:5]]
    assert statuses == [400] * 5
    assert person.sends(url, values[5])["statusCode"] == 429
    assert person.sends(url, values[6])["statusCode"] == 410
    assert at.provider.asked == 5


def test_one_form_is_one_try(at: World) -> None:
    """S-37: a double click, a reload, a replay."""
    person = Person(at)
    url, value = person.form(at.session("metrics"))
    assert [person.sends(url, value)["statusCode"] for _ in range(3)] == [303, 409, 409]
    assert at.provider.asked == 1
