"""Token revocation (RFC 7009), and the one step further that some providers know: taking the application away."""

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from consentry.model import Secret
from consentry.oauth import answer_fields
from consentry.oauth.provider import BodyFormat, Provider
from consentry.oauth.token_answer import error_codes, retry_after_seconds, safe_code
from consentry.oauth.token_request import ClientIdentity, authenticated_request
from consentry.oauth.wire import HttpAnswer, TokenRequest

# RFC 7009 section 2.2 wants a 200 for a token that is not valid any more; some say so with RFC 6750's word for it.
_INVALID_TOKEN: Final = "invalid_token"  # noqa: S105 - an error code
_TRY_AGAIN: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_UNSUPPORTED: Final = "unsupported_token_type"


class RevocationResult(StrEnum):
    """`ENDED`: the token is worth nothing now. Otherwise it may still live, and `UNSUPPORTED` says that it will."""

    ENDED = "ended"
    UNSUPPORTED = "unsupported"
    OPERATOR = "operator"
    REFUSED = "refused"
    LATER = "later"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationAnswer:
    """`error` is a short code from a fixed alphabet, safe to log and store; empty where the token has ended."""

    result: RevocationResult
    error: str = ""
    retry_after_seconds: int | None = None


def revocation_request(provider: Provider, client: ClientIdentity, refresh_token: Secret) -> TokenRequest:
    """End a refresh token at `provider.revocation_url` (RFC 7009 section 2.1).

    Raise `Misconfigured` if a client secret is missing.
    """
    parameters = {"token": refresh_token.reveal(), "token_type_hint": "refresh_token"}
    return authenticated_request(provider, client, provider.revocation_url, parameters, BodyFormat.FORM)


def uninstall_request(provider: Provider, access_token: Secret) -> TokenRequest:
    """Take the application out of the token's account at `provider.uninstall_url` (RFC 6750 section 2.1)."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    bearer = {"Authorization": f"Bearer {access_token.reveal()}"}
    return TokenRequest(method="DELETE", url=provider.uninstall_url, headers=headers | bearer, body=b"")


def parse_revocation_answer(provider: Provider, answer: HttpAnswer, *, now: float) -> RevocationAnswer:
    """Say what an answer to either request means (RFC 7009 sections 2.2 and 2.2.1); `now` is in epoch seconds.

    Nothing but a success, or the provider's own word that the token is no longer valid, counts as its end. Whoever says
    within a success that it failed (`error_in_success_field`) may do so here, too.
    """
    fields, failed_within = answer_fields.json_object(answer.body) or {}, provider.token.error_in_success_field
    succeeded = HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES
    if succeeded and not (failed_within and answer_fields.at(fields, failed_within)):
        return RevocationAnswer(result=RevocationResult.ENDED)
    codes = error_codes(provider.token, fields)
    error = safe_code(codes[0]) if codes else f"http_{answer.status}"
    refused = HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
    if succeeded or (refused and answer.status not in _TRY_AGAIN):
        result = _refused(provider, frozenset(codes))
        return RevocationAnswer(result=result, error="" if result is RevocationResult.ENDED else error)
    wait = retry_after_seconds(answer.headers.get("retry-after"), now)
    return RevocationAnswer(result=RevocationResult.LATER, error=error, retry_after_seconds=wait)


def _refused(provider: Provider, codes: frozenset[str]) -> RevocationResult:
    if codes & {_INVALID_TOKEN, *provider.token.gone_errors}:
        return RevocationResult.ENDED
    if _UNSUPPORTED in codes:
        return RevocationResult.UNSUPPORTED
    return RevocationResult.OPERATOR if codes & {*provider.token.operator_errors} else RevocationResult.REFUSED
