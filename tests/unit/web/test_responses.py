"""What every answer carries: the same headers on every route and status, and nothing of the request in a header."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from consentry.errors import ConsentryError, NotFound, ProviderTrouble
from consentry.pages.render import Page, render
from consentry.web.response import Response, answer, binding_cookie, error_page, page, problem, redirect
from tests.support.deployment import (
    AUTHORIZE,
    CALLBACK,
    COMPLETE,
    CREATE,
    PUT_CREDENTIALS,
    Browser,
    Deployment,
    body_of,
    provider_answer,
    query_of,
)
from tests.support.events import Event, event, json_event
from tests.support.html import Outline
from tests.support.provider import answer as provider_gives
from tests.support.provider import tokens

CARRIED = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Strict-Transport-Security": "max-age=31536000",
    "Cross-Origin-Opener-Policy": "unsafe-none",
}
READ = "GET /tenants/{tenant}/connections/{integration}/{name}"
LIST = "GET /tenants/{tenant}/connections"
TOKEN = "GET /tenants/{tenant}/connections/{integration}/{name}/token"
REFRESH = "POST /tenants/{tenant}/connections/{integration}/{name}/refresh"
KEY = {"tenant": "acme", "integration": "crm", "name": "default"}
ROUTES: list[tuple[str, dict[str, str]]] = [
    (CREATE, {"tenant": "acme"}),
    (COMPLETE, {"tenant": "acme", "session": "x" * 22}),
    (LIST, {"tenant": "acme"}),
    (READ, KEY),
    (PUT_CREDENTIALS, KEY | {"integration": "metrics"}),
    (TOKEN, KEY),
    (REFRESH, KEY),
    ("GET /integrations", {}),
]
HEADER = re.compile(r"[\x20-\x7e]*")


def assert_carries_everything(response: Response) -> None:
    headers = response["headers"]
    assert {name: headers.get(name) for name in CARRIED} == CARRIED
    policy = headers["Content-Security-Policy"]
    for directive in ("default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert directive in policy
    assert re.search(r"form-action ('none'|'self'( https://app\.test)?);", policy)
    assert "unsafe" not in policy
    for text in (*headers, *headers.values(), *response.get("cookies", ())):
        assert HEADER.fullmatch(text), text
    assert isinstance(response["statusCode"], int)
    assert isinstance(response["body"], str)


def of_people(deployment: Deployment) -> list[Response]:
    browser = Browser(deployment)
    parameters = {"integration": "crm"}
    answers = [
        deployment.authorize(event("ANY /health")),
        deployment.authorize(event(AUTHORIZE, parameters=parameters)),
        deployment.authorize(event(AUTHORIZE, parameters=parameters, method="HEAD")),
        deployment.authorize(event(AUTHORIZE, parameters=parameters, headers={"purpose": "prefetch"})),
        deployment.authorize(event(AUTHORIZE, parameters=parameters, body="é") | {"isBase64Encoded": True}),
        deployment.callback(event(CALLBACK, parameters=parameters)),
        deployment.callback(event(CALLBACK, parameters=parameters, method="POST")),
        Browser(deployment).open(provider_answer(browser.departs(deployment.created()))),
        browser.open(deployment.created()["authorize_urls"]["crm"]),
    ]
    parked = provider_answer(browser.departs(deployment.created()))
    answers += [browser.open(parked) for _ in range(3)]
    answers.append(browser.consents(deployment.created(), code="", error="access_denied"))
    deployment.provider.then(tokens(), tokens(scope="other"), provider_gives(500, b""), provider_gives(401, b""))
    direct: dict[str, object] = {"completion": "direct", "return_url": ""}
    for name in ("good", "less", "trouble", "client"):
        answers.append(browser.consents(deployment.created(**direct, name=name)))
    answers.append(browser.consents(deployment.created(**direct), code="", error="server_error"))
    answers += of_the_page(deployment)
    deployment.ports.before = broken
    answers.append(browser.open(parked))
    return answers


def of_the_page(deployment: Deployment) -> list[Response]:
    """The connect page and the form, in every state that they can be in."""
    created = deployment.created(integrations=["crm", "metrics"])
    browser, page = Browser(deployment), str(created["connect_url"])
    form = page.replace("/connect?", "/connect/metrics?")
    headers = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}

    def sent(body: str = "", **changes: str) -> Response:
        if not body:
            value = Outline(browser.open(form)["body"]).one("input", name="form")["value"]
            body = urlencode({"form": value, "input-client_id": "c", "input-client_secret": "CNRY-secret"})
        return browser.open(form, method="POST", headers=headers | changes, body=body)

    deployment.provider.then(*[provider_gives(401, b"")] * 5, provider_gives(500, b""), tokens())
    answers = [
        browser.open(page),
        browser.open(page, method="HEAD"),
        browser.open(page, headers={"purpose": "prefetch"}),
    ]
    answers += [browser.open(form), browser.open(form, method="PUT"), deployment.connect(event("ANY /connect"))]
    answers += [sent("form=x"), sent("x", **{"content-type": ""}), sent(**{"sec-fetch-site": "cross-site"})]
    answers += [*(sent() for _ in range(6)), browser.open(form)]
    created = deployment.created(integrations=["metrics"])
    form = str(created["connect_url"]).replace("/connect?", "/connect/metrics?")
    return [*answers, sent(), sent(), *of_the_question(deployment)]


def of_the_question(deployment: Deployment) -> list[Response]:
    """The question before a disconnect, asked, answered and refused."""
    deployment.provider.then(tokens())
    created = deployment.created(completion="direct", return_url="")
    browser = Browser(deployment)
    browser.consents(created)
    url = str(created["connect_url"]).replace("/connect?", "/connect/crm/disconnect?")
    asked = browser.open(url)
    fields = {each["name"]: each["value"] for each in Outline(asked["body"]).all("input", type="hidden")}
    headers = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
    bodies = [urlencode(each) for each in ({}, fields, fields)]
    answers = [asked, browser.open(url, method="HEAD"), browser.open(url, headers={"purpose": "prefetch"})]
    answers += [browser.open(url, method="POST", headers=headers, body=body) for body in bodies]
    return [*answers, browser.open(url), browser.open(created["connect_url"]), browser.open(f"{url}x")]


def broken(_operation: str) -> None:
    raise RuntimeError("CNRY-what-went-wrong")


def of_programs(deployment: Deployment) -> list[Response]:
    returned = query_of(Browser(deployment).consents(deployment.created()))
    deployment.provider.then(tokens())
    answers = [deployment.completed(returned, user_ref="u-1"), deployment.completed(returned)]
    bodies: tuple[object, ...] = (None, {}, [], {"rejected_generation": 1})
    for body in bodies:
        answers += [deployment.manage(json_event(route, parameters, body)) for route, parameters in ROUTES]
    odd = dict.fromkeys(("tenant", "integration", "name", "session"), "é\r\nx")
    answers += [deployment.manage(json_event(route, odd, {})) for route, _ in ROUTES]
    answers += [deployment.manage(json_event("GET /nothing", {})), deployment.manage({})]
    deployment.clock.advance(3600)
    answers += [deployment.manage(json_event(TOKEN, KEY)), deployment.manage(json_event(REFRESH, KEY, {}))]
    deployment.ports.before = broken
    answers += [deployment.manage(json_event(route, parameters, {})) for route, parameters in ROUTES]
    return answers


@pytest.mark.parametrize("gathered", [of_people, of_programs])
def test_every_answer_of_every_route_carries_every_header(
    deployment: Deployment, gathered: Callable[[Deployment], list[Response]]
) -> None:
    answers = gathered(deployment)
    for each in answers:
        assert_carries_everything(each)
    statuses = {each["statusCode"] for each in answers}
    people = {200, 204, 302, 303, 400, 403, 405, 409, 410, 429, 502, 503}
    assert statuses == (people if gathered is of_people else {200, 202, 400, 404, 409, 503})


def test_every_problem_has_the_shape_of_rfc_9457_and_the_correlation_id(deployment: Deployment) -> None:
    problems = [each for each in of_programs(deployment) if each["statusCode"] >= 400]
    assert len(problems) > 20
    for each in problems:
        assert each["headers"]["Content-Type"] == "application/problem+json"
        body = body_of(each)
        assert set(body) == {"type", "title", "status", "detail", "code", "correlation_id"}
        assert body["status"] == each["statusCode"]
        assert re.fullmatch(r"[a-z_]+", body["code"])
        assert len(body["detail"]) > 10
    assert {body_of(each)["correlation_id"][:8] for each in problems} == {"request-", ""}


@pytest.mark.parametrize(
    ("route", "parameters"), [(AUTHORIZE, {"integration": "crm"}), (CALLBACK, {"integration": "x"})]
)
def test_a_page_of_trouble_shows_the_reference(deployment: Deployment, route: str, parameters: dict[str, str]) -> None:
    request = event(route, parameters=parameters, request_id="JKJaXmPLvHcESHA=")
    answering = deployment.authorize if route == AUTHORIZE else deployment.callback
    assert "JKJaXmPLvHcESHA=" in answering(request)["body"]


def test_a_wait_is_said_in_a_header() -> None:
    error = ProviderTrouble("Try again.", retry_after_seconds=7)
    assert problem(error, "r")["headers"]["Retry-After"] == "7"
    assert error_page(error, "r")["headers"]["Retry-After"] == "7"
    assert "Retry-After" not in problem(NotFound("no"), "r")["headers"]


def test_a_page_allows_its_own_style_and_nothing_else() -> None:
    response = page(200, Page(title="Connected", text="Good."))
    assert re.search(r"style-src 'sha256-[A-Za-z0-9+/]{43}='", response["headers"]["Content-Security-Policy"])
    assert "script" not in response["headers"]["Content-Security-Policy"]
    assert response["headers"]["Content-Type"] == "text/html; charset=utf-8"
    assert "<script" not in response["body"]
    assert not re.search(r"""(src|href)\s*=|url\(|@import|style\s*=\s*["']""", response["body"])


@given(title=st.text(), text=st.text(), reference=st.text(min_size=1))
def test_no_text_changes_the_structure_of_a_page(title: str, text: str, reference: str) -> None:
    plain = Outline(render(Page(title="t", text="t", reference="r"))).elements
    assert Outline(render(Page(title=title, text=text, reference=reference))).elements == plain


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_the_location_its_header_is_one_line_of_ascii(host: str, query: str) -> None:
    response = redirect(302, f"https://{host}/?{query}")
    assert re.fullmatch(r"[\x21-\x7e]*", response["headers"]["Location"])


@given(st.text(), st.text())
def test_whatever_an_error_says_its_headers_are_one_line_of_ascii(text: str, reference: str) -> None:
    for build in (problem, error_page):
        response = build(ConsentryError(text), reference)
        assert_carries_everything(response)
    assert json.loads(problem(ConsentryError(text), reference)["body"])["detail"] == text


def test_a_cookie_cannot_be_read_by_scripts_nor_sent_across_sites() -> None:
    assert binding_cookie("__Host-cv-0a1b2c3d", "v", 600) == (
        "__Host-cv-0a1b2c3d=v; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax"
    )


def test_an_answer_without_cookies_has_no_cookies_field() -> None:
    assert "cookies" not in answer(204)


QUICKLY = (Phase.explicit, Phase.generate)  # an event that breaks something is small enough as it is found
TEXT = st.text(max_size=40)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "routeKey": TEXT,
        "rawQueryString": TEXT,
        "cookies": st.lists(TEXT | TEXT.map(lambda value: f"__Host-cv-{value}"), max_size=12),
        "headers": st.dictionaries(TEXT, TEXT, max_size=3),
        "pathParameters": st.none() | st.dictionaries(st.sampled_from(["integration", "tenant", "name"]), TEXT),
        "body": st.none() | TEXT,
        "isBase64Encoded": st.booleans(),
    },
)


@given(changes=EVENTS)
@settings(max_examples=40, deadline=None, phases=QUICKLY, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_event_no_header_is_broken_and_nothing_is_unforeseen(
    deployment: Deployment, changes: dict[str, Any]
) -> None:
    ticket = deployment.created()["connect_url"].partition("session=")[2]
    opened: Event = event(AUTHORIZE, parameters={"integration": "crm"}, query=f"session={ticket}")
    cookies = {name: changes[name] for name in ("cookies", "headers") if name in changes}
    answers = [
        deployment.connect(opened | cookies),
        deployment.connect(opened | changes),
        deployment.enter(opened | {"pathParameters": {"integration": "metrics"}} | cookies),
        deployment.enter(opened | changes | {"requestContext": {"http": {"method": "POST"}}}),
        deployment.authorize(opened | cookies),
        deployment.authorize(opened | changes),
        deployment.callback(opened | changes),
        deployment.manage(json_event(CREATE, {"tenant": "acme"}, {}) | changes),
    ]
    for each in answers:
        assert_carries_everything(each)
        assert each["statusCode"] < 500
