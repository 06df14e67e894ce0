"""S-10, S-14: 10,000 texts of anybody's in every place that shows one: pages stay pages, headers lines."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from consentry.connect.credentials import InvalidInput
from consentry.connect.entering import Entrance
from consentry.connect.offer import Offer, Offered, Permission
from consentry.errors import Conflict, ConsentryError, Expired, ProviderTrouble
from consentry.model import Connection, ConnectionKey, Grant, Integration, Session, Status
from consentry.oauth.callback import REFUSED
from consentry.pages.form import Filled, form_page
from consentry.pages.frame import Links, Manner
from consentry.pages.look import Look
from consentry.pages.render import Page, error_text, render
from consentry.pages.tiles import connect_page
from consentry.pages.words import words
from consentry.web.response import Response, error_page, redirect
from tests.attacks.handlers import World
from tests.attacks.inputs import PAYLOADS
from tests.attacks.persons import Person
from tests.support.catalogue import METRICS
from tests.support.deployment import RETURN_URL, query_of
from tests.support.html import Outline

HEADER = re.compile(r"[\x20-\x7e]*")
LINKS = Links("https://vault.test", "t" * 65)
PLACES = 10
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PAYLOAD = st.sampled_from([each for each in PAYLOADS if each.isprintable() or each.isascii()])
MIXED = st.builds("{}{}{}".format, TEXT, PAYLOAD, TEXT)
TEXTS = st.lists(TEXT | PAYLOAD | MIXED, min_size=PLACES, max_size=PLACES)
THOROUGH = settings(
    max_examples=1_000,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def tiles(texts: list[str]) -> str:
    """The connect page, with every text that it can show."""
    account, label, description, name, tenant, scope, optional, company, cause, told = texts
    connection = Connection(
        key=ConnectionKey("acme", "crm"),
        provider="crm",
        grant_type=Grant.AUTHORIZATION_CODE,
        status=Status.REAUTH_REQUIRED,
        status_cause=cause,
        gen=1,
        epoch=1,
        account=account,
        label=label,
        description=description,
    )
    allows = (Permission(scope=scope), Permission(scope=optional, optional=True, words={"en": told}))
    offered = Offered(
        integration="crm", name=name, grant=Grant.AUTHORIZATION_CODE, allows=allows, connection=connection
    )
    return connect_page(Manner(Look(company), words("en")), Offer(session=session(tenant), offered=(offered,)), LINKS)


def session(tenant: str) -> Session:
    return Session(id="s" * 22, tenant=tenant, user_ref="u", integrations=("crm",), expires_at=1_800_000_000)


def form(texts: list[str]) -> str:
    """The form as it comes back: what was entered, names of provider and input, and what was wrong."""
    label, description, client, site, name, input_label, provider, company, reference, secret = texts
    entered = {"label": label, "description": description, "input-client_id": client, "input-site_id": site}
    inputs = tuple(replace(each, label=input_label, labels={}) for each in METRICS.credential_inputs)
    entrance = Entrance(
        session=session("acme"),
        integration=Integration(id="metrics", provider="metrics", display_name=name),
        provider=replace(METRICS, name=provider, credential_inputs=inputs),
    )
    filled = Filled(
        entered={**entered, "input-client_secret": secret},
        error=InvalidInput("no", field="client_id", unlike=True),
        correlation_id=reference,
    )
    return form_page(Manner(Look(company), words("pt")), entrance, "t" * 65, LINKS, filled)


def trouble(texts: list[str]) -> str:
    """A page of trouble: the provider's name, a code, a title, a text, a reference."""
    error = ProviderTrouble(texts[0], code=texts[1], detail=texts[2])
    error.about = texts[3]
    say = Manner(Look(texts[4]), words("en"))
    shown = error_text(say.words, error) + texts[5]
    return render(Page(title=texts[6], text=shown, tone="trouble", reference=texts[7] + texts[8] + texts[9]), say)


PAGES: list[Callable[[list[str]], str]] = [tiles, form, trouble]


def plain(build: Callable[[list[str]], str], texts: list[str]) -> Outline:
    """The template's own page: the same places filled (or left empty) with a harmless word."""
    return Outline(build(["x" if each else "" for each in texts]))


def missing_values(skeleton: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """An entry that cannot be shown has no value at all."""
    return [(tag, [name for name in names if name != "value"]) for tag, names in skeleton]


@pytest.mark.parametrize("build", PAGES)
def test_ten_thousand_texts_leave_the_page_s_structure_alone(build: Callable[[list[str]], str]) -> None:
    """S-10: 1,000 pages with ten texts each; in the form an entry that cannot be shown is left out."""
    seen = 0

    @THOROUGH
    @given(TEXTS)
    def holds(texts: list[str]) -> None:
        nonlocal seen
        seen += len(texts)
        found = Outline(build(texts))
        assert missing_values(found.skeleton) == missing_values(plain(build, texts).skeleton)
        assert found.unbalanced == found.open == []
        links = [value for _, attributes in found.elements for name, value in attributes if name in {"href", "action"}]
        assert all(each and each.startswith("https://vault.test/") for each in links)

    holds()
    assert seen >= 10_000


@pytest.mark.parametrize("payload", PAYLOADS, ids=ascii)
def test_no_secret_entry_comes_back(payload: str) -> None:
    """S-37: not even escaped."""
    texts = ["x"] * (PLACES - 1)
    assert form([*texts, f"CNRY-{payload}"]) == form([*texts, ""])


def test_a_missing_escape_would_be_seen() -> None:
    broken = render(Page(title="t", text="TEXT")).replace("TEXT", "<img src=x onerror=y>")
    assert Outline(broken).skeleton != Outline(render(Page(title="t", text="TEXT"))).skeleton


# What a provider, or somebody who pretends to be one, says in a browser's address.


def said(person: Person, **answer: str) -> Response:
    """Come back with an answer to a new consent that ends on our own page."""
    location = person.departs(person.at.session("crm", completion="direct", return_url=""))
    return person.returns(location, **answer)


def words_of_providers() -> Iterator[Mapping[str, str]]:
    for payload in (each for each in PAYLOADS if each.encode("utf-8", "ignore").decode() == each):
        yield {"code": "", "error": payload, "error_description": payload, "error_uri": payload}
        yield {"code": "", "error": "access_denied", "error_description": f"zqmarkqz{payload}", payload: payload}


def test_a_page_never_says_what_a_provider_says(at: World) -> None:
    """S-10: whatever the error, one of two pages, to the byte."""
    person, pages = Person(at), dict[int, set[str]]()
    for answer in words_of_providers():
        shown = said(person, **answer)
        body = re.sub(r"<code>request-\d+</code>", "", shown["body"])
        pages.setdefault(shown["statusCode"], set()).add(body)
    assert set(pages) == {200, 400}
    assert len(pages[200]) == 2
    assert "zqmarkqz" not in str(pages)


def test_only_five_codes_of_a_provider_reach_the_company(at: World) -> None:
    person = Person(at)
    codes = set()
    for payload in (each for each in PAYLOADS if each.isprintable()):
        location = person.departs(at.session("crm"))
        codes.add(query_of(person.returns(location, code="", error=payload))["error"])
    assert codes == {REFUSED}


@THOROUGH
@given(TEXTS)
def test_headers_are_one_line_of_ascii_whatever_stands_in_them(texts: list[str]) -> None:
    """S-14: addresses, codes, references and waiting times of 10,000 texts."""
    errors: list[ConsentryError] = [Expired(texts[0], code=texts[1]), Conflict(texts[2], detail=texts[3])]
    responses = [error_page(each, texts[4], Manner(Look(texts[5]), words("en"))) for each in errors]
    responses += [redirect(302, f"{RETURN_URL}?a={texts[6]}&{texts[7]}"), redirect(303, texts[8] + texts[9])]
    for each in responses:
        assert all(map(HEADER.fullmatch, (*each["headers"], *each["headers"].values())))


def test_the_texts_of_a_session_stay_out_of_headers_and_pages(at: World) -> None:
    """S-14: a user's reference is never shown, and names of tenants and connections are held to letters."""
    person = Person(at)
    for payload in (each for each in PAYLOADS if each.isprintable()):
        created: Mapping[str, Any] = at.session("crm", "metrics", user_ref=f"zqmarkqz{payload}"[:256])
        shown = [person.goes(created["connect_url"]), person.goes(created["authorize_urls"]["crm"])]
        url, value = person.form(created)
        shown += [person.goes(url), person.sends(url, value)]
        assert "zqmarkqz" not in str(shown)
