import codecs
import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from consentry.oauth.provider import Provider
from consentry.oauth.token_answer import parse_token_answer, retry_after_seconds
from consentry.oauth.wire import FailureClass, GrantType, HttpAnswer, TokenGrant, TokenRequestFailed
from tests.unit.oauth.samples import NOW, OWN_CREDENTIALS, PLAIN, with_token

# RFC 6749 sections 4.1.4 and 5.1.
RFC_ANSWER = {
    "access_token": "2YotnFZFEjr1zCsicMWpAA",
    "token_type": "example",
    "expires_in": 3600,
    "refresh_token": "tGzv3JOkF0XG5Qx2TlKWIA",
    "example_parameter": "example_value",
}
GOOD = {**RFC_ANSWER, "token_type": "Bearer"}
HUBSPOT = with_token(
    error_fields=("error", "status"), gone_errors=("invalid_grant", "BAD_REFRESH_TOKEN"), keep=("hub_id",)
)


def parse(
    body: object,
    *,
    status: int = 200,
    provider: Provider = PLAIN,
    grant: GrantType = GrantType.REFRESH,
    retry_after: str = "",
) -> TokenGrant:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"retry-after": retry_after} if retry_after else {}
    return parse_token_answer(provider, HttpAnswer(status=status, headers=headers, body=raw), grant=grant, now=NOW)


def failure(body: object = b"", **how: Any) -> TokenRequestFailed:  # noqa: ANN401 - arguments of parse
    with pytest.raises(TokenRequestFailed) as caught:
        parse(body, **how)
    return caught.value


def outcome(body: object = b"", **how: Any) -> tuple[FailureClass, str]:  # noqa: ANN401 - arguments of parse
    failed = failure(body, **how)
    return failed.kind, failed.error


NOT_FINITE = (float("nan"), float("inf"), float("-inf"))  # Python's JSON writes and reads them

# What is usable


def test_an_answer_as_in_rfc_6749_section_5_1_is_a_grant() -> None:
    grant = parse(GOOD)
    assert grant.access_token.reveal() == "2YotnFZFEjr1zCsicMWpAA"
    assert grant.refresh_token is not None
    assert grant.refresh_token.reveal() == "tGzv3JOkF0XG5Qx2TlKWIA"
    assert (grant.token_type, grant.expires_in_seconds) == ("Bearer", 3600)
    assert (grant.scopes, grant.metadata, grant.account) == (None, {}, "")


def test_a_created_token_is_one_too() -> None:
    assert parse(GOOD, status=201).access_token.reveal() == "2YotnFZFEjr1zCsicMWpAA"


def test_an_odd_access_token_is_kept_verbatim() -> None:
    odd = "H4sIAAAA+/8=%2B%3D.~_-!*'();:@&=$,/?#[]\\\"<>^`{|}"
    assert parse({"access_token": odd}).access_token.reveal() == odd


@pytest.mark.parametrize("token_type", ["bearer", "BEARER", "", None])
def test_bearer_is_case_insensitive_and_the_default(token_type: object) -> None:
    assert parse({**GOOD, "token_type": token_type}).token_type == "Bearer"


@pytest.mark.parametrize("token_type", ["example", "mac", "DPoP", 7, ["Bearer"], {}, True])
def test_another_token_type_cannot_be_used(token_type: object) -> None:
    assert outcome({**RFC_ANSWER, "token_type": token_type}) == (FailureClass.IN_DOUBT, "unsupported_token_type")


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (1800, 1800),
        ("1800", 1800),
        (" 1800 ", 1800),
        (1799.9, 1799),
        ("1800.0", 1800),
        (1, 1),
        (315_360_000, 315_360_000),
    ],
)
def test_a_lifetime_may_be_a_number_or_digits(expires_in: object, seconds: int) -> None:
    assert parse({**GOOD, "expires_in": expires_in}).expires_in_seconds == seconds


@pytest.mark.parametrize(
    "expires_in",
    [0, -1, "0", "-5", 0.5, 315_360_001, 10**30, 1e300, "1e3", "soon", "", "٣٦٠٠", True, None, [], {}, *NOT_FINITE],
)
def test_an_absurd_lifetime_gives_way_to_the_providers_default(expires_in: object) -> None:
    body = {**GOOD, "expires_in": expires_in}
    assert parse(body, provider=with_token(expires_in_default_seconds=1800)).expires_in_seconds == 1800
    assert parse(body, provider=with_token(expires_in_default_seconds=None)).expires_in_seconds is None


def test_a_missing_lifetime_gives_way_to_the_providers_default() -> None:
    assert parse({"access_token": "t"}).expires_in_seconds == 3600
    assert parse(b'{"access_token": "t", "expires_in": 1e999}').expires_in_seconds == 3600


@pytest.mark.parametrize("refresh_token", [None, "", False, 0, 12, [], {}, "a\x00b", "\ud800", "r" * 16_385])
def test_a_refresh_token_that_is_none_means_keep_the_old_one(refresh_token: object) -> None:
    assert parse({**GOOD, "refresh_token": refresh_token}).refresh_token is None
    assert parse({"access_token": "t"}).refresh_token is None


@pytest.mark.parametrize(
    ("value", "separator", "scopes"),
    [
        ("read write", " ", ("read", "write")),
        (" read  write read ", " ", ("read", "write")),
        ("read,write", ",", ("read", "write")),
        ("read, write,", ",", ("read", "write")),
        (["tickets", "oauth"], " ", ("tickets", "oauth")),
        (["a", 1, None, "b"], " ", ("a", "b")),
        ([], " ", ()),
        ("", " ", None),
        ([1, None], " ", None),
        (None, " ", None),
        (7, " ", None),
        ({"a": 1}, " ", None),
    ],
)
def test_scopes_come_as_a_string_or_a_list(value: object, separator: str, scopes: tuple[str, ...] | None) -> None:
    provider = with_token(scopes_field="scopes", scope_separator=separator)
    assert parse({**GOOD, "scopes": value}, provider=provider).scopes == scopes


def test_named_fields_are_kept_if_they_are_short_strings_or_whole_numbers() -> None:
    provider = with_token(keep=("hub_id", "url", "flag", "ratio", "long", "list", "huge", "gone", "evil", "team.id"))
    answer = {
        **GOOD,
        "hub_id": 62515,
        "url": "https://na1.example",
        "flag": True,
        "ratio": 1.5,
        "long": "x" * 2049,
        "list": [1],
        "huge": 2**70,
        "evil": "a\r\nb",
        "team": {"id": "T1", "secret": "no"},
    }
    assert parse(answer, provider=provider).metadata == {"hub_id": 62515, "url": "https://na1.example", "team.id": "T1"}


def test_the_account_is_text_whatever_the_provider_counts_with() -> None:
    provider = with_token(account_field="hub_id")
    assert parse({**GOOD, "hub_id": 62515}, provider=provider).account == "62515"
    assert parse({**GOOD, "hub_id": "eu1-7"}, provider=provider).account == "eu1-7"
    assert parse({**GOOD, "hub_id": True}, provider=provider).account == ""
    assert parse(GOOD, provider=provider).account == ""


def test_a_refresh_tokens_own_lifetime_is_read_where_the_provider_tells_it() -> None:
    provider = with_token(refresh_expires_in_field="refresh_token_expires_in")
    answer = {**GOOD, "refresh_token_expires_in": "8640000", "": 5}
    assert parse(answer, provider=provider).refresh_expires_in_seconds == 8_640_000
    assert parse(answer).refresh_expires_in_seconds is None


# What is unusable: the provider may have rotated, so nobody may simply ask again


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"token"',
        b"<!doctype html><title>Docs</title>",
        b'{"access_token": "t", "refresh_to',
        b"access_token=t&token_type=bearer",
        b"{}",
        b"\xff\xfe\x00",
        json.dumps(GOOD).encode("utf-16"),
        json.dumps(GOOD).encode("utf-32"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"access_token": "t", "expires_in": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_200_that_is_no_json_object_with_a_token_is_in_doubt(body: bytes) -> None:
    assert outcome(body) == (FailureClass.IN_DOUBT, "unusable_answer")


@pytest.mark.parametrize("token", [None, "", 5, True, [], {}, "a b", "a\n", "tök", "t" * 16_385, "\x7f"])
def test_an_access_token_that_cannot_be_sent_is_in_doubt(token: object) -> None:
    assert outcome({**GOOD, "access_token": token}) == (FailureClass.IN_DOUBT, "unusable_answer")


@pytest.mark.parametrize("status", [100, 202, 204, 206])
def test_any_other_success_is_in_doubt(status: int) -> None:
    assert outcome(GOOD, status=status) == (FailureClass.IN_DOUBT, "unusable_answer")


def test_a_byte_order_mark_is_tolerated() -> None:
    assert parse(codecs.BOM_UTF8 + json.dumps(GOOD).encode()).access_token.reveal() == "2YotnFZFEjr1zCsicMWpAA"


# Errors, by what to do next


def test_the_error_of_rfc_6749_section_5_2_is_the_operators_matter() -> None:
    assert outcome({"error": "invalid_request"}, status=400) == (FailureClass.OPERATOR, "invalid_request")


@pytest.mark.parametrize("grant", [GrantType.CODE, GrantType.REFRESH])
@pytest.mark.parametrize("status", [400, 401, 403])
def test_invalid_grant_means_gone_whatever_the_status(grant: GrantType, status: int) -> None:
    assert outcome({"error": "invalid_grant"}, status=status, grant=grant) == (FailureClass.GONE, "invalid_grant")


@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client"])
@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refused_application_is_the_operators_matter(error: str, status: int) -> None:
    assert outcome({"error": error}, status=status) == (FailureClass.OPERATOR, error)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, "invalid_client"),
        (401, "invalid_client"),
        (403, "unauthorized_client"),
        (400, "invalid_grant"),
        (401, "token_expired"),
    ],
)
def test_a_customers_own_credentials_are_rejected_alone(status: int, error: str) -> None:
    how = {"status": status, "provider": OWN_CREDENTIALS, "grant": GrantType.CLIENT_CREDENTIALS}
    assert outcome({"error": error}, **how) == (FailureClass.CREDENTIAL_REJECTED, error)


def test_a_401_without_a_word_rejects_credentials_but_never_a_grant() -> None:
    how = {"status": 401, "provider": OWN_CREDENTIALS}
    assert outcome(b"", **how, grant=GrantType.CLIENT_CREDENTIALS) == (
        FailureClass.CREDENTIAL_REJECTED,
        "unknown_error",
    )
    assert outcome(b"", status=401) == (FailureClass.OPERATOR, "unknown_error")


def test_an_unknown_refusal_of_credentials_is_the_operators_matter() -> None:
    how = {"provider": OWN_CREDENTIALS, "grant": GrantType.CLIENT_CREDENTIALS}
    assert outcome({"error": "invalid_scope"}, status=400, **how) == (FailureClass.OPERATOR, "invalid_scope")
    assert outcome(b"<html>blocked</html>", status=403, **how) == (FailureClass.OPERATOR, "unknown_error")


@pytest.mark.parametrize("status", [404, 405, 409, 410, 415, 418, 422, 451])
def test_an_unknown_refusal_never_costs_a_grant(status: int) -> None:
    assert outcome(b"no such page", status=status) == (FailureClass.OPERATOR, "unknown_error")
    assert outcome({"error": "brand_new"}, status=status) == (FailureClass.OPERATOR, "brand_new")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_busy_or_broken_provider_is_asked_later(status: int) -> None:
    assert outcome(b"", status=status)[0] is FailureClass.LATER
    assert outcome({"error": "server_error"}, status=status) == (FailureClass.LATER, "server_error")


def test_a_broken_provider_takes_no_grant_with_it() -> None:
    assert outcome({"error": "invalid_grant"}, status=503) == (FailureClass.LATER, "invalid_grant")
    assert outcome(b"", status=503) == (FailureClass.LATER, "http_503")


@pytest.mark.parametrize("error", ["temporarily_unavailable", "slow_down"])
def test_a_400_can_mean_later_too(error: str) -> None:
    failed = failure({"error": error}, status=400, retry_after="30")
    assert (failed.kind, failed.error, failed.retry_after_seconds) == (FailureClass.LATER, error, 30)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_the_operators_matter_and_nothing_follows_it(status: int) -> None:
    assert outcome(GOOD, status=status) == (FailureClass.OPERATOR, "unexpected_redirect")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": "invalid_grant", "status": "BAD_REFRESH_TOKEN"}, "invalid_grant"),
        ({"status": "BAD_REFRESH_TOKEN", "message": "missing or unknown refresh token"}, "BAD_REFRESH_TOKEN"),
        ({"error": "something_new", "status": "BAD_REFRESH_TOKEN"}, "BAD_REFRESH_TOKEN"),
        ({"error": None, "status": "BAD_REFRESH_TOKEN"}, "BAD_REFRESH_TOKEN"),
    ],
)
def test_the_first_known_code_of_the_providers_error_fields_decides(body: object, error: str) -> None:
    assert outcome(body, status=400, provider=HUBSPOT) == (FailureClass.GONE, error)


def test_a_code_inside_an_object_can_be_named() -> None:
    provider = with_token(error_fields=("error.code",))
    assert outcome({"error": {"code": "invalid_grant"}}, status=400, provider=provider)[0] is FailureClass.GONE


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("BAD_AUTH_CODE", "BAD_AUTH_CODE"),
        ("InvalidGrant.v2", "InvalidGrant.v2"),
        (1107, "1107"),
        ("AADSTS700082", "AADSTS700082"),
        ("", "unknown_error"),
        (True, "unknown_error"),
        ({"code": 1}, "unknown_error"),
        ("refresh token is invalid", "unknown_error"),
        ("<img onerror=alert(1)>", "unknown_error"),
        ("a\r\nb", "unknown_error"),
        ("e" * 65, "unknown_error"),
        ("_" * 10, "unknown_error"),
        ("tGzv3JOkF0XG5Qx2TlKWIA", "unknown_error"),
        ("na1-1f2e3d4c-5b6a-4789-8abc-def012345678", "unknown_error"),
        ("CNRY-refresh-0123456789abcdef0123456789abcdef", "unknown_error"),
    ],
)
def test_only_what_looks_like_a_code_is_kept(sent: object, kept: str) -> None:
    assert failure({"error": sent}, status=400).error == kept


# Errors inside a 200


def test_an_error_where_a_token_should_be_counts_by_its_code() -> None:
    assert outcome({"error": "invalid_grant"}) == (FailureClass.GONE, "invalid_grant")
    assert outcome({"error": "bad_verification_code"}) == (FailureClass.OPERATOR, "bad_verification_code")
    assert outcome({"error": "slow_down", "access_token": ""}) == (FailureClass.LATER, "slow_down")


def test_a_token_beside_a_stray_error_is_used_unless_the_providers_data_says_otherwise() -> None:
    body = {**GOOD, "error": "token_revoked"}
    assert parse(body).access_token.reveal() == "2YotnFZFEjr1zCsicMWpAA"
    strict = with_token(error_in_success_field="error", gone_errors=("token_revoked",))
    assert outcome(body, provider=strict) == (FailureClass.GONE, "token_revoked")
    assert parse({**GOOD, "error": None}, provider=strict).access_token.reveal() == "2YotnFZFEjr1zCsicMWpAA"


def test_a_failure_that_names_no_code_in_a_200_is_in_doubt() -> None:
    assert outcome({"ok": False}) == (FailureClass.IN_DOUBT, "unusable_answer")


# Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30),
        (" 30 ", 30),
        ("0", 1),
        ("1000000000", 3600),
        ("9" * 20, 3600),
        (format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True), 90),
        (format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True), 1),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        ("", None),
        (None, None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣٠", None),
        ("9" * 21, None),
        ("Mon, 32 Foo 2026", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_an_hour(value: str | None, seconds: int | None) -> None:
    assert retry_after_seconds(value, NOW) == seconds


def test_a_wait_is_told_with_later_alone() -> None:
    assert failure(b"", status=429, retry_after="120").retry_after_seconds == 120
    assert failure(b"", status=503, retry_after="junk").retry_after_seconds is None
    assert failure({"error": "invalid_grant"}, status=400, retry_after="120").retry_after_seconds is None


def test_a_failure_remembers_its_status() -> None:
    assert failure(b"", status=503).status == 503
    assert failure(b"", status=200).status == 200
    assert failure({"error": "invalid_grant"}, status=200).status == 200


# A refresh token that is none


@pytest.mark.parametrize("refresh_token", [False, 0, 12, 1.5, [], {}, {"a": 1}, "a\x00b", "\ud800", "r" * 16_385])
def test_what_stands_where_a_refresh_token_should_and_is_none_is_told(refresh_token: object) -> None:
    granted = parse({**GOOD, "refresh_token": refresh_token})
    assert (granted.refresh_token, granted.refresh_token_unusable) == (None, True)
    assert granted.access_token.reveal() == GOOD["access_token"]


@pytest.mark.parametrize(
    "body", [GOOD, {**GOOD, "refresh_token": None}, {**GOOD, "refresh_token": ""}, {"access_token": "t"}]
)
def test_a_good_refresh_token_or_none_at_all_is_nothing_to_tell(body: dict[str, object]) -> None:
    assert not parse(body).refresh_token_unusable


@pytest.mark.parametrize("refresh_token", ["r", 7, {}, "r" * 16_385])
def test_credentials_have_no_use_for_a_refresh_token_of_any_kind(refresh_token: object) -> None:
    granted = parse(
        {**GOOD, "refresh_token": refresh_token}, provider=OWN_CREDENTIALS, grant=GrantType.CLIENT_CREDENTIALS
    )
    assert (granted.refresh_token, granted.refresh_token_unusable) == (None, False)
