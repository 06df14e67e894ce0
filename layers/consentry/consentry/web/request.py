"""An HTTP API event (payload format 2.0), as the one shape that the routes see. Everything in it is unverified."""

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import parse_qsl

from consentry.errors import InvalidRequest

_MAX_BODY: Final = 64 * 1024
_MAX_FIELDS: Final = 50
FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    method: str
    route: str
    path_parameters: Mapping[str, str]
    raw_query: str = field(repr=False)
    cookies: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    raw_body: bytes = field(repr=False)
    correlation_id: str

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Self:
        """Read the event; raise `InvalidRequest` if its body is not what it says."""
        context = event.get("requestContext", {})
        return cls(
            method=context.get("http", {}).get("method", ""),
            route=event.get("routeKey", ""),
            path_parameters=event.get("pathParameters") or {},
            raw_query=event.get("rawQueryString") or "",
            cookies=_cookies(event.get("cookies") or ()),
            headers=event.get("headers") or {},
            raw_body=_body(event),
            correlation_id=context.get("requestId", ""),
        )

    def path(self, name: str) -> str:
        return self.path_parameters.get(name, "")

    def query(self, name: str) -> str:
        """Return a query parameter; raise `InvalidRequest` if it is repeated (RFC 6749 section 3.1)."""
        values = [value for key, value in parse_qsl(self.raw_query, keep_blank_values=True) if key == name]
        if len(values) > 1:
            raise InvalidRequest(f"{name} was given twice; use the link as you received it", code="duplicate_parameter")
        return values[0] if values else ""

    def json_object(self) -> Mapping[str, object]:
        """Return the body; raise `InvalidRequest` unless it is one JSON object of at most 64 KB."""
        if len(self.raw_body) > _MAX_BODY:
            raise InvalidRequest(f"the body is larger than {_MAX_BODY} bytes", code="body_too_large")
        try:
            value = json.loads(self.raw_body)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            return value
        raise InvalidRequest("the body must be one JSON object", code="invalid_json")

    def form(self) -> Mapping[str, str]:
        """Return a form's fields, line ends as one character; raise `InvalidRequest` for anything else."""
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
            raise InvalidRequest("the body must be a form", code="invalid_form")
        if len(self.raw_body) > _MAX_BODY:
            raise InvalidRequest(f"the body is larger than {_MAX_BODY} bytes", code="body_too_large")
        try:
            text = self.raw_body.decode("ascii")
            fields = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
        except ValueError:  # too many, or not UTF-8 behind the percent signs
            raise InvalidRequest("the body is not a readable form", code="invalid_form") from None
        if len(dict(fields)) < len(fields):
            raise InvalidRequest("a field stands twice in the form", code="invalid_form")
        return {name: value.replace("\r\n", "\n") for name, value in fields}


def _cookies(texts: Sequence[str]) -> Mapping[str, str]:
    """Return cookies by name; one that comes twice counts as none, since no browser keeps two with our prefix.

    Nothing but a blank is trimmed: to a browser any other white space of Unicode is a part of the name, and a name that
    is not ours may be set by any host of the site.
    """
    pairs = [(name.strip(" "), value) for name, _, value in (each.partition("=") for each in texts)]
    times = Counter(name for name, _ in pairs)
    return {name: value for name, value in pairs if times[name] == 1}


def _body(event: Mapping[str, Any]) -> bytes:
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body).encode("utf-8", "replace")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:  # binascii.Error, or text beyond ASCII
        raise InvalidRequest("the body is not readable", code="invalid_body") from None
