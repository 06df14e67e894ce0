import json
from dataclasses import replace
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consentry.errors import Misconfigured
from consentry.model import Secret
from consentry.oauth.introspection import introspection_request, parse_introspection
from consentry.oauth.provider import Introspection
from consentry.oauth.wire import HttpAnswer
from tests.unit.oauth.samples import PLAIN, RFC_BASIC, RFC_CLIENT

PROVIDER = replace(
    PLAIN,
    introspection=Introspection(
        url="https://server.example.com/introspect", account_field="sub", keep=("username", "extension_field")
    ),
)
# RFC 7662 section 2.2.
ACTIVE = {
    "active": True,
    "client_id": "l238j323ds-23ij4",
    "username": "jdoe",
    "scope": "read write dolphin",
    "sub": "Z5O3upPC88QrAjx00dis",
    "aud": "https://protected.example.net/resource",
    "iss": "https://server.example.com/",
    "exp": 1419356238,
    "iat": 1419350238,
    "extension_field": "twenty-seven",
}


def answer(body: object, status: int = 200) -> HttpAnswer:
    return HttpAnswer(status=status, headers={}, body=json.dumps(body).encode())


def test_a_token_is_asked_about_as_in_rfc_7662_section_2_1() -> None:
    request = introspection_request(PROVIDER, RFC_CLIENT, Secret("2YotnFZFEjr1zCsicMWpAA"))
    assert request.url == "https://server.example.com/introspect"
    assert request.headers["Authorization"] == RFC_BASIC
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(request.body.decode()) == {
        "token": ["2YotnFZFEjr1zCsicMWpAA"],
        "token_type_hint": ["access_token"],
    }


def test_the_answer_of_rfc_7662_section_2_2_names_the_account() -> None:
    found = parse_introspection(PROVIDER, answer(ACTIVE))
    assert found == ("Z5O3upPC88QrAjx00dis", {"username": "jdoe", "extension_field": "twenty-seven"})


@pytest.mark.parametrize(
    "unusable",
    [
        answer({"active": False}),
        answer({**ACTIVE, "active": "true"}),
        answer({name: value for name, value in ACTIVE.items() if name != "active"}),
        answer({**ACTIVE, "sub": None}),
        answer({**ACTIVE, "sub": {"id": 1}}),
        answer([ACTIVE]),
        answer(ACTIVE, status=401),
        HttpAnswer(status=200, headers={}, body=b"<html>"),
    ],
)
def test_an_inactive_nameless_or_unusable_answer_names_nobody(unusable: HttpAnswer) -> None:
    assert parse_introspection(PROVIDER, unusable) is None


@given(st.integers(100, 599), st.binary())
def test_no_answer_makes_it_fail(status: int, body: bytes) -> None:
    assert parse_introspection(PROVIDER, HttpAnswer(status=status, headers={}, body=body)) is None


def test_a_provider_without_introspection_is_not_asked() -> None:
    with pytest.raises(Misconfigured, match="add \\[introspection\\]"):
        introspection_request(PLAIN, RFC_CLIENT, Secret("token"))
