"""Reading requests without mercy: one value for each parameter, the content type that was promised, UTF-8."""

import base64
import binascii
import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

from flask import Request

type Parameters = Mapping[str, str]

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


class Refused(Exception):
    """An OAuth error: `error` and `description` (RFC 6749 section 5.2), the parameter it is about, an HTTP status."""

    def __init__(self, error: str, description: str, *, about: str = "", status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.about = about
        self.status = status


def invalid_request(description: str, *, about: str = "", status: int = 400) -> Refused:
    return Refused("invalid_request", description, about=about, status=status)


def single_values(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Refuse repeated names; drop empty values, which count as omitted (RFC 6749 section 3.1)."""
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise invalid_request(f"the parameter '{name[:40]}' is repeated", about=name)
        values[name] = value
    return {name: value for name, value in values.items() if value}


def form_pairs(text: bytes, where: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise invalid_request(f"the {where} is not form-encoded UTF-8 with at most 100 fields") from None
    return single_values(pairs)


def query_parameters(request: Request) -> dict[str, str]:
    return form_pairs(request.query_string, "query")


def form_body(request: Request) -> dict[str, str]:
    """The fields of a form body; parameters in the query are refused, since queries end up in logs."""
    if request.mimetype != FORM:
        raise invalid_request(f"send {FORM}", about="content-type", status=415)
    if request.query_string:
        raise invalid_request("parameters belong in the body, not in the query", about="query")
    return form_pairs(request.get_data(), "body")


def json_body(request: Request) -> dict[str, str]:
    if request.mimetype != JSON:
        raise invalid_request(f"send {JSON}", about="content-type", status=415)
    if request.query_string:
        raise invalid_request("parameters belong in the body, not in the query", about="query")
    try:
        pairs = json.loads(request.get_data(), object_pairs_hook=list)
    except (ValueError, RecursionError):
        raise invalid_request("the body is not JSON") from None
    if not isinstance(pairs, list) or not all(_is_text_pair(pair) for pair in pairs):
        raise invalid_request("the body must be one JSON object of strings")
    return single_values(pairs)


def _is_text_pair(pair: object) -> bool:
    return isinstance(pair, tuple) and isinstance(pair[1], str)


def basic_value(request: Request) -> str:
    """What follows `Basic` in the Authorization header, as it was sent."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic" or not value:
        raise Refused("invalid_client", "send client credentials with HTTP Basic", about="client_id", status=401)
    return value


def basic_credentials(request: Request) -> tuple[str, str]:
    """The two halves of HTTP Basic (RFC 7617), still encoded as the client encoded them."""
    try:
        decoded = base64.b64decode(basic_value(request), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise Refused("invalid_client", "HTTP Basic is not base64 of UTF-8", about="client_id", status=401) from None
    client_id, colon, secret = decoded.partition(":")
    if not colon:
        raise Refused("invalid_client", "HTTP Basic holds no ':'", about="client_id", status=401)
    return client_id, secret


def no_authorization_header(request: Request) -> None:
    if "Authorization" in request.headers:
        raise invalid_request("authenticate in the body alone, without an Authorization header", about="client_secret")


def required(parameters: Parameters, name: str) -> str:
    value = parameters.get(name)
    if value is None:
        raise invalid_request(f"the parameter '{name}' is missing", about=name)
    return value
