import base64
import threading

import pytest
import requests

from tests.authserver.driver import REDIRECT_URI, TOKEN_PATHS, VERIFIER, Driver


def error_of(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


INVALID_GRANT = (400, "invalid_grant")


def test_a_whole_flow_ends_with_tokens_that_work(servers: Driver) -> None:
    granted = servers.connect("generic", "globex")
    assert granted["token_type"] == "bearer"
    assert granted["expires_in"] == 1800
    assert granted["scope"] == "read write"
    assert granted["refresh_token"]
    assert servers.whoami(granted["access_token"]).json()["sub"] == "account-globex"


def test_token_answers_are_not_to_be_stored(servers: Driver) -> None:
    answer = servers.exchange(servers.code())
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_code_is_taken_once_and_a_second_use_revokes_what_the_first_one_got(servers: Driver) -> None:
    code = servers.code()
    granted = servers.exchange(code).json()
    assert error_of(servers.exchange(code)) == INVALID_GRANT
    assert servers.whoami(granted["access_token"]).status_code == 401
    assert error_of(servers.refresh(granted["refresh_token"])) == INVALID_GRANT
    assert servers.stats()["families_revoked"] == 1


def test_of_eight_simultaneous_exchanges_one_wins_at_most(servers: Driver) -> None:
    code = servers.code()
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(servers.exchange(code).status_code)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(statuses) == [200] + [400] * 7


def test_a_code_ends_after_a_minute(servers: Driver) -> None:
    code = servers.code()
    servers.clock.advance(60)
    assert error_of(servers.exchange(code)) == INVALID_GRANT


def test_a_code_is_bound_to_its_client_and_survives_a_strangers_attempt(servers: Driver) -> None:
    servers.register(client_id="other")
    code = servers.code()
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER}
    answer = servers.post(TOKEN_PATHS["generic"], fields, headers=servers.basic("other"))
    assert error_of(answer) == INVALID_GRANT
    assert servers.exchange(code).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"code_verifier": None},
        {"code_verifier": VERIFIER[:-1] + "X"},
        {"code_verifier": "short"},
        {"redirect_uri": REDIRECT_URI + "/"},
    ],
)
def test_a_wrong_verifier_or_redirect_uri_is_refused_and_uses_the_code_up(
    servers: Driver, change: dict[str, str | None]
) -> None:
    code = servers.code()
    assert error_of(servers.exchange(code, **change)) == INVALID_GRANT
    assert error_of(servers.exchange(code)) == INVALID_GRANT
    assert servers.stats()["live_grants"] == 0


def test_a_verifier_without_a_challenge_is_refused(servers: Driver) -> None:
    servers.register("hotjar")
    code = servers.code("hotjar", code_challenge=None, code_challenge_method=None)
    assert error_of(servers.exchange(code, "hotjar")) == INVALID_GRANT


@pytest.mark.parametrize("missing", ["grant_type", "code", "redirect_uri"])
def test_a_missing_parameter_is_named(servers: Driver, missing: str) -> None:
    answer = servers.exchange(servers.code(), **{missing: None})
    assert error_of(answer) == (400, "invalid_request")
    assert missing in answer.json()["error_description"]


def test_an_empty_parameter_counts_as_missing(servers: Driver) -> None:
    answer = servers.exchange(servers.code(), code_verifier="")
    assert error_of(answer) == INVALID_GRANT


def test_an_unknown_grant_type_is_refused(servers: Driver) -> None:
    assert error_of(servers.token(grant_type="password")) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("system", sorted(TOKEN_PATHS))
def test_a_get_is_not_allowed_at_a_token_endpoint(servers: Driver, system: str) -> None:
    assert servers.get(TOKEN_PATHS[system]).status_code == 405
    assert servers.log() == []


def test_a_repeated_parameter_is_refused(servers: Driver) -> None:
    body = "grant_type=refresh_token&refresh_token=a&refresh_token=b"
    answer = servers.post(TOKEN_PATHS["generic"], body, headers=servers.basic())
    assert error_of(answer) == (400, "invalid_request")


@pytest.mark.parametrize("body", [b"grant_type=\xff", b"grant_type=%ff", b"\x00"])
def test_a_body_that_is_not_form_encoded_text_is_refused(servers: Driver, body: bytes) -> None:
    answer = servers.post(TOKEN_PATHS["generic"], body, headers=servers.basic())
    assert error_of(answer) == (400, "invalid_request")


def test_another_content_type_is_refused(servers: Driver) -> None:
    answer = servers.post(TOKEN_PATHS["generic"], json={"grant_type": "refresh_token"}, headers=servers.basic())
    assert error_of(answer) == (415, "invalid_request")


def test_parameters_in_the_query_are_refused(servers: Driver) -> None:
    path = TOKEN_PATHS["generic"] + "?grant_type=refresh_token"
    answer = servers.post(path, {"refresh_token": "a"}, headers=servers.basic())
    assert error_of(answer) == (400, "invalid_request")


def test_basic_credentials_are_form_encoded_before_base64(servers: Driver) -> None:
    servers.register(client_id="odd id:/+", client_secret="se:cret %/+ü")
    fields = {"grant_type": "refresh_token", "refresh_token": "none"}
    encoded = servers.basic("odd id:/+", "se:cret %/+ü")
    plain = servers.basic("odd id:/+", "se:cret %/+ü", encoded=False)
    assert error_of(servers.post(TOKEN_PATHS["generic"], fields, headers=encoded)) == INVALID_GRANT
    assert error_of(servers.post(TOKEN_PATHS["generic"], fields, headers=plain)) == (401, "invalid_client")


@pytest.mark.parametrize(
    "value", ["", "Basic", "Basic !!!", "Basic " + base64.b64encode(b"nocolon").decode(), "Bearer x"]
)
def test_bad_client_authentication_is_answered_401_with_a_challenge(servers: Driver, value: str) -> None:
    headers = {"Authorization": value} if value else {}
    answer = servers.post(
        TOKEN_PATHS["generic"], {"grant_type": "refresh_token", "refresh_token": "x"}, headers=headers
    )
    assert error_of(answer) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_a_second_way_of_client_authentication_is_refused(servers: Driver) -> None:
    answer = servers.exchange(servers.code(), client_secret=servers.client_secret)
    assert error_of(answer) == (400, "invalid_request")


def test_a_client_without_refresh_tokens_gets_none_and_its_grant_ends_with_the_access_token(servers: Driver) -> None:
    servers.register("hotmart", refresh_tokens=False)
    assert "refresh_token" not in servers.connect("hotmart")
    assert servers.stats()["live_grants"] == 1
    servers.clock.advance(1800)
    assert servers.stats()["live_grants"] == 0


def test_the_provider_can_grant_less_than_was_asked_for_and_says_so(servers: Driver) -> None:
    servers.order("options", scopes_granted=["read"])
    assert servers.connect()["scope"] == "read"
    assert servers.log()[-1]["scopes"] == ["read"]
