from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consentry.errors import Forbidden, InvalidRequest
from consentry.model import Secret
from consentry.oauth.callback import (
    AuthorizationCode,
    AuthorizationDenied,
    StateHash,
    UnverifiedCallback,
    parse_callback,
    validate_callback,
)
from tests.unit.oauth.samples import AUTHORIZATION, with_authorization

ISSUER = "https://server.example.com"


def code_of(answer: AuthorizationCode | AuthorizationDenied) -> str:
    assert isinstance(answer, AuthorizationCode)
    return answer.code.reveal()


def validate(
    raw_query: str,
    *,
    expected_state: str | StateHash = "xyz",
    **authorization: Any,  # noqa: ANN401 - fields of the dataclass
) -> AuthorizationCode | AuthorizationDenied:
    endpoint = with_authorization(**authorization).authorization or AUTHORIZATION
    return validate_callback(parse_callback(raw_query), authorization=endpoint, expected_state=expected_state)


def refusal(raw_query: str) -> str:
    with pytest.raises(InvalidRequest) as caught:
        parse_callback(raw_query)
    return caught.value.code


def parsed_or_refused(raw_query: str) -> UnverifiedCallback | InvalidRequest:
    try:
        return parse_callback(raw_query)
    except InvalidRequest as refused:
        return refused


def test_the_answer_of_rfc_6749_section_4_1_2_brings_its_code() -> None:
    assert code_of(validate("code=SplxlOBeZQQYbYS6WxSbIA&state=xyz")) == "SplxlOBeZQQYbYS6WxSbIA"


def test_the_error_of_rfc_6749_section_4_1_2_1_is_a_denial() -> None:
    assert validate("error=access_denied&state=xyz") == AuthorizationDenied("access_denied")


@pytest.mark.parametrize("name", ["code", "state", "iss", "error"])
@pytest.mark.parametrize("again", ["{0}=b", "{0}=", "{0}", "%{1:x}{2}=b"])
def test_a_repeated_parameter_is_refused_also_when_empty_or_escaped(name: str, again: str) -> None:
    first = "&".join(f"{each}=a" for each in {"code", "state", name})
    assert refusal(f"{first}&{again.format(name, ord(name[0]), name[1:])}") == "duplicate_parameter"


def test_a_comma_inside_one_code_is_no_duplicate() -> None:
    assert code_of(validate("code=a%2Cb&state=xyz")) == "a,b"
    assert code_of(validate("code=a,b&state=xyz")) == "a,b"


def test_a_plus_is_a_space_and_an_escaped_plus_is_a_plus() -> None:
    assert code_of(validate("code=a%2Bb/c%3D&state=xyz")) == "a+b/c="
    assert code_of(validate("code=a+b&state=xyz")) == "a b"


def test_a_semicolon_separates_nothing() -> None:
    assert code_of(validate("code=a;code=b&state=xyz")) == "a;code=b"


@pytest.mark.parametrize(
    ("raw_query", "code"),
    [
        ("", "missing_state"),
        ("code=a", "missing_state"),
        ("code=a&state=", "missing_state"),
        ("state=xyz", "missing_code"),
        ("state=xyz&code=", "missing_code"),
        ("state=xyz&code[]=a", "missing_code"),
        ("state=xyz&Code=a", "missing_code"),
        ("state=xyz&code=a&error=access_denied", "ambiguous_answer"),
        ("state=xyz&code=%ff%fe", "malformed_parameter"),
        ("state=xyz&code=a%00b", "malformed_parameter"),
        ("state=xyz&code=a%0d%0ab", "malformed_parameter"),
        ("state=%C2%85&code=a", "malformed_parameter"),
        ("state=\ud800&code=a", "malformed_parameter"),
        (f"state=xyz&code={'a' * 4097}", "oversized_parameter"),
        (f"state={'x' * 4097}&code=a", "oversized_parameter"),
        (f"state=xyz&code=a&iss={'i' * 4097}", "oversized_parameter"),
        (f"state=xyz&error={'e' * 4097}", "oversized_parameter"),
        (f"state=xyz&code=a&other={'o' * 20_000}", "oversized_parameter"),
    ],
)
def test_a_malformed_answer_is_refused_by_name(raw_query: str, code: str) -> None:
    assert refusal(raw_query) == code


def test_a_parameter_without_a_value_counts_as_absent() -> None:
    assert code_of(validate("code=a&state=xyz&error=&iss=")) == "a"


def test_unknown_parameters_are_ignored_whatever_they_hold() -> None:
    assert code_of(validate("hd=%ff%00&code=a&&=&state=xyz&scope=b&scope=c&%ff=1&session_state")) == "a"


def test_four_kilobytes_fit() -> None:
    assert code_of(validate(f"code={'a' * 4096}&state=xyz")) == "a" * 4096


@pytest.mark.parametrize(
    "expected", ["", "xy", "xyz ", "XYZ", "ü", StateHash(""), StateHash("xyz"), StateHash.of("no")]
)
def test_another_flows_state_is_refused(expected: str | StateHash) -> None:
    with pytest.raises(Forbidden) as caught:
        validate("code=a&state=xyz", expected_state=expected)
    assert caught.value.code == "state_mismatch"


def test_a_state_can_be_compared_with_its_stored_hash() -> None:
    stored = StateHash("3608bca1e44ea6c4d268eb6db02260269892c0b42b86bbf1e77a6fa16c3c9282")
    assert stored == StateHash.of("xyz")
    assert code_of(validate("code=a&state=xyz", expected_state=stored)) == "a"


@pytest.mark.parametrize("answer", ["code=a", "error=access_denied"])
@pytest.mark.parametrize(
    "issuer",
    ["https://evil.test", ISSUER + "/", "HTTPS://server.example.com", "https://SERVER.example.com", ISSUER[:-1]],
)
def test_another_issuer_is_refused_before_code_or_error_is_used(answer: str, issuer: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        validate(f"{answer}&state=xyz&iss={quote(issuer, safe='')}", issuer=ISSUER)
    assert caught.value.code == "issuer_mismatch"


@pytest.mark.parametrize("answer", ["code=a", "error=access_denied"])
@pytest.mark.parametrize("nothing", ["", "&iss="])
def test_a_required_issuer_must_be_there(answer: str, nothing: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        validate(f"{answer}&state=xyz{nothing}", issuer=ISSUER, issuer_required=True)
    assert caught.value.code == "issuer_missing"


def test_the_right_issuer_passes_and_an_optional_one_may_be_absent() -> None:
    assert code_of(validate(f"code=a&state=xyz&iss={quote_plus(ISSUER)}", issuer=ISSUER, issuer_required=True)) == "a"
    assert code_of(validate("code=a&state=xyz", issuer=ISSUER)) == "a"


def test_an_issuer_that_the_provider_is_not_known_to_send_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        validate(f"code=a&state=xyz&iss={quote_plus(ISSUER)}")
    assert caught.value.code == "issuer_mismatch"


@pytest.mark.parametrize(
    ("sent", "public"),
    [
        ("access_denied", "access_denied"),
        ("user_cancelled_login", "access_denied"),
        ("invalid_scope", "invalid_scope"),
        ("server_error", "server_error"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("unauthorized_client", "provider_refused"),
        ("<script>alert(1)</script>", "provider_refused"),
        ("Server_Error", "provider_refused"),
    ],
)
def test_an_error_becomes_one_of_five_public_codes(sent: str, public: str) -> None:
    raw_query = f"error={quote_plus(sent)}&error_description=%3Cb%3E&state=xyz"
    assert validate(raw_query, denied_errors=("user_cancelled_login",)) == AuthorizationDenied(public)


def test_nothing_of_an_unverified_callback_is_printed() -> None:
    unverified = parse_callback("code=CNRY-code&state=CNRY-state&iss=CNRY-issuer")
    assert "CNRY" not in f"{unverified} {unverified!r} {AuthorizationCode(Secret('CNRY-code'))!r}"


@settings(max_examples=1000, deadline=None)
@given(st.one_of(st.text(), st.text("code=state&iss%error+;,0fFé\x00", max_size=60)))
@example("code=%&state=%zz")
@example("state=a&code=%u0041")
def test_any_text_is_a_callback_or_a_clear_refusal(raw_query: str) -> None:
    parsed = parsed_or_refused(raw_query)
    if isinstance(parsed, InvalidRequest):
        assert parsed.public.endswith(".")
        assert parsed.code != parsed.default_code
    else:
        assert parsed.state
        assert (parsed.unverified_code is None) == bool(parsed.unverified_error)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200))
def test_every_printable_code_survives_both_encodings(code: str) -> None:
    assert code_of(validate(f"code={quote(code, safe='')}&state=xyz")) == code
    assert code_of(validate(f"state=xyz&code={quote_plus(code)}")) == code
