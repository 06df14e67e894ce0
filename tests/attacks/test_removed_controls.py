"""Each control taken away, one at a time: the attack that it keeps out must succeed, or its test proves nothing."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import pytest

from consentry.aws import pending
from consentry.aws.pending import DynamoSessions
from consentry.connect import authorize, callback, complete, entering, opening, return_urls, store
from consentry.connect.ports import Try
from consentry.connect.sessions import CreateSession
from consentry.connect.tickets import Tickets, VerifiedForm, VerifiedState, VerifiedTicket, _session_id, digest
from consentry.oauth import callback as answers
from consentry.pages import form as form_pages
from consentry.pages import markup
from consentry.web import boundary, credentials, request, response
from tests.attacks import test_consents as consents
from tests.attacks import test_cookies as cookies
from tests.attacks import test_headers as headers
from tests.attacks import test_junk as junk
from tests.attacks import test_reflection as reflection
from tests.attacks import test_return_urls as addresses
from tests.attacks.fuzz import Broken, Chunk, run
from tests.attacks.handlers import World, world
from tests.attacks.persons import Person

type Patch = tuple[object, str, object]
type Attack = Callable[[World], None]


def yes(*_given: object, **_named: object) -> bool:
    return True


def nothing(*_given: object, **_named: object) -> None:
    return None


def any_ticket(_self: Tickets, unverified: str) -> VerifiedTicket:
    return VerifiedTicket(_session_id(unverified[:43].encode("ascii", "replace").decode()))


def any_state(_self: Tickets, unverified: str, integration: str) -> VerifiedState:
    return VerifiedState(unverified[:22], integration, digest(unverified))


def any_form(_self: Tickets, unverified: str, *_bound_to: str) -> VerifiedForm:
    return VerifiedForm(unverified[:43])


def trimmed(texts: list[str]) -> dict[str, str]:
    """As Python trims: any white space of Unicode."""
    pairs = (each.partition("=") for each in texts)
    return {name.strip(): value for name, _, value in pairs}


def last_one(raw_query: str) -> dict[str, str]:
    """As most parsers read a query: whatever was said last."""
    pairs = (each.partition("=") for each in unquote_to_bytes(raw_query).decode("utf-8", "replace").split("&"))
    return {name: value for name, _, value in pairs if value}


def everything_shown(filled: form_pages.Filled, name: str) -> str:
    return filled.entered.get(name, "")


def as_it_is(text: str, **_safe: str) -> str:
    return text


def first_registration(self: CreateSession, wanted: Mapping[str, Any]) -> str:
    return str(wanted.get("return_url", ""))


def for_all_integrations(session: Any) -> Any:  # noqa: ANN401 - a session
    return replace(session, integrations=("crm", "crm2", "desk", "metrics"))


_real_opened = opening.opened


def opened_for_all(*given: Any) -> Any:  # noqa: ANN401 - handed on
    return for_all_integrations(_real_opened(*given))


def with_person(attack: Callable[..., None], **given: object) -> Attack:
    return lambda at: attack(at, Person(at), **given)


def plain(attack: Callable[..., None], **given: object) -> Attack:
    return lambda at: attack(at, **given)


def alone(attack: Callable[..., None], *given: object) -> Attack:
    return lambda _at: attack(*given)


# What is taken away, and the attack that must notice.
CONTROLS: Final[Mapping[str, tuple[Patch, Attack]]] = {
    "S-20 the MAC of a ticket": (
        (Tickets, "verify_ticket", any_ticket),
        plain(junk.test_a_ticket_with_one_sign_changed_asks_neither_table_nor_key, ask=junk.page),
    ),
    "S-20 the MAC of a state": (
        (Tickets, "verify_state", any_state),
        plain(junk.test_a_state_with_one_sign_changed_or_for_another_integration_asks_nobody),
    ),
    "S-06 the integration in a state's MAC": (
        (Tickets, "verify_state", any_state),
        plain(junk.test_no_kind_of_reference_passes_for_another),
    ),
    "S-02 the cookie's comparison": (
        (callback, "same", yes),
        plain(junk.test_who_has_a_state_and_not_its_cookie_does_not_learn_whether_it_lives, cookie="c" * 43),
    ),
    "S-18 a cookie's exact name": (
        (request, "_cookies", trimmed),
        plain(cookies.test_a_name_that_only_looks_like_ours_is_another_name, blank="\u2003"),
    ),
    "S-18 a cookie's attributes": (
        (credentials, "binding_cookie", lambda name, value, _seconds: f"{name}={value}; Path=/"),
        plain(cookies.test_every_cookie_is_the_host_s_own_and_hidden_and_short),
    ),
    "S-03 the condition of the one write": (
        (DynamoSessions, "_require", staticmethod(nothing)),
        plain(consents.test_two_copies_of_an_answer_at_once_are_one, completion="direct"),
    ),
    "S-03 the condition of parking": (
        (DynamoSessions, "_require", staticmethod(nothing)),
        plain(consents.test_two_copies_of_an_answer_at_once_are_one, completion="confirm"),
    ),
    "S-05 the issuer's comparison": (
        (answers, "_check_issuer", nothing),
        plain(consents.test_an_answer_of_another_issuer_is_not_looked_at, issuer="https://evil.test", said={}),
    ),
    "S-05 the issuer's comparison, for a refusal": (
        (answers, "_check_issuer", nothing),
        plain(
            consents.test_an_answer_of_another_issuer_is_not_looked_at,
            issuer="https://evil.test",
            said={"code": "", "error": "access_denied"},
        ),
    ),
    "S-06 a session's integrations": (
        (authorize, "opened", opened_for_all),
        plain(consents.test_a_session_opens_what_it_names_and_nothing_else),
    ),
    "S-07 the challenge": (
        (authorize, "challenge_s256", lambda _verifier: "x" * 43),
        plain(consents.test_the_verifier_is_that_of_the_challenge_and_new_each_time),
    ),
    "S-08 one value for each parameter": (
        (answers, "_known_parameters", last_one),
        plain(consents.test_an_answer_that_says_something_twice_is_refused, name="code"),
    ),
    "S-01 the user's comparison": (
        (complete, "same", yes),
        plain(consents.test_another_user_s_completion_destroys_the_code),
    ),
    "S-01 the handle's comparison": (
        (complete, "same", yes),
        plain(consents.test_an_attacker_without_the_victim_s_handle_completes_nothing),
    ),
    "S-19 the tenant's comparison": (
        (complete, "same", yes),
        plain(junk.test_a_tenant_is_the_path_s_whatever_else_a_request_says),
    ),
    "S-01 the minute": (
        (callback, "PARKED_SECONDS", 10**6),
        plain(consents.test_a_late_completion_is_refused_and_destroys_the_code, late=61),
    ),
    "S-09 the exact match": (
        (CreateSession, "_return_url", first_registration),
        plain(
            addresses.test_an_address_that_is_not_registered_makes_no_session,
            trick="another host",
            url="https://evil.test/connected",
        ),
    ),
    "S-09 what can be registered": (
        (return_urls, "_RETURN_URL", re.compile(".*")),
        plain(
            addresses.test_an_address_that_could_be_misread_is_as_good_as_not_registered,
            url="https://user:pw@app.test/x",
        ),
    ),
    "S-10 escaping": (
        (markup, "escape", str),
        alone(reflection.test_ten_thousand_texts_leave_the_page_s_structure_alone, reflection.tiles),
    ),
    "S-10 our words for a provider's": (
        (answers, "_public_error", lambda error, _endpoint: error),
        plain(reflection.test_only_five_codes_of_a_provider_reach_the_company),
    ),
    "S-14 percent-encoding of addresses": (
        (response, "quote", as_it_is),
        alone(reflection.test_headers_are_one_line_of_ascii_whatever_stands_in_them),
    ),
    "S-11 S-16 S-17 the headers": (
        (response, "_HEADERS", {}),
        plain(headers.test_every_answer_of_a_route_carries_every_header, route="ANY /connect"),
    ),
    "S-37 where a form comes from": (
        (credentials, "check_origin", nothing),
        plain(
            consents.test_a_form_from_elsewhere_is_refused_with_cookie_and_value_all_the_same,
            headers={"origin": "https://evil.test"},
        ),
    ),
    "S-37 whose a form is": (
        (Tickets, "verify_form", any_form),
        with_person(cookies.test_a_form_posted_from_another_site_comes_without_its_cookie),
    ),
    "S-37 five tries": (
        (pending, "MOST_TRIES", 10**6),
        plain(consents.test_a_link_is_no_oracle_for_stolen_credentials),
    ),
    "S-37 one try for each form": (
        (DynamoSessions, "spend_try", lambda *_given, **_named: Try.SPENT),
        plain(consents.test_one_form_is_one_try),
    ),
    "S-37 secrets stay out of pages": (
        (
            form_pages,
            "_input",
            partial(lambda real, say, each, filled: real(say, replace(each, secret=False), filled), form_pages._input),
        ),
        alone(reflection.test_no_secret_entry_comes_back, "x"),
    ),
    "S-42 the account's comparison": (
        (store, "_refuse_other_account", nothing),
        plain(consents.test_another_account_does_not_take_a_connection_s_place),
    ),
    "S-46 looking is not asking": (
        (boundary, "_only", lambda _methods, asked, route: route(asked)),
        plain(consents.test_scanners_and_prefetchers_use_nothing_up, method="HEAD", headers={}),
    ),
}
GENERATED: Final = {"S-10 escaping", "S-14 percent-encoding of addresses"}  # these run long enough on their own
# What the inputs by the thousand alone would find, in how many chunks of which endpoint.
FUZZED: Final[Mapping[str, tuple[Patch, str]]] = {
    "escaping": ((markup, "escape", str), "POST /connect/{integration}"),
    "an error of ours": ((callback, "parse_callback", lambda raw: raw.no_such_thing), "GET /callback/{integration}"),
    "secrets in a page": (
        (form_pages, "_shown", lambda filled, _name: str(filled.entered)),
        "POST /connect/{integration}",
    ),
    "a cookie from anywhere": ((entering, "is_token", yes), "GET /connect/{integration}"),
}


@pytest.fixture(params=CONTROLS)
def control(request: pytest.FixtureRequest) -> tuple[Patch, Attack]:
    return CONTROLS[request.param]


def test_without_the_control_the_attack_succeeds(
    control: tuple[Patch, Attack], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack's own test says so by failing."""
    (place, name, weak), attack = control
    monkeypatch.setattr(place, name, weak)
    with world() as at, pytest.raises(AssertionError):
        attack(at)


@pytest.mark.parametrize("name", [each for each in CONTROLS if each not in GENERATED])
def test_with_the_control_it_does_not(name: str) -> None:
    _, attack = CONTROLS[name]
    with world() as at:
        attack(at)


@pytest.mark.parametrize("taken", FUZZED)
def test_inputs_by_the_thousand_find_what_is_missing(taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (place, name, weak), endpoint = FUZZED[taken]
    monkeypatch.setattr(place, name, weak)
    with pytest.raises(Broken):
        run(Chunk(endpoint, 0, 0))
