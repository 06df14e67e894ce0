"""What a token endpoint's answer means: a usable grant, or a failure classified by what to do next.

Every answer is hostile until shown otherwise (RFC 6749 sections 5.1 and 5.2). Whatever comes, the outcome is a
`TokenGrant` or a `TokenRequestFailed`, and no text of the provider's beyond a short error code is in the latter.
"""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from consentry.model import Secret
from consentry.oauth import answer_fields
from consentry.oauth.provider import Provider, TokenEndpoint
from consentry.oauth.wire import FailureClass, GrantType, HttpAnswer, TokenGrant, TokenRequestFailed

UNKNOWN: Final = "unknown_error"
UNUSABLE: Final = "unusable_answer"
REDIRECT: Final = "unexpected_redirect"
MAX_RETRY_AFTER_SECONDS: Final = 3600

_OK: Final = (200, 201)
_UNAUTHORIZED: Final = 401
_TOO_MANY_REQUESTS: Final = 429
_TRY_AGAIN: Final = (408, 425)
_MAX_CODE_LENGTH: Final = 64
# Words in one case or CamelCase, perhaps numbered, joined by `_`, `.` or `-`. Narrower than the alphabet of RFC 6749
# section 5.2 on purpose: a token that a provider echoes as an "error" is of mixed case and digits, and does not pass.
_WORD: Final = r"(?:(?:[a-z]{1,24}|[A-Z]{1,24}|(?:[A-Z][a-z]{1,24})+)[0-9]{0,6}|[0-9]{1,6})"
_CODE: Final = re.compile(rf"{_WORD}(?:[_.-]{_WORD})*")


def parse_token_answer(provider: Provider, answer: HttpAnswer, *, grant: GrantType, now: float) -> TokenGrant:
    """Return what was granted, or raise `TokenRequestFailed`, and nothing else, whatever the answer holds.

    `grant` says which request this answers; `now` (epoch seconds) turns a date in `Retry-After` into a wait.
    """
    fields = answer_fields.json_object(answer.body)
    if answer.status in _OK:
        return _success(provider, answer, fields, grant)
    raise _failure(provider.token, answer, fields or {}, grant, now)


def _success(provider: Provider, answer: HttpAnswer, fields: dict[str, object] | None, grant: GrantType) -> TokenGrant:
    endpoint = provider.token
    if fields is None:
        raise _in_doubt(UNUSABLE, answer)
    token = answer_fields.access_token(fields)
    if _is_error(endpoint, fields, token=token):
        kind, error = _classify(endpoint, 400, error_codes(endpoint, fields), grant)
        raise TokenRequestFailed(kind, error, status=answer.status)
    if not token:
        raise _in_doubt(UNUSABLE, answer)
    if not _is_bearer(fields.get("token_type")):
        raise _in_doubt("unsupported_token_type", answer)
    expires_in = answer_fields.seconds(fields.get("expires_in"))
    # Client credentials are their own grant: a refresh token must not take their place (RFC 6749 section 4.4.3).
    refresh_token = "" if grant is GrantType.CLIENT_CREDENTIALS else answer_fields.refresh_token(fields)
    return TokenGrant(
        access_token=Secret(token),
        token_type="Bearer",  # noqa: S106 - a token type, not a token
        expires_in_seconds=endpoint.expires_in_default_seconds if expires_in is None else expires_in,
        refresh_token=Secret(refresh_token) if refresh_token else None,
        scopes=answer_fields.scopes(answer_fields.at(fields, endpoint.scopes_field), endpoint.scope_separator),
        metadata=answer_fields.kept_fields(fields, endpoint.keep),
        account=answer_fields.scalar_text(fields, endpoint.account_field),
        refresh_token_unusable=not refresh_token and _is_meant(fields.get("refresh_token"), grant),
        refresh_expires_in_seconds=answer_fields.seconds(answer_fields.at(fields, endpoint.refresh_expires_in_field)),
    )


def _is_meant(refresh_token: object, grant: GrantType) -> bool:
    """Whether something stands where a refresh token should, and was to be used."""
    return grant is not GrantType.CLIENT_CREDENTIALS and refresh_token not in (None, "")


def _is_error(endpoint: TokenEndpoint, fields: Mapping[str, object], *, token: str) -> bool:
    """Whether a 200 says that it failed: as the provider's data tells, or by an `error` where a token should be."""
    if endpoint.error_in_success_field and answer_fields.at(fields, endpoint.error_in_success_field):
        return True
    error = fields.get("error")
    return not token and isinstance(error, str) and error != ""


def _is_bearer(token_type: object) -> bool:
    """Missing counts as Bearer; names are case-insensitive (RFC 6749 sections 5.1 and 7.1)."""
    return token_type is None or (isinstance(token_type, str) and token_type.lower() in {"", "bearer"})


def _in_doubt(error: str, answer: HttpAnswer) -> TokenRequestFailed:
    # With a 200 the provider may have rotated the refresh token: not a failure that may simply be repeated.
    return TokenRequestFailed(FailureClass.IN_DOUBT, error, status=answer.status)


def _failure(
    endpoint: TokenEndpoint, answer: HttpAnswer, fields: Mapping[str, object], grant: GrantType, now: float
) -> TokenRequestFailed:
    status, codes = answer.status, error_codes(endpoint, fields)
    if status < 300:  # noqa: PLR2004 - HTTP's classes of status
        return _in_doubt(UNUSABLE, answer)
    if status < 400:  # noqa: PLR2004 - as above
        return TokenRequestFailed(FailureClass.OPERATOR, REDIRECT, status=status)
    if status == _TOO_MANY_REQUESTS or status >= 500:  # noqa: PLR2004 - as above
        kind, error = FailureClass.LATER, safe_code(codes[0]) if codes else f"http_{status}"
    else:
        kind, error = _classify(endpoint, status, codes, grant)
    wait = retry_after_seconds(answer.headers.get("retry-after"), now) if kind is FailureClass.LATER else None
    return TokenRequestFailed(kind, error, status=status, retry_after_seconds=wait)


def _classify(endpoint: TokenEndpoint, status: int, codes: list[str], grant: GrantType) -> tuple[FailureClass, str]:
    """Decide by the first code that the provider's data knows; an unknown refusal never costs a grant."""
    for code in codes:
        for known, kind in _known_errors(endpoint, grant):
            if code in known:
                return kind, code
    error = safe_code(codes[0]) if codes else UNKNOWN
    if grant is GrantType.CLIENT_CREDENTIALS and status == _UNAUTHORIZED:
        return FailureClass.CREDENTIAL_REJECTED, error
    return (FailureClass.LATER if status in _TRY_AGAIN else FailureClass.OPERATOR), error


def _known_errors(endpoint: TokenEndpoint, grant: GrantType) -> tuple[tuple[tuple[str, ...], FailureClass], ...]:
    if grant is GrantType.CLIENT_CREDENTIALS:  # the credentials are the customer's, not this deployment's
        mine = (endpoint.rejected_errors + endpoint.gone_errors, FailureClass.CREDENTIAL_REJECTED)
    else:
        mine = (endpoint.gone_errors, FailureClass.GONE)
    return (mine, (endpoint.operator_errors, FailureClass.OPERATOR), (endpoint.later_errors, FailureClass.LATER))


def error_codes(endpoint: TokenEndpoint, fields: Mapping[str, object]) -> list[str]:
    """Return the error codes of an answer in the order of the provider's error fields; they are not safe yet."""
    names = (*endpoint.error_fields, endpoint.error_in_success_field)
    values = [answer_fields.scalar_text(fields, name) for name in names]
    return [value for value in values if value]


def safe_code(code: str) -> str:
    """Return the code if it is surely one; a text that could hold anything else becomes `unknown_error`."""
    return code if len(code) <= _MAX_CODE_LENGTH and _CODE.fullmatch(code) else UNKNOWN


def retry_after_seconds(value: str | None, now: float) -> int | None:
    """Return the wait that `Retry-After` asks for, within 1 to 3600 seconds; `None` if it is absent or nonsense.

    Seconds or an HTTP date (RFC 9110 section 10.2.3); `now` is in epoch seconds.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]{1,20}", text):
        wait: float = int(text)
    else:
        try:
            moment = parsedate_to_datetime(text)
            wait = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, TypeError, IndexError, OverflowError):  # what the parser raises for texts that are no date
            return None
    return int(min(max(wait, 1), MAX_RETRY_AFTER_SECONDS))
