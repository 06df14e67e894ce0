"""S-19, S-20: garbage costs no call, however much of it; and nobody learns from a refusal what exists."""

from collections.abc import Callable
from random import Random
from urllib.parse import quote

import pytest

from consentry.connect.ports import MOST_TRIES
from consentry.connect.tickets import Tickets, cookie_name, digest
from consentry.model import Secret
from consentry.web.response import Response
from tests.attacks.handlers import World, opened
from tests.attacks.inputs import FORM, Attacker, Known
from tests.attacks.persons import Person, state_of, ticket_of
from tests.support.deployment import BASE_URL, COMPLETE, body_of, provider_answer
from tests.support.events import event, json_event
from tests.support.tables import template

MANY = 10_000
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
type Ask = Callable[[World, str], Response]


def page(at: World, ticket: str) -> Response:
    return at.at(f"{BASE_URL}/connect?session={ticket}", request_id="r")


def form(at: World, ticket: str) -> Response:
    return at.at(f"{BASE_URL}/connect/metrics?session={ticket}", request_id="r")


def departure(at: World, ticket: str) -> Response:
    return at.at(f"{BASE_URL}/authorize/crm?session={ticket}", request_id="r")


def post(at: World, ticket: str) -> Response:
    """Send a form; its own value is as good as the ticket."""
    headers = {"content-type": FORM, "sec-fetch-site": "same-origin"}
    url = f"{BASE_URL}/connect/metrics?session={ticket}"
    return at.at(url, method="POST", headers=headers, body=f"form={ticket}", cookies=[f"__Host-cf={'b' * 43}"])


def callback(at: World, state: str) -> Response:
    cookies = [f"{cookie_name(digest(state))}={'c' * 43}"]
    return at.at(f"{BASE_URL}/callback/crm?code=x&state={state}", cookies=cookies, request_id="r")


def junk(chance: Random, length: int) -> str:
    return "".join(chance.choices(ALPHABET, k=length))


@pytest.mark.parametrize(
    ("ask", "length"),
    [(page, 65), (form, 65), (departure, 65), (post, 65), (callback, 87)],
    ids=lambda each: getattr(each, "__name__", "signs"),
)
def test_ten_thousand_made_up_references_ask_neither_table_nor_key(at: World, ask: Ask, length: int) -> None:
    """S-20: of the right length and alphabet, so that nothing but the MAC tells them from ours."""
    chance = Random(0)  # noqa: S311 - inputs that can be made again
    before = at.calls
    statuses = {ask(at, junk(chance, length))["statusCode"] for _ in range(MANY // 5)}
    assert statuses == {410}
    assert at.calls == before


@pytest.mark.parametrize("ask", [page, form, departure, post])
def test_a_ticket_with_one_sign_changed_asks_neither_table_nor_key(at: World, ask: Ask) -> None:
    """S-20: every place of it."""
    ticket = ticket_of(at.session("crm", "metrics"))
    before = at.calls
    for place, sign in enumerate(ticket):
        other = "A" if sign != "A" else "B"
        assert ask(at, ticket[:place] + other + ticket[place + 1 :])["statusCode"] == 410
    attacker = Attacker(Random(1), Known([], [], [], []))  # noqa: S311 - as above
    for _ in range(500):
        changed = attacker.almost(ticket)
        if changed != ticket:
            assert ask(at, quote(changed, safe=""))["statusCode"] == 410
    assert at.calls == before


def test_a_state_with_one_sign_changed_or_for_another_integration_asks_nobody(at: World) -> None:
    """S-20, S-06."""
    state = state_of(Person(at).departs(at.session("crm", "crm2")))
    before = at.calls
    for place, sign in enumerate(state):
        assert callback(at, state[:place] + ("A" if sign != "A" else "B") + state[place + 1 :])["statusCode"] == 410
    for other in ("crm2", "desk", "metrics", "CRM", "crm|", "crm|x", ""):
        request = opened(f"{BASE_URL}/callback/crm?code=x&state={state}", parameters={"integration": other})
        assert at.answer(request)["statusCode"] == 410
    assert at.calls == before


def test_no_kind_of_reference_passes_for_another(at: World) -> None:
    """S-20: tickets, states and forms have MACs of their own."""
    person = Person(at)
    session = at.session("crm", "metrics")
    ticket, state = ticket_of(session), state_of(person.departs(session))
    _, value = person.form(session)
    before = at.calls
    for ask, given in ((page, value), (departure, value), (callback, ticket), (callback, value), (page, state)):
        assert ask(at, given)["statusCode"] == 410
    assert at.calls == before


def test_references_of_another_deployment_open_nothing(at: World) -> None:
    other = Tickets(Secret("CNRY-mac-key-of-another-deployment"))
    ticket, session_id = other.ticket("t" * 43)
    before = at.calls
    assert page(at, ticket)["statusCode"] == callback(at, other.state(session_id, "crm", "s" * 43))["statusCode"] == 410
    assert at.calls == before


def test_a_thousand_visits_with_one_ticket_leave_one_flow(at: World) -> None:
    """S-20: each is one write of the same item, and the newest state alone counts."""
    session = at.session("crm")
    rows, writes = len(rows_of(at)), at.dynamo.calls.count("update_item")
    person = Person(at)
    locations = [person.departs(session) for _ in range(1_000)]
    assert len(rows_of(at)) == rows + 1
    assert at.dynamo.calls.count("update_item") == writes + 1_000
    assert [person.returns(each)["statusCode"] for each in (locations[0], locations[-2], locations[-1])] == [
        403,
        410,
        303,
    ]


def rows_of(at: World) -> list[object]:
    return list(at.memory.scan(TableName=at.tables["PendingTable"])["Items"])


def test_public_routes_are_throttled_each_on_its_own() -> None:
    """S-20."""
    stage = template()["Resources"]["HttpApiStage"]["Properties"]
    for route in (
        "/authorize/{integration}",
        "/callback/{integration}",
        "/connect",
        "/connect/{integration}",
        "/health",
    ):
        throttle = stage["RouteSettings"][f"ANY {route}"]
        assert throttle["ThrottlingRateLimit"] < stage["DefaultRouteSettings"]["ThrottlingRateLimit"]
        assert throttle["ThrottlingBurstLimit"] < stage["DefaultRouteSettings"]["ThrottlingBurstLimit"]


# S-19: unknown, expired, used up and foreign, over all routes.


def tickets_that_open_nothing(at: World) -> dict[str, str]:
    """Return a ticket for each reason there is; time goes on by half an hour meanwhile."""
    expired = at.session("crm", "metrics")
    at.clock.advance(1800)
    used, foreign = at.session("crm", "metrics"), at.session("desk")
    for number in range(MOST_TRIES + 1):
        at.wiring.sessions.spend_try(used["session"], form=f"f{number}", claim_id=f"c{number}")
    unknown, _ = at.tickets.ticket("u" * 43)
    right = ticket_of(at.session("crm", "metrics"))
    return {
        "unknown": unknown,
        "expired": ticket_of(expired),
        "used up": ticket_of(used),
        "not for this integration": ticket_of(foreign),
        "forged": right[:-1] + ("A" if right[-1] != "A" else "B"),
        "junk": "x",
        "missing": "",
    }


@pytest.mark.parametrize("ask", [page, form, departure])
def test_whatever_the_reason_a_link_that_opens_nothing_is_answered_alike(at: World, ask: Ask) -> None:
    """S-19: status, headers and body, to the byte."""
    tickets = tickets_that_open_nothing(at)
    if ask is page:
        del tickets["not for this integration"]  # the page shows what the session is for
    answers = {reason: ask(at, ticket) for reason, ticket in tickets.items()}
    assert answers["unknown"]["statusCode"] == 410
    assert [reason for reason, answer in answers.items() if answer != answers["unknown"]] == []


def test_whatever_the_reason_a_form_that_opens_nothing_is_answered_alike(at: World) -> None:
    """S-19: with a value that is right for its ticket."""
    answers = {}
    for reason, ticket in tickets_that_open_nothing(at).items():
        verified = at.tickets.verify_ticket(ticket)
        value = at.tickets.form(verified.session_id, "metrics", "b" * 43, "r" * 43) if verified else "x"
        request = event(
            "ANY /connect/{integration}",
            method="POST",
            parameters={"integration": "metrics"},
            query=f"session={ticket}",
            headers={"content-type": FORM, "sec-fetch-site": "same-origin"},
            cookies=[f"__Host-cf={'b' * 43}"],
            body=f"form={value}",
            request_id="r",
        )
        answers[reason] = at.answer(request)
    assert answers["unknown"]["statusCode"] == 410
    assert [reason for reason, answer in answers.items() if answer != answers["unknown"]] == []


def test_whatever_the_reason_a_state_that_opens_nothing_is_answered_alike(at: World) -> None:
    """S-19: unknown, expired, replaced by a newer one, another deployment's, forged."""
    person = Person(at)
    session = at.session("crm")
    expired = provider_answer(person.departs(at.session("crm", name="expired")))
    at.clock.advance(601)
    replaced = provider_answer(person.departs(session))
    newest = provider_answer(person.departs(session))
    unknown = at.tickets.state("x" * 22, "crm", "y" * 43)
    jar = [f"{each.name}={each.value}" for each in person.jar.cookies]
    jar.append(f"{cookie_name(digest(unknown))}={'c' * 43}")
    url = f"{BASE_URL}/callback/crm?code=x&state="
    asked = {"expired": expired, "replaced": replaced, "unknown": url + unknown, "forged": f"{url}{'z' * 87}"}
    answers = {reason: at.at(each, cookies=jar, request_id="r") for reason, each in asked.items()}
    assert answers["unknown"]["statusCode"] == 410
    assert [reason for reason, answer in answers.items() if answer != answers["unknown"]] == []
    assert at.at(newest, cookies=jar)["statusCode"] == 303


@pytest.mark.parametrize("cookie", ["", "c" * 43, "junk"])
def test_who_has_a_state_and_not_its_cookie_does_not_learn_whether_it_lives(at: World, cookie: str) -> None:
    """S-19: a state that leaked on its way through the provider."""
    person = Person(at)
    alive = state_of(person.departs(at.session("crm")))
    parked = state_of(location := person.departs(at.session("crm", name="parked")))
    assert person.returns(location)["statusCode"] == 303
    denied = state_of(location := person.departs(at.session("crm", name="denied")))
    assert person.returns(location, code="", error="access_denied")["statusCode"] == 303
    unknown = at.tickets.state("x" * 22, "crm", "y" * 43)
    answers = []
    for state in (unknown, alive, parked, denied):
        cookies = [f"{cookie_name(digest(state))}={cookie}"] if cookie else []
        answers.append(at.at(f"{BASE_URL}/callback/crm?code=x&state={state}", cookies=cookies, request_id="r"))
    assert answers[1:] == [answers[0]] * 3


def test_a_tenant_is_the_path_s_whatever_else_a_request_says(at: World) -> None:
    """S-19: another tenant's session is as unknown as one that never was."""
    person = Person(at)
    session = at.session("crm")
    location = person.returns(person.departs(session))["headers"]["Location"]
    handle = location.partition("handle=")[2]
    body = {"handle": handle, "user_ref": "u-1", "tenant": "acme"}

    def completed(tenant: str, session_id: str) -> Response:
        request = json_event(COMPLETE, {"tenant": tenant, "session": session_id}, body, request_id="r")
        return at.answer(request | {"headers": {**request["headers"], "x-tenant": "acme"}})

    foreign, unknown = completed("globex", session["session"]), completed("globex", "x" * 22)
    assert foreign == unknown == completed("globex", "not a session's id")
    assert (foreign["statusCode"], body_of(foreign)["code"]) == (404, "unknown_session")
    assert at.provider.asked == 0
    assert completed("acme", session["session"])["statusCode"] == 200
