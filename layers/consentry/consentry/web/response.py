"""Every answer, built in one place, with the headers that each of them carries."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from consentry.errors import BeingRemoved, ConsentryError, TryLater
from consentry.pages.frame import Manner, plain
from consentry.pages.look import Look, style_hash
from consentry.pages.render import Page, error_text, render

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
_POLICY: Final = "default-src 'none'; base-uri 'none'; form-action {form_action}; frame-ancestors 'none'"
_NOWHERE: Final = "'none'"
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+(?=[/?#]|\Z)")


def answer(
    status: int, *, body: str = "", headers: Mapping[str, str] | None = None, cookies: Sequence[str] = ()
) -> Response:
    response: Response = {
        "statusCode": status,
        "headers": {**_HEADERS, "Content-Security-Policy": _POLICY.format(form_action=_NOWHERE), **(headers or {})},
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


def html(
    status: int,
    document: str,
    look: Look,
    *,
    cookies: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    form_action: str = _NOWHERE,
) -> Response:
    """Answer a person. The policy allows the page's own style sheet, by its hash, and forms where they may go."""
    content = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": f"{_POLICY.format(form_action=form_action)}; style-src '{style_hash(look)}'",
    }
    return answer(status, body=document, headers={**content, **(headers or {})}, cookies=cookies)


def page(
    status: int,
    shown: Page,
    manner: Manner | None = None,
    *,
    cookies: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    manner = manner or plain()
    return html(status, render(shown, manner), manner.look, cookies=cookies, headers=headers)


def error_page(error: ConsentryError, correlation_id: str, manner: Manner | None = None) -> Response:
    """Say what happened by the error's code, in the language of the person."""
    say = (manner or plain()).words
    shown = Page(title=say("error.title"), text=error_text(say, error), tone="trouble", reference=correlation_id)
    return page(error.status, shown, manner, headers=_retry_after(error))


def origin_of(url: str) -> str:
    """Return scheme and host of a registered address, as a policy names them; empty for anything else."""
    found = _ORIGIN.match(url)
    return found.group() if found else ""


def redirect(status: int, location: str, *, cookies: Sequence[str] = ()) -> Response:
    """Send the browser on; a location outside visible ASCII is percent-encoded, never passed through."""
    return answer(status, headers={"Location": _visible(location)}, cookies=cookies)


def onward(location: str, document: str, look: Look, *, cookies: Sequence[str] = ()) -> Response:
    """Send the browser on from a form: a redirect would have to be one that the form's policy knows (CSP level 3)."""
    return html(200, document, look, cookies=cookies, headers={"Refresh": f"0;url={_visible(location)}"})


def _visible(location: str) -> str:
    return quote(location, safe="!#$%&'()*+,/:;=?@[]~-._")


def binding_cookie(name: str, value: str, max_age_seconds: int) -> str:
    """Bind a flow to a browser: host-only and unreadable to scripts, sent on the provider's top-level redirect."""
    return f"{name}={value}; Max-Age={max_age_seconds}; Path=/; Secure; HttpOnly; SameSite=Lax"


def _retry_after(error: ConsentryError) -> dict[str, str]:
    return {"Retry-After": str(error.retry_after_seconds)} if isinstance(error, TryLater | BeingRemoved) else {}
