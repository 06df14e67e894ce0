"""Every answer, built in one place, with the headers that each of them carries."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final
from urllib.parse import quote

from consentry.errors import BeingRemoved, ConsentryError, TryLater
from consentry.pages.render import Page, render, stylesheet

type Response = dict[str, Any]

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Strict-Transport-Security": "max-age=31536000",
    # A stricter policy would cut a popup off from the page that opened it.
    "Cross-Origin-Opener-Policy": "unsafe-none",
}
_NOTHING: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def answer(
    status: int, *, body: str = "", headers: Mapping[str, str] | None = None, cookies: Sequence[str] = ()
) -> Response:
    response: Response = {
        "statusCode": status,
        "headers": {**_HEADERS, "Content-Security-Policy": _NOTHING, **(headers or {})},
        "body": body,
    }
    return response | ({"cookies": list(cookies)} if cookies else {})


def json_answer(status: int, value: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Response:
    return answer(status, body=json.dumps(value), headers={"Content-Type": "application/json", **(headers or {})})


def problem(error: ConsentryError, correlation_id: str) -> Response:
    """Answer a program: RFC 9457, with a stable `code`."""
    detail = {
        "type": "about:blank",
        "title": type(error).__name__,
        "status": error.status,
        "detail": error.public,
        "code": error.code,
        "correlation_id": correlation_id,
    }
    headers = {"Content-Type": "application/problem+json", **_retry_after(error)}
    return answer(error.status, body=json.dumps(detail), headers=headers)


def page(
    status: int, shown: Page, *, cookies: Sequence[str] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """Answer a person. The policy allows the page's own style sheet, by its hash, and nothing else."""
    content = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": f"{_NOTHING}; style-src '{_style_hash()}'",
    }
    return answer(status, body=render(shown), headers={**content, **(headers or {})}, cookies=cookies)


def error_page(error: ConsentryError, correlation_id: str, *, cookies: Sequence[str] = ()) -> Response:
    shown = Page(title="This did not work", text=error.public, tone="trouble", reference=correlation_id)
    return page(error.status, shown, cookies=cookies, headers=_retry_after(error))


def redirect(status: int, location: str, *, cookies: Sequence[str] = ()) -> Response:
    """Send the browser on; a location outside visible ASCII is percent-encoded, never passed through."""
    safe = quote(location, safe="!#$%&'()*+,/:;=?@[]~-._")
    return answer(status, headers={"Location": safe}, cookies=cookies)


def binding_cookie(name: str, value: str, max_age_seconds: int) -> str:
    """Bind a flow to a browser: host-only and unreadable to scripts, sent on the provider's top-level redirect."""
    return f"{name}={value}; Max-Age={max_age_seconds}; Path=/; Secure; HttpOnly; SameSite=Lax"


def _retry_after(error: ConsentryError) -> dict[str, str]:
    return {"Retry-After": str(error.retry_after_seconds)} if isinstance(error, TryLater | BeingRemoved) else {}


@cache
def _style_hash() -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(stylesheet().encode()).digest()).decode()
