"""Requests and answers in API Gateway's payload format 2.0.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
import binascii
import json
import time
import urllib.parse
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from dev.routes import Route

ACCOUNT: Final = "123456789012"
TEXTUAL: Final = ("text/", "application/json", "application/xml", "application/x-www-form-urlencoded")

# The length is counted anew. And a browser that once heard HSTS for localhost would refuse every other program's plain
# http://localhost, on any port, for a year.
WITHHELD: Final = ("content-length", "strict-transport-security")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it came in; header names keep their order and may repeat."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    source_ip: str = "127.0.0.1"
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def path(self) -> str:
        """Decoded, which is how HTTP APIs hand over `rawPath`."""
        return urllib.parse.unquote(self.target.partition("?")[0])

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def joined_headers(self) -> dict[str, str]:
        joined: dict[str, str] = {}
        for name, value in self.headers:
            lower = name.lower()
            joined[lower] = f"{joined[lower]},{value}" if lower in joined else value
        return joined


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back to the client."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    @classmethod
    def plain(cls, status: int, message: str) -> "Response":
        """API Gateway's own answer, such as 403 Forbidden."""
        return cls(
            status,
            [("Content-Type", "application/json")],
            json.dumps({"message": message}, separators=(",", ":")).encode(),
        )


class MalformedAnswer(ValueError):
    """The function answered something that API Gateway cannot turn into a response."""


def event(request: Request, route: Route, parameters: Mapping[str, str], principal: str) -> dict[str, Any]:
    """Build the event; `principal` is the access key id of a signed request, else empty."""
    headers = request.joined_headers()
    cookies = [cookie for part in headers.pop("cookie", "").split(";") if (cookie := part.strip())]
    body, encoded = _body(request.body, headers.get("content-type", ""))
    built: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route.key,
        "rawPath": request.path,
        "rawQueryString": request.query,
        "cookies": cookies,
        "headers": headers,
        "queryStringParameters": _query_parameters(request.query),
        "requestContext": _context(request, route, headers, principal),
        "pathParameters": dict(parameters),
        "body": body,
        "isBase64Encoded": encoded,
    }
    optional = ("cookies", "queryStringParameters", "pathParameters", "body")
    return {name: value for name, value in built.items() if value or name not in optional}


def response(payload: bytes) -> Response:
    """Read a function's answer; raise `MalformedAnswer` where API Gateway would answer 500."""
    try:
        answer = json.loads(payload)
    except ValueError as wrong:
        raise MalformedAnswer from wrong
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return Response(200, [("Content-Type", "application/json")], json.dumps(answer).encode())
    status, headers = answer["statusCode"], answer.get("headers") or {}
    cookies = answer.get("cookies") or []
    if not (str(status).isdecimal() and isinstance(headers, dict) and isinstance(cookies, list)):
        raise MalformedAnswer
    lines = [(str(name), str(value)) for name, value in headers.items() if str(name).lower() not in WITHHELD]
    if not any(name.lower() == "content-type" for name, _ in lines):
        lines.append(("Content-Type", "text/plain;charset=utf-8"))
    lines += [("Set-Cookie", str(cookie)) for cookie in cookies]
    if any("\n" in value or "\r" in value for line in lines for value in line):
        raise MalformedAnswer
    return Response(int(status), lines, _answered_body(answer))


def _answered_body(answer: Mapping[str, Any]) -> bytes:
    body = answer.get("body")
    if not isinstance(body, str | None):
        raise MalformedAnswer
    if not answer.get("isBase64Encoded"):
        return (body or "").encode()
    try:
        return base64.b64decode(body or "", validate=True)
    except binascii.Error as wrong:
        raise MalformedAnswer from wrong


def _query_parameters(query: str) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True):
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _body(body: bytes, content_type: str) -> tuple[str, bool]:
    if content_type.startswith(TEXTUAL) or "+json" in content_type:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), bool(body)


def _context(request: Request, route: Route, headers: Mapping[str, str], principal: str) -> dict[str, Any]:
    now = time.time()
    context: dict[str, Any] = {
        "accountId": ACCOUNT if principal else "anonymous",
        "apiId": "local",
        "domainName": headers.get("host", ""),
        "domainPrefix": headers.get("host", "").partition(".")[0],
        "http": {
            "method": request.method,
            "path": request.path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.source_ip,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": request.request_id,
        "routeKey": route.key,
        "stage": "$default",
        "time": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "timeEpoch": int(now * 1000),
    }
    return context | ({"authorizer": {"iam": _iam(principal)}} if principal else {})


def _iam(principal: str) -> dict[str, str | None]:
    return {
        "accessKey": principal,
        "accountId": ACCOUNT,
        "callerId": principal,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": f"arn:aws:iam::{ACCOUNT}:user/local",
        "userId": principal,
    }
