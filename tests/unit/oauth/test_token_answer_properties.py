import json
from base64 import urlsafe_b64encode
from string import ascii_letters, digits

from hypothesis import given, settings
from hypothesis import strategies as st

from consentry.oauth.provider import Provider
from consentry.oauth.token_answer import parse_token_answer, retry_after_seconds
from consentry.oauth.wire import FailureClass, GrantType, HttpAnswer, TokenGrant, TokenRequestFailed
from tests.unit.oauth.samples import NOW, OWN_CREDENTIALS, PLAIN, with_token

ELABORATE = with_token(
    scopes_field="scopes",
    scope_separator=",",
    keep=("hub_id", "team.id", "scopes"),
    account_field="hub_id",
    error_fields=("error", "status", "error.code"),
    error_in_success_field="ok",
    refresh_expires_in_field="expires_in",
    expires_in_default_seconds=None,
)
PROVIDERS = st.sampled_from([PLAIN, ELABORATE, OWN_CREDENTIALS])
GRANTS = st.sampled_from(list(GrantType))
STATUSES = st.one_of(st.sampled_from([200, 201, 400, 401, 403, 429, 503]), st.integers(-1, 1000))
WORDS = "access_token token_type expires_in refresh_token scope scopes error status ok hub_id team id code"
NAMES = st.sampled_from([*WORDS.split(), ""])
TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["Bearer", "3600", "invalid_grant", "invalid_client", "slow_down", "a,b", "-1", "1e9", "\ud800"]),
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=8
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=8)
BODIES = st.one_of(
    st.binary(max_size=200),
    OBJECTS.map(lambda value: json.dumps(value).encode()),
    OBJECTS.map(lambda value: json.dumps(value).encode()[:-3]),
    OBJECTS.map(lambda value: json.dumps(value).encode("utf-16")),
    VALUES.map(lambda value: json.dumps(value).encode()),
)
HEADERS: st.SearchStrategy[dict[str, str]] = st.one_of(
    st.fixed_dictionaries({"retry-after": st.text(max_size=60)}),
    st.fixed_dictionaries({"retry-after": st.text(digits + "-+.:, GMTMonJan", max_size=40)}),
    st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=3),
)


def granted_or_failed(provider: Provider, answer: HttpAnswer, grant: GrantType) -> TokenGrant | TokenRequestFailed:
    try:
        return parse_token_answer(provider, answer, grant=grant, now=NOW)
    except TokenRequestFailed as failed:
        return failed


def check_grant(grant: TokenGrant) -> None:
    token = grant.access_token.reveal()
    assert token.isascii()
    assert all("!" <= character <= "~" for character in token)
    assert 0 < len(token) <= 16 * 1024
    assert grant.expires_in_seconds is None or 0 < grant.expires_in_seconds <= 315_360_000
    refresh_token = grant.refresh_token
    assert refresh_token is None or len(refresh_token.reveal().encode()) > 0
    assert all(str(value).isprintable() for value in grant.metadata.values())
    assert grant.account.isprintable()
    assert grant.token_type == "Bearer"


def check_failure(failed: TokenRequestFailed) -> None:
    assert 1 <= len(failed.error) <= 64
    assert set(failed.error) <= set(ascii_letters + digits + "_.-")
    assert failed.retry_after_seconds is None or 1 <= failed.retry_after_seconds <= 3600
    assert failed.__cause__ is None


@settings(max_examples=2000, deadline=None)
@given(provider=PROVIDERS, grant=GRANTS, status=STATUSES, body=BODIES, headers=HEADERS)
def test_every_answer_is_a_grant_or_a_classified_failure(
    provider: Provider, grant: GrantType, status: int, body: bytes, headers: dict[str, str]
) -> None:
    answer = HttpAnswer(status=status, headers=headers, body=body)
    outcome = granted_or_failed(provider, answer, grant)
    if isinstance(outcome, TokenGrant):
        assert status in {200, 201}
        check_grant(outcome)
    else:
        check_failure(outcome)
        if outcome.kind is FailureClass.GONE:
            assert outcome.error in provider.token.gone_errors
            assert grant is not GrantType.CLIENT_CREDENTIALS


SECRETS = st.one_of(
    st.uuids().map(str),
    st.binary(min_size=16, max_size=16).map(lambda raw: f"CNRY-refresh-{raw.hex()}"),
    st.randoms(use_true_random=False).map(lambda source: urlsafe_b64encode(source.randbytes(32)).decode().rstrip("=")),
)


@settings(max_examples=500, deadline=None)
@given(secret=SECRETS, status=STATUSES, provider=PROVIDERS, name=NAMES)
def test_a_secret_that_a_provider_echoes_is_in_no_exception(
    secret: str, status: int, provider: Provider, name: str
) -> None:
    body = json.dumps({"error": secret, "status": secret, "error_description": secret, name: [secret]}).encode()
    answer = HttpAnswer(status=status, headers={"retry-after": secret}, body=body)
    outcome = granted_or_failed(provider, answer, GrantType.REFRESH)
    assert secret not in f"{outcome} {outcome!r}"
    if isinstance(outcome, TokenRequestFailed):
        assert secret not in f"{outcome.args} {vars(outcome)} {outcome.__context__!r}"


@settings(max_examples=1000, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text(digits + "-+.:, GMTMonJanFeb", max_size=40)), st.floats(0, 1e11))
def test_every_retry_after_is_a_wait_within_an_hour_or_nothing(value: str, now: float) -> None:
    wait = retry_after_seconds(value, now)
    assert wait is None or 1 <= wait <= 3600
