"""Revoking a token (RFC 7009): the request."""

from dataclasses import replace
from urllib.parse import parse_qs

import pytest

from consentry.errors import Misconfigured
from consentry.model import Secret
from consentry.oauth.provider import BodyFormat, ClientAuthentication
from consentry.oauth.revocation import revocation_request
from consentry.oauth.token_request import ClientIdentity
from tests.unit.oauth.samples import PLAIN, RFC_BASIC, RFC_CLIENT, with_token

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
