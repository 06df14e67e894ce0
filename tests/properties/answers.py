"""Strategies for everything that a token endpoint may answer: from a good answer with one odd field to noise."""

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict

from consentry.oauth.wire import HttpAnswer
from consentry.ports import NotDelivered, Undetermined
from tests.properties.vault import MARK
from tests.support.provider import Step

MAX_BODY: Final = 64 * 1024  # the HTTP client reads no more
_RAW: Final = re.compile(r'"raw:([^"]*)"')
_TEN_YEARS: Final = 10 * 365 * 24 * 3600


def raw(literal: str) -> str:
    """Stand for a JSON literal that `json.dumps` would not write: `1e999`, a number of 5000 digits."""
    return f"raw:{literal}"


LITERALS: Final = (
    "1e999", "-1e999", "1E400", "-0", "0.0", "1e3", "3.6e3", "9" * 400, "9" * 5000, "NaN", "Infinity", "-Infinity",
    "0x10", "01", "1.", "+5", "'x'", "undefined", "1e-400",
)  # fmt: skip
LIFETIMES: Final[tuple[object, ...]] = (
    None, True, False, -1, 0, 1, 2, 30, 59, 60, 299, 1800, 3600, 86400, 5_184_000, _TEN_YEARS, _TEN_YEARS + 1,
    1_800_003_600, 10**18, 10**30, 0.0, 0.5, 1.0, 3600.7, -3600.5, 1e308, float("inf"), float("nan"), "3600", " 60 ",
    "3600.5", "-5", "0", "1e9", "", "never", "٣٦٠٠", "3600s", [], [3600], {}, {"seconds": 3600}, raw("1e999"),
    raw("9" * 5000), raw("NaN"), raw("3.6e3"),
)  # fmt: skip
TEXTS: Final = (
    "", " ", "\x00", "a\x00b", "line\nbreak", "tab\tand", "\x7f", "\ud800", "\udfff\ud800", "\u202e\u200b", "ünï",
    "😀", "\ufeff", "true", "null", "0", "-1", "Bearer", "bearer", "BEARER", "mac", "DPoP", "N_A", "a b  c", "a,b,,c",
    f"{MARK}0aZ", f"{MARK}0aZ" * 40, "<script>", "../..", "%00", "'; DROP", "invalid_grant", "invalid_client",
    "unauthorized_client", "temporarily_unavailable", "slow_down", "BAD_REFRESH_TOKEN", "BAD_AUTH_CODE", "error",
)  # fmt: skip
HUGE: Final = (f"{MARK}0aZ" + "x" * 16_376, f"{MARK}0aZ" + "x" * 20_000, "ä" * 9000, "y" * 2048, "z" * 2049)
CODES: Final = (
    "invalid_grant", "invalid_client", "unauthorized_client", "invalid_request", "invalid_scope", "access_denied",
    "temporarily_unavailable", "slow_down", "server_error", "BAD_REFRESH_TOKEN", "BAD_AUTH_CODE", "unknown",
    "invalid_grant", "invalid_client", "INVALID_GRANT", " invalid_grant", f"{MARK}0aZ", f"invalid_grant {MARK}0aZ",
    "a" * 64, "a" * 65, "", 4, None,
)  # fmt: skip
KNOWN_CODES: Final = ("invalid_grant", "invalid_client", "BAD_REFRESH_TOKEN", "slow_down")
STATUSES: Final = (
    200, 200, 200, 200, 201, 400, 400, 401, 403, 429, 500, 502, 503, 504,
    100, 101, 202, 203, 204, 206, 226, 299, 300, 301, 302, 307, 308, 304, 402, 404, 405, 408, 409, 413, 415, 418, 421,
    422, 425, 426, 431, 451, 499, 501, 505, 507, 511, 520, 529, 599, 600, 999, 0, -1,
)  # fmt: skip
FIELDS: Final = (
    "access_token", "refresh_token", "expires_in", "token_type", "scope", "scopes", "hub_id", "user_id", "error",
    "error_description", "status", "failed", "refresh_expires_in", "team", "data", "id_token", "",
)  # fmt: skip

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.sampled_from(TEXTS), st.text(max_size=20),
    st.sampled_from(LITERALS).map(raw),
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3),
    max_leaves=6,
)
odd = st.one_of(st.sampled_from(TEXTS), st.sampled_from(HUGE), st.sampled_from(LIFETIMES), leaves, values)
odd_by_name: Final = {
    "expires_in": st.sampled_from(LIFETIMES) | st.integers(-10, 10**10) | st.floats(),
    "refresh_expires_in": st.sampled_from(LIFETIMES),
    "error": st.sampled_from(CODES),
    "status": st.sampled_from(CODES),
}


_OPTIONAL: Final[tuple[tuple[str, tuple[Any, ...]], ...]] = (
    ("expires_in", (1800, 3600, 86400, 60, 5_184_000)),
    ("token_type", ("bearer", "Bearer")),
    ("scope", ("contacts", "a b", "")),
    ("scopes", (["oauth", "tickets"], [], "a,b")),
    ("hub_id", (4711, "4711", 12)),
    ("team", ({"id": "T1"},)),
)


def _good(number: int) -> dict[str, Any]:
    """Make a good answer of a number: each tells which optional fields it has. Every token carries the mark."""
    fields: dict[str, Any] = {"access_token": f"{MARK}0aZ-access-{number}"}
    number, pick = divmod(number, 4)
    if pick:
        fields["refresh_token"] = f"{MARK}0aZ-refresh-{number}"
    for name, choices in _OPTIONAL:
        number, pick = divmod(number, len(choices) + 1)
        if pick:
            fields[name] = choices[pick - 1]
    return fields


_NUMBERS: Final = 4 * math.prod(len(choices) + 1 for _, choices in _OPTIONAL)


def good_fields() -> st.SearchStrategy[dict[str, Any]]:
    return st.integers(0, _NUMBERS - 1).map(_good)


@st.composite
def mutated_fields(draw: st.DrawFn) -> dict[str, Any]:
    """A good answer in which one to three fields are odd, or gone."""
    fields = draw(good_fields())
    for name in draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3, unique=True)):
        if draw(st.integers(0, 4)) == 0:
            fields.pop(name, None)
        else:
            fields[name] = draw(odd_by_name.get(name, odd))
    return fields


@st.composite
def error_fields(draw: st.DrawFn) -> dict[str, Any]:
    fields: dict[str, Any] = {"error": draw(st.sampled_from(KNOWN_CODES) | st.sampled_from(CODES))}
    if draw(st.booleans()):
        fields["status"] = draw(st.sampled_from(CODES))
    if draw(st.booleans()):
        fields["error_description"] = f"the token {MARK}0aZ-refresh is not known"
    if draw(st.integers(0, 5)) == 0:
        fields["error"] = {"code": draw(st.sampled_from(CODES)), "message": f"{MARK}0aZ"}
    return fields


def dumped(value: object, *, ascii_only: bool = True) -> bytes:
    text = json.dumps(value, ensure_ascii=ascii_only)
    return _RAW.sub(r"\1", text).encode("utf-8", "surrogatepass")


# The ways in which servers get JSON wrong; a number decides where, or which.
_SPOILERS: Final[tuple[Callable[[bytes, int], bytes], ...]] = (
    lambda body, _: b"\xef\xbb\xbf" + body,
    lambda body, at: body.decode("utf-8", "replace").encode(("utf-16", "utf-16-le", "utf-32")[at % 3]),
    lambda body, at: body[: at % max(1, len(body))],
    lambda body, _: body[:-1] + b',"access_token":"' + MARK.encode() + b'0aZ-twice","expires_in":7}',
    lambda body, at: body + (b"\x00", b"\n\n", b"}", b"<!-- -->", b"{}", b" ")[at % 6],
    lambda body, _: b"[" + body + b"]",
    lambda body, at: (b"while(1);", b")]}',\n", b"callback(", b"\x00", b"\n \t")[at % 5] + body,
)


@st.composite
def written(draw: st.DrawFn, fields: st.SearchStrategy[Any]) -> bytes:
    """JSON, plainly or, one time in three, spoiled."""
    body = dumped(draw(fields), ascii_only=draw(st.booleans()))
    how = draw(st.integers(0, 3 * len(_SPOILERS)))
    return _SPOILERS[how](body, draw(st.integers(0, 2**16))) if how < len(_SPOILERS) else body


@st.composite
def nested(draw: st.DrawFn) -> bytes:
    depth = draw(st.sampled_from((50, 500, 990, 5000, 30_000)))
    opening, closing = draw(st.sampled_from(((b"[", b"]"), (b'{"error":', b"}"), (b'{"access_token":', b"}"))))
    depth = min(depth, MAX_BODY // (len(opening) + len(closing)) - 1)
    return opening * depth + b"1" + (closing * depth if draw(st.booleans()) else b"")


@st.composite
def inside(draw: st.DrawFn) -> bytes:
    """A good answer with something deep in a field that nobody reads."""
    depth = draw(st.sampled_from((10, 200, 900, 5000)))
    return dumped(draw(good_fields()))[:-1] + b',"more":' + b"[" * depth + b"]" * depth + b"}"


forms = st.one_of(good_fields(), error_fields()).map(lambda fields: urlencode(fields).encode())
PAGES: Final = (
    b"", b" ", b"null", b"true", b"0", b'""', b"[]", b"{}", b"OK", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf",
    b"<html><body>Sign in " + MARK.encode() + b"0aZ</body></html>",
    b"<?xml version='1.0'?><error>invalid_grant</error>",
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00", b"upstream connect error or disconnect/reset before headers",
    b"{" * MAX_BODY, b'"' + b"a" * 60_000 + b'"', b"9" * 60_000, b"[" + b"0," * 30_000 + b"0]",
)  # fmt: skip
bodies = st.one_of(
    written(good_fields()),
    written(mutated_fields()),
    written(mutated_fields()),
    written(error_fields()),
    written(values),
    inside(),
    nested(),
    forms,
    st.sampled_from(PAGES),
    st.binary(max_size=64),
)

WAITS: Final = (
    "0", "1", "5", "60", "3600", "86400", "-1", "1e9", "9" * 20, "9" * 400, "5.5", "", " ", "soon", "\uff15", "+5",
    "Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2099 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT",
    "Wednesday, 21-Oct-26 07:28:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 15 Jan 2027 08:05:00 GMT",
    "Fri, 15 Jan 2027 08:05:00 +9999", "Fri, 32 Foo 2027 99:99:99 GMT", f"{MARK}0aZ", "\ud800", "\x00", "5\r\nX: y",
)  # fmt: skip
TYPES: Final = (
    "application/json", "application/json; charset=utf-16", "text/html", "text/plain", "", "application/problem+json",
    "application/x-www-form-urlencoded", "image/png", f"{MARK}0aZ",
)  # fmt: skip
_headers = st.lists(
    st.one_of(
        st.tuples(st.just("Retry-After"), st.sampled_from(WAITS) | st.integers(-10, 10**6).map(str)),
        st.tuples(st.just("Content-Type"), st.sampled_from(TYPES)),
        st.tuples(
            st.sampled_from(("Date", "X-Request-Id", "Location", "WWW-Authenticate", "Set-Cookie", "")),
            st.text(max_size=12),
        ),
    ),
    max_size=4,
)


def joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Join doubled headers and lower their names, as the HTTP client does."""
    headers = HTTPHeaderDict()
    for name, value in pairs:
        headers.add(name, value)
    return {name.lower(): value for name, value in headers.items()}


headers = _headers.map(joined)
cut = bodies.map(lambda body: body[:MAX_BODY])
http_answers = st.one_of(
    st.builds(HttpAnswer, status=st.sampled_from(STATUSES) | st.integers(-1, 1000), headers=headers, body=cut),
    st.builds(HttpAnswer, status=st.sampled_from((200, 201)), headers=st.just({}), body=cut),
    st.builds(
        HttpAnswer, status=st.sampled_from((400, 401, 403, 429, 503)), headers=headers, body=written(error_fields())
    ),
)
good_answers = st.builds(HttpAnswer, status=st.just(200), headers=st.just({}), body=written(good_fields()))
broken: st.SearchStrategy[Step] = st.one_of(
    st.builds(NotDelivered, st.sampled_from(("NewConnectionError", "NameResolutionError", "SSLError"))),
    st.builds(
        Undetermined, st.sampled_from(("deadline", "answer too large", "ProtocolError")), peer_closed=st.booleans()
    ),
)


@st.composite
def mostly[T](draw: st.DrawFn, often: st.SearchStrategy[T], seldom: st.SearchStrategy[T]) -> T:
    """Three times out of four this, else that; `one_of` would count the branches of both."""
    return draw(often if draw(st.integers(0, 3)) else seldom)


steps: st.SearchStrategy[Step] = mostly(http_answers, st.one_of(good_answers, broken))
# A code that is no longer good, as providers say it when nothing else is odd.
refusals: st.SearchStrategy[Step] = st.builds(
    HttpAnswer, status=st.just(400), headers=st.just({}), body=st.sampled_from(("invalid_grant", "BAD_AUTH_CODE")).map(
        lambda code: dumped({"error": code, "status": code})
    ),
)  # fmt: skip
