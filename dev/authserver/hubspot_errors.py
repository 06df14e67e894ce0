"""HubSpot's two error shapes: of the token endpoint, and of every other API."""

import uuid
from typing import Final

from flask import Response

from dev.authserver.answers import json_answer
from dev.authserver.bearer import NoEntry
from dev.authserver.strict import Refused

STATUSES: Final = {
    "code": "BAD_AUTH_CODE",
    "code_verifier": "BAD_AUTH_CODE",
    "refresh_token": "BAD_REFRESH_TOKEN",
    "client_id": "BAD_CLIENT_ID",
    "client_secret": "BAD_CLIENT_SECRET",
    "redirect_uri": "MISMATCH_REDIRECT_URI_AUTH_CODE",
    "grant_type": "BAD_GRANT_TYPE",
}


def refusal(refused: Refused) -> Response:
    """Always 400, with the older fields beside those of RFC 6749."""
    return json_answer(
        {
            "error": refused.error,
            "error_description": refused.description,
            "status": STATUSES.get(refused.about, "BAD_REQUEST"),
            "message": refused.description,
            "correlationId": str(uuid.uuid4()),
        },
        400,
    )


def expired(entry: NoEntry) -> Response:
    if entry.missing:
        message = "Authentication credentials not found. This API supports OAuth 2.0 authentication."
        return api_error(401, "INVALID_AUTHENTICATION", message)
    message = f"The OAuth token used to make this call expired {entry.seconds_ago} second(s) ago."
    return api_error(401, "EXPIRED_AUTHENTICATION", message)


def api_error(status: int, category: str, message: str, **more: object) -> Response:
    body = {"status": "error", "category": category, "message": message, "correlationId": str(uuid.uuid4())}
    return json_answer(body | more, status)


def missing_scopes(*scopes: str) -> Response:
    message = "This app hasn't been granted all required scopes to make this call. Read more about required scopes."
    context = {"requiredGranularScopes": list(scopes), "missingScopes": list(scopes)}
    return api_error(403, "MISSING_SCOPES", message, errors=[{"message": "missing", "context": context}])
