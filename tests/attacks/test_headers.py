"""S-11, S-16, S-17: the same headers on every route with every status that a function can answer."""

import re
from collections.abc import Iterator

import pytest

import consentry.connect.credentials
import consentry.connect.entering
import consentry.web.boundary
from consentry.catalogue.lookup import ProviderFileInvalid
from consentry.errors import (
    BeingRemoved,
    ConsentryError,
    NotConnected,
    ProviderTrouble,
    ReauthRequired,
    TokenUnavailable,
    TryLater,
)
from consentry.oauth.variables import InvalidVariable
from consentry.pages.look import Look
from consentry.web.boundary import for_people, for_programs
from consentry.web.request import Request
from consentry.web.response import Response
from tests.attacks.handlers import World, routes
from tests.support.events import Event, event
from tests.support.html import Outline
from tests.support.tables import template

CARRIED = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Strict-Transport-Security": "max-age=31536000",
    "Cross-Origin-Opener-Policy": "unsafe-none",
}
POLICY = re.compile(
    r"default-src 'none'; base-uri 'none'; form-action ('none'|'self'( https://app\.test)?); frame-ancestors 'none'"
    r"(; style-src 'sha256-[A-Za-z0-9+/]{43}=')?"
)
KEY = {"tenant": "acme", "integration": "crm", "name": "default", "session": "s" * 22}
SCRIPT = "text/javascript; charset=utf-8"  # the same for everybody: it alone may be kept
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def requests(route: str) -> Iterator[Event]:
    """Yield a request of each method, and those that have broken others: nothing, junk, a prefetch, a bad body."""
    given = {name: value for name, value in KEY.items() if f"{{{name}}}" in route}
    for method in METHODS if route.startswith("ANY ") else (route.partition(" ")[0],):
        yield event(route, method=method, parameters=given)
        yield event(route, method=method, parameters=dict.fromkeys(given, "\r\nX: y"), query="session=\r\n&code=x")
        yield event(route, method=method, parameters=given, query="session=a&session=b&state=x&code=y&error=z")
        yield event(route, method=method, parameters=given, headers={"sec-purpose": "prefetch"})
        yield event(route, method=method, parameters=given, body="é") | {"isBase64Encoded": True}


def errors(kind: type[ConsentryError] = ConsentryError) -> Iterator[ConsentryError]:
    """Yield one error of every kind there is, by its class."""
    for each in kind.__subclasses__():
        yield from errors(each)
    if kind is BeingRemoved:
        yield BeingRemoved("It goes.", retry_after_seconds=7)
    elif kind is ReauthRequired:
        yield ReauthRequired("Again.", cause="grant_revoked")
    elif kind.__name__ == "InvalidInput":
        yield consentry.connect.credentials.InvalidInput("No.", field="client_id")
    elif kind is InvalidVariable:
        yield InvalidVariable("No.", variable="subdomain")
    elif kind is ProviderFileInvalid:
        yield ProviderFileInvalid("crm.toml", ["token.url is missing"])
    elif kind.__module__.startswith("consentry"):
        yield kind("Something.")


def assert_carries_everything(response: Response, *, answers_people: bool) -> None:
    headers = response["headers"]
    if headers.get("Content-Type") == SCRIPT:
        assert {name: headers.get(name) for name in CARRIED} == CARRIED | {"Cache-Control": "public, max-age=3600"}
        return
    assert {name: headers.get(name) for name in CARRIED} == CARRIED
    assert POLICY.fullmatch(headers["Content-Security-Policy"])
    if response["body"]:
        content = headers["Content-Type"]
        people = {"text/html; charset=utf-8", "application/json"}
        assert content in (people if answers_people else {"application/json", "application/problem+json"})
    if headers.get("Content-Type", "").startswith("text/html"):
        assert_loads_nothing(response["body"])


def assert_loads_nothing(body: str) -> None:
    """S-16: nothing of anybody else's, so that no address with a ticket in it goes anywhere."""
    page = Outline(body)
    named = {name for _, attributes in page.elements for name, _ in attributes}
    assert not named & {"src", "srcset", "background", "ping", "style"}
    assert not {tag for tag, _ in page.elements} & {"script", "img", "link", "iframe", "object", "embed", "base"}
    assert not re.search(r"url\(|@import", body)


@pytest.mark.parametrize("route", sorted(routes()))
def test_every_answer_of_a_route_carries_every_header(at: World, route: str) -> None:
    """S-11, S-16, S-17."""
    people = route.startswith("ANY ")
    for each in requests(route):
        assert_carries_everything(at.answer(each), answers_people=people)


@pytest.mark.parametrize("route", sorted(routes()))
@pytest.mark.parametrize("error", list(errors()), ids=lambda error: type(error).__name__)
def test_every_error_of_a_route_carries_every_header(route: str, error: ConsentryError) -> None:
    """S-11, S-16, S-17: all routes x all statuses."""

    def refuse(_request: Request) -> Response:
        raise error

    people, request = route.startswith("ANY "), event(route, method="GET", parameters=KEY)
    response = for_people(request, refuse, Look("Acme")) if people else for_programs(request, refuse)
    assert response["statusCode"] == error.status
    assert_carries_everything(response, answers_people=people)
    waits = isinstance(error, TryLater | BeingRemoved)
    assert ("Retry-After" in response["headers"]) is waits


def test_the_errors_are_all_there_are() -> None:
    kinds = {type(each) for each in errors()}
    assert {NotConnected, TokenUnavailable, ProviderTrouble, consentry.web.boundary.Unforeseen} <= kinds
    assert consentry.connect.entering.TooManyTries in kinds
    assert {each.status for each in errors()} >= {400, 403, 404, 409, 410, 429, 500, 502, 503}


def test_a_route_is_signed_or_public_on_purpose() -> None:
    """S-31: a route that is not one of five is signed."""
    resources = template()["Resources"].values()
    found = [each["Properties"] for each in resources if each["Type"] == "AWS::ApiGatewayV2::Route"]
    public = {each["RouteKey"] for each in found if each["AuthorizationType"] == "NONE"}
    assert public == {each for each in routes() if each.startswith("ANY ")}
    assert {each["AuthorizationType"] for each in found} == {"NONE", "AWS_IAM"}
    assert len(found) == len(routes())
