"""The authorization response: parsed strictly, then checked, and only then a code (RFC 6749 section 4.1.2, RFC 9207).

`parse_callback` -> `UnverifiedCallback` -> `validate_callback` -> `AuthorizationCode`, which alone can be exchanged.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote_to_bytes

from consentry.errors import Forbidden, InvalidRequest
from consentry.model import Secret
from consentry.oauth.provider import AuthorizationEndpoint

MAX_VALUE_BYTES: Final = 4096
MAX_QUERY_BYTES: Final = 16 * 1024
REFUSED: Final = "provider_refused"

_KNOWN: Final = ("code", "state", "iss", "error")
_CONTROL: Final = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0))))
# Errors of RFC 6749 section 4.1.2.1 that tell the person something; all others are `provider_refused`.
_PUBLIC_ERRORS: Final = frozenset({"access_denied", "invalid_scope", "server_error", "temporarily_unavailable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedCallback:
    """What somebody's browser brought: well-formed, and nothing more. Exactly one of code and error is there."""

    state: str = field(repr=False)
    unverified_code: Secret | None = None
    unverified_error: str = field(default="", repr=False)
    unverified_issuer: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class StateHash:
    """A state as it is stored: the SHA-256 of it, in hexadecimal."""

    hexdigest: str

    @classmethod
    def of(cls, state: str) -> Self:
        return cls(hashlib.sha256(state.encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """A code whose state and issuer were checked by `validate_callback`, perhaps parked since."""

    code: Secret


@dataclass(frozen=True, slots=True)
class AuthorizationDenied:
    """The provider said no. `error` is one of five public codes; the provider's own words are not in it."""

    error: str


def parse_callback(raw_query: str) -> UnverifiedCallback:
    """Parse a raw query string strictly; raise `InvalidRequest` with a sentence for the person otherwise.

    Unknown parameters are ignored; one without a value counts as absent; a repeated one is refused (RFC 6749
    section 3.1). Only the raw query will do: a gateway that joins duplicates with commas hides them.
    """
    values = _known_parameters(raw_query)
    code, error, state = values.get("code", ""), values.get("error", ""), values.get("state", "")
    if not state:
        message = "The provider's answer has no state; start connecting again."
        raise InvalidRequest(message, code="missing_state")
    if code and error:
        message = "The provider's answer has both a code and an error; start connecting again."
        raise InvalidRequest(message, code="ambiguous_answer")
    if not code and not error:
        message = "The provider's answer has neither a code nor an error; start connecting again."
        raise InvalidRequest(message, code="missing_code")
    return UnverifiedCallback(
        state=state,
        unverified_code=Secret(code) if code else None,
        unverified_error=error,
        unverified_issuer=values.get("iss", ""),
    )


def validate_callback(
    unverified: UnverifiedCallback, *, authorization: AuthorizationEndpoint, expected_state: str | StateHash
) -> AuthorizationCode | AuthorizationDenied:
    """Check state, then issuer, and only then look at code or error (RFC 9207 section 2.4).

    Raise `Forbidden` for another flow's state, `InvalidRequest` for an issuer that is not exactly the expected one.
    """
    _check_state(unverified.state, expected_state)
    _check_issuer(unverified.unverified_issuer, authorization)
    if unverified.unverified_code is not None:
        return AuthorizationCode(unverified.unverified_code)
    return AuthorizationDenied(_public_error(unverified.unverified_error, authorization))


def _check_state(state: str, expected: str | StateHash) -> None:
    wanted = expected if isinstance(expected, StateHash) else StateHash.of(expected)
    if not expected or not hmac.compare_digest(StateHash.of(state).hexdigest.encode(), wanted.hexdigest.encode()):
        message = "This answer belongs to another attempt to connect; start connecting again."
        raise Forbidden(message, code="state_mismatch")


def _check_issuer(issuer: str, authorization: AuthorizationEndpoint) -> None:
    """Compare as strings, without normalisation (RFC 9207 section 2.4).

    An `iss` from a provider whose data names no issuer is refused too, as that section recommends.
    """
    if not issuer:
        if not authorization.issuer_required:
            return
        message = "The provider's answer does not say who issued it, though this provider always does; connect again."
        raise InvalidRequest(message, code="issuer_missing")
    if issuer != authorization.issuer:
        message = "The answer was issued by another authorization server than the one asked; connect again."
        raise InvalidRequest(message, code="issuer_mismatch")


def _public_error(error: str, authorization: AuthorizationEndpoint) -> str:
    if error in authorization.denied_errors:
        return "access_denied"
    return error if error in _PUBLIC_ERRORS else REFUSED


def _known_parameters(raw_query: str) -> dict[str, str]:
    raw = raw_query.encode("utf-8", "surrogatepass")
    if len(raw) > MAX_QUERY_BYTES:
        message = f"The provider's answer is longer than {MAX_QUERY_BYTES} bytes; start connecting again."
        raise InvalidRequest(message, code="oversized_parameter")
    values: dict[str, str] = {}
    for pair in raw.split(b"&"):
        raw_name, _, raw_value = pair.partition(b"=")
        name = _unescape(raw_name).decode("utf-8", "replace")
        if name not in _KNOWN:
            continue
        if name in values:
            message = f"The provider's answer has the parameter {name} twice; start connecting again."
            raise InvalidRequest(message, code="duplicate_parameter")
        values[name] = _text(name, _unescape(raw_value))
    return values


def _unescape(raw: bytes) -> bytes:
    return unquote_to_bytes(raw.replace(b"+", b" "))  # application/x-www-form-urlencoded: RFC 6749 appendix B


def _text(name: str, value: bytes) -> str:
    if len(value) > MAX_VALUE_BYTES:
        message = f"The parameter {name} of the provider's answer is longer than {MAX_VALUE_BYTES} bytes."
        raise InvalidRequest(message, code="oversized_parameter")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        message = f"The parameter {name} of the provider's answer is not UTF-8; start connecting again."
        raise InvalidRequest(message, code="malformed_parameter") from None
    if not _CONTROL.isdisjoint(text):
        message = f"The parameter {name} of the provider's answer holds control characters; start connecting again."
        raise InvalidRequest(message, code="malformed_parameter")
    return text
