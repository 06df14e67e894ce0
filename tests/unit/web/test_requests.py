"""An event as the routes see it: bodies read to a limit, everything else taken as it is and trusted in nothing."""

import base64
import json

import pytest

from consentry.errors import InvalidRequest
from consentry.web.request import Request
from tests.support.deployment import CREATE, Deployment, body_of
from tests.support.events import Event, event

ROUTE = "POST /tenants/{tenant}/sessions"
MOST = 64 * 1024


def with_body(body: str, *, encoded: bool = False) -> Event:
    return event(ROUTE, body=body) | {"isBase64Encoded": encoded}


def padded(length: int) -> str:
    return json.dumps({"a": ""})[:-2] + "x" * (length - 9) + '"}'


def test_a_body_of_64_kilobytes_is_read() -> None:
    assert len(padded(MOST)) == MOST
    assert Request.of(with_body(padded(MOST))).json_object()["a"]


def test_a_larger_body_is_refused(deployment: Deployment) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Request.of(with_body(padded(MOST + 1))).json_object()
    assert refused.value.code == "body_too_large"
    response = deployment.manage(event(CREATE, parameters={"tenant": "acme"}, body=padded(MOST + 1)))
    assert (response["statusCode"], body_of(response)["code"]) == (400, "body_too_large")


def test_the_limit_counts_bytes_not_characters() -> None:
    text = json.dumps({"a": "é" * 40_000}, ensure_ascii=False)
    with pytest.raises(InvalidRequest):
        Request.of(with_body(text)).json_object()


def test_a_base64_body_is_decoded() -> None:
    encoded = base64.b64encode(b'{"user_ref": "u-1"}').decode()
    assert Request.of(with_body(encoded, encoded=True)).json_object() == {"user_ref": "u-1"}


@pytest.mark.parametrize("body", ["%%%", "abc", "é", "e30=\n!", "\ud800"])
def test_a_body_that_is_not_base64_though_it_says_so_is_refused(deployment: Deployment, body: str) -> None:
    request = event(CREATE, parameters={"tenant": "acme"}, body=body) | {"isBase64Encoded": True}
    response = deployment.manage(request)
    assert (response["statusCode"], body_of(response)["code"]) == (400, "invalid_body")


@pytest.mark.parametrize(
    "body", ["", "null", "[]", '"x"', "7", "{", "{}}", "\x00", "[" * 60_000, "1" * 60_000, "{'a': 1}", "\ud800"]
)
def test_a_body_that_is_not_one_json_object_is_refused(deployment: Deployment, body: str) -> None:
    response = deployment.manage(event(CREATE, parameters={"tenant": "acme"}, body=body))
    assert (response["statusCode"], body_of(response)["code"]) == (400, "invalid_json")


def test_a_query_parameter_given_twice_is_refused() -> None:
    request = Request.of(event("ANY /authorize/{integration}", query="session=a&session=a"))
    with pytest.raises(InvalidRequest):
        request.query("session")
    assert Request.of(event("ANY /x", query="a=1&b=%20")).query("b") == " "
    assert Request.of(event("ANY /x")).query("session") == ""


def test_cookies_are_read_by_name_with_everything_after_the_first_sign() -> None:
    request = Request.of(event("ANY /x", cookies=["a=1", "b=x=y", " c=2", "alone"]))
    assert request.cookies == {"a": "1", "b": "x=y", "c": "2", "alone": ""}


def test_a_cookie_s_name_is_taken_as_it_is_and_one_that_comes_twice_not_at_all() -> None:
    """S-18: any host of the site may set a name with white space around it, and only ours a name with our prefix."""
    given = ["\u2000__Host-cf=planted", "\u00a0a=1", "b=1", "b=2", "c=3"]
    assert Request.of(event("ANY /x", cookies=given)).cookies == {
        "\u2000__Host-cf": "planted",
        "\u00a0a": "1",
        "c": "3",
    }


def test_an_empty_event_is_a_request_for_nothing() -> None:
    request = Request.of({})
    assert (request.method, request.route, request.path("tenant"), request.correlation_id) == ("", "", "", "")


def test_a_request_does_not_print_what_may_be_secret() -> None:
    request = Request.of(
        event("ANY /x", query="code=CNRY-1", cookies=["c=CNRY-2"], headers={"x": "CNRY-3"}, body="CNRY-4")
    )
    assert "CNRY-" not in repr(request)
