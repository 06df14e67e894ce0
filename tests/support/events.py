"""HTTP API events, payload format 2.0, as API Gateway sends them."""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

_numbers = itertools.count(1)
type Event = dict[str, Any]


def event(
    route: str,
    *,
    method: str = "",
    parameters: Mapping[str, str] | None = None,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    cookies: Sequence[str] = (),
    body: str | None = None,
    request_id: str = "",
) -> Event:
    """Return the event of a request to a route such as `ANY /callback/{integration}`."""
    verb, _, path = route.partition(" ")
    for name, value in (parameters or {}).items():
        path = path.replace(f"{{{name}}}", value)
    used = method or ("GET" if verb == "ANY" else verb)
    made: Event = {
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "vault.test", "user-agent": "test", **(headers or {})},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc123",
            "domainName": "vault.test",
            "http": {
                "method": used,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "test",
            },
            "requestId": request_id or f"request-{next(_numbers)}",
            "routeKey": route,
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }
    optional = {"cookies": list(cookies), "pathParameters": dict(parameters or {}), "body": body}
    return made | {name: value for name, value in optional.items() if value}


def json_event(
    route: str, parameters: Mapping[str, str] | None = None, body: object = None, request_id: str = ""
) -> Event:
    """Return the event of a management request with a JSON body."""
    text = None if body is None else json.dumps(body)
    headers = {"content-type": "application/json"} if text else {}
    return event(route, parameters=parameters, headers=headers, body=text, request_id=request_id)
