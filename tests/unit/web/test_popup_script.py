"""GET /connect.js: one file for everybody, kept by browsers for an hour, and nothing else that it does not say."""

import pytest

from consentry.pages.script import popup_script
from tests.support.deployment import Deployment
from tests.support.events import Event, event
from tests.unit.web.test_responses import CARRIED

ROUTE = "ANY /connect.js"
ANYTHING = {"query": "session=%FF&session=x", "cookies": ["__Host-cv-00000000=x"], "headers": {"origin": "null"}}


def refuse(operation: str) -> None:
    raise AssertionError(operation)


def asked(**changes: object) -> Event:
    return event(ROUTE, **changes)  # type: ignore[arg-type] # handed on


def test_it_is_the_file_whatever_is_asked_with_it_and_asks_nobody(deployment: Deployment) -> None:
    deployment.ports.before = refuse
    for request in (asked(), asked(**ANYTHING)):
        response = deployment.connect(request)
        assert (response["statusCode"], response["body"]) == (200, popup_script())
        assert "cookies" not in response


def test_it_may_be_kept_and_read_by_anyone_and_is_otherwise_as_strict_as_every_answer(deployment: Deployment) -> None:
    headers = deployment.connect(asked())["headers"]
    assert headers.pop("Content-Type") == "text/javascript; charset=utf-8"
    assert headers.pop("Cache-Control") == "public, max-age=3600"
    assert headers.pop("Cross-Origin-Resource-Policy") == "cross-origin"
    assert headers.pop("Access-Control-Allow-Origin") == "*"
    assert "default-src 'none'" in headers.pop("Content-Security-Policy")
    assert headers == {name: value for name, value in CARRIED.items() if name != "Cache-Control"}


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
def test_other_methods_are_refused_and_kept_by_nobody(deployment: Deployment, method: str) -> None:
    response = deployment.connect(asked(method=method))
    assert response["statusCode"] == 405
    assert response["headers"]["Cache-Control"] == "no-store"
    assert response["body"] == ""


def test_the_page_beside_it_may_be_neither_kept_nor_read(deployment: Deployment) -> None:
    headers = deployment.connect(event("ANY /connect"))["headers"]
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers
