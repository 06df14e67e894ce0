"""Revoking a token (RFC 7009), and uninstalling: the requests, and what their answers mean."""

from dataclasses import replace
from urllib.parse import parse_qs

import pytest

from consentry.errors import Misconfigured
from consentry.model import Secret
from consentry.oauth.provider import BodyFormat, ClientAuthentication
from consentry.oauth.revocation import (
    RevocationAnswer,
    RevocationResult,
    parse_revocation_answer,
    revocation_request,
    uninstall_request,
)
from consentry.oauth.token_request import ClientIdentity
from consentry.oauth.wire import HttpAnswer
from tests.support.provider import answer
from tests.unit.oauth.samples import NOW, PLAIN, RFC_BASIC, RFC_CLIENT, with_token

REVOKE_AT = "https://server.example.com/revoke"
REVOKING = replace(PLAIN, revocation_url=REVOKE_AT)
TOKEN = Secret("45ghiukldjahdnhzdauz")


def test_a_token_is_revoked_as_in_rfc_7009_section_2_1() -> None:
    request = revocation_request(REVOKING, RFC_CLIENT, TOKEN)
    assert (request.method, request.url) == ("POST", REVOKE_AT)
    assert request.headers["Authorization"] == RFC_BASIC
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(request.body.decode()) == parse_qs("token=45ghiukldjahdnhzdauz&token_type_hint=refresh_token")


def test_the_client_proves_itself_as_at_the_token_endpoint() -> None:
    provider = with_token(REVOKING, client_authentication=ClientAuthentication.POST)
    request = revocation_request(provider, RFC_CLIENT, TOKEN)
    assert "Authorization" not in request.headers
    form = parse_qs(request.body.decode())
    assert (form["client_id"], form["client_secret"]) == (["s6BhdRkqt3"], ["gX1fBat3bV"])


@pytest.mark.parametrize("body", list(BodyFormat))
def test_a_revocation_is_a_form_whatever_the_token_endpoint_wants(body: BodyFormat) -> None:
    request = revocation_request(with_token(REVOKING, body=body), RFC_CLIENT, TOKEN)
    assert request.url == REVOKE_AT
    assert parse_qs(request.body.decode())["token"] == [TOKEN.reveal()]


def test_characters_of_a_token_arrive_as_they_are() -> None:
    odd = Secret("a+b&c=d%20/~")
    request = revocation_request(REVOKING, RFC_CLIENT, odd)
    assert parse_qs(request.body.decode())["token"] == [odd.reveal()]


def test_a_missing_client_secret_is_the_operators_matter() -> None:
    with pytest.raises(Misconfigured):
        revocation_request(REVOKING, ClientIdentity("s6BhdRkqt3", {}), TOKEN)


def test_a_revocation_does_not_print_its_secrets() -> None:
    shown = repr(revocation_request(REVOKING, RFC_CLIENT, TOKEN))
    assert TOKEN.reveal() not in shown
    assert "gX1fBat3bV" not in shown


def test_an_uninstallation_shows_the_access_token_and_nothing_else() -> None:
    provider = replace(PLAIN, uninstall_url="https://server.example.com/install")
    request = uninstall_request(provider, TOKEN)
    assert (request.method, request.url, request.body) == ("DELETE", "https://server.example.com/install", b"")
    assert request.headers["Authorization"] == f"Bearer {TOKEN.reveal()}"
    assert TOKEN.reveal() not in repr(request)


ENDED, REFUSED, LATER = RevocationResult.ENDED, RevocationResult.REFUSED, RevocationResult.LATER


@pytest.mark.parametrize(
    ("received", "result", "error"),
    [
        (answer(200, b""), ENDED, ""),
        (answer(204, b""), ENDED, ""),
        (answer(200, b"<html>"), ENDED, ""),
        (answer(400, {"error": "invalid_token"}), ENDED, ""),
        (answer(401, {"error": "invalid_grant"}), ENDED, ""),
        (answer(400, {"error": "unsupported_token_type"}), RevocationResult.UNSUPPORTED, "unsupported_token_type"),
        (answer(401, {"error": "invalid_client"}), RevocationResult.OPERATOR, "invalid_client"),
        (answer(400, {"error": "invalid_request"}), REFUSED, "invalid_request"),
        (answer(403, b"Forbidden"), REFUSED, "http_403"),
        (answer(404, b""), REFUSED, "http_404"),
        (answer(400, {"error": "45ghiukldjahdnhzdauz-CNRY"}), REFUSED, "unknown_error"),
        (answer(301, b""), LATER, "http_301"),
        (answer(408, b""), LATER, "http_408"),
        (answer(425, b""), LATER, "http_425"),
        (answer(429, {"error": "invalid_token"}), LATER, "invalid_token"),
        (answer(500, {"error": "invalid_grant"}), LATER, "invalid_grant"),
        (answer(503, b""), LATER, "http_503"),
    ],
)
def test_only_a_success_or_the_providers_own_word_ends_a_token(
    received: HttpAnswer, result: RevocationResult, error: str
) -> None:
    assert parse_revocation_answer(REVOKING, received, now=NOW) == RevocationAnswer(result=result, error=error)


@pytest.mark.parametrize("status", [429, 503])
def test_a_provider_may_say_when_to_come_back(status: int) -> None:
    received = answer(status, b"", retry_after="120")
    assert parse_revocation_answer(REVOKING, received, now=NOW).retry_after_seconds == 120


@pytest.mark.parametrize(
    ("body", "result"),
    [({"failed": "not_allowed"}, REFUSED), ({"failed": "invalid_token"}, ENDED), ({"failed": ""}, ENDED), ({}, ENDED)],
)
def test_a_provider_that_fails_within_a_success_is_understood(body: dict[str, str], result: RevocationResult) -> None:
    provider = with_token(REVOKING, error_in_success_field="failed")
    assert parse_revocation_answer(provider, answer(200, body), now=NOW).result is result
