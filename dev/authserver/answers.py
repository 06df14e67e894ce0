"""Answers in the plain form of RFC 6749; systems with a dialect of their own start from these."""

import json
from collections.abc import Mapping

from flask import Response

from dev.authserver.grants import Issued
from dev.authserver.strict import Refused


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(body), status, headers=dict(headers or {}), content_type="application/json")


def token_fields(issued: Issued, token_type: str = "bearer") -> dict[str, object]:  # noqa: S107 - a token type
    """RFC 6749 section 5.1, without `scope`."""
    fields: dict[str, object] = {
        "access_token": issued.access.value,
        "token_type": token_type,
        "expires_in": issued.expires_in,
    }
    if issued.refresh is not None:
        fields["refresh_token"] = issued.refresh.value
    return fields


def plain_token_answer(issued: Issued) -> Response:
    return json_answer(token_fields(issued) | {"scope": " ".join(issued.access.scopes)})


def plain_refusal(refused: Refused) -> Response:
    """RFC 6749 section 5.2: 401 with a challenge for a client that failed HTTP Basic."""
    headers = {"WWW-Authenticate": 'Basic realm="local stack"'} if refused.status == 401 else {}  # noqa: PLR2004 - HTTP
    return json_answer({"error": refused.error, "error_description": refused.description}, refused.status, headers)
