"""A token on its way into a request; also as an `auth` of `requests`, which whoever uses it has imported already."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from consentry.envelope import unreadable
from consentry.errors import InvalidRequest
from consentry.model import Metadata, Secret

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

_UNAUTHORIZED: Final = 401
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADER_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token and what is known about it. `expires_at` is epoch seconds, or None if it does not end."""

    access_token: Secret
    token_type: str
    expires_at: int | None
    generation: int
    scopes: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=dict)
    account: str = ""

    @property
    def authorization(self) -> str:
        """The header's value (RFC 6750 section 2.1). Whatever the provider calls the type, it is sent as `Bearer`."""
        value = self.access_token.reveal()
        if _HEADER_TOKEN.fullmatch(value):
            return f"Bearer {value}"
        raise unreadable("token does not fit into a header")


@dataclass(frozen=True, slots=True)
class Renewal:
    """What came of a rejected token. `adopted` says that a newer one existed already and no refresh was spent."""

    token: Token | None
    adopted: bool = False


class BearerAuth:
    """Sets the Bearer header; on a 401 asks for a newer token and sends the same request once more.

    Raises `InvalidRequest` for an address without TLS (RFC 6750 section 5.3), unless it is this machine's own.

    If the newer token existed already, and the API rejects it too (all tokens ended at once), one refresh is forced
    for that one: never more than one forced refresh for a request. Only a response to our own header on the first host
    counts: `requests` drops the header when a redirect leads to another host, and it stays dropped. A body that cannot
    be sent twice is not, and the 401 is returned; the next request has the newer token.
    """

    def __init__(self, *, token: Callable[[], Token], renewal: Callable[[Token], Renewal]) -> None:
        self._token = token
        self._renewal = renewal

    def __call__(self, request: "PreparedRequest") -> "PreparedRequest":
        if urlsplit(str(request.url)).scheme != "https" and _host(request) not in _LOOPBACK:
            message = "The address of a request with a token must begin with https://, so that nobody else can read it."
            raise InvalidRequest(message, code="insecure_address")
        token = self._token()
        request.headers["Authorization"] = token.authorization
        answered = partial(self._answered, token, _host(request))
        request.register_hook("response", answered)  # type: ignore[no-untyped-call]  # published without types
        return request

    def _answered(self, token: Token, host: str | None, response: "Response", **options: object) -> "Response":
        request = response.request
        ours = request.headers.get("Authorization") == token.authorization and _host(request) == host
        if response.status_code != _UNAUTHORIZED or not ours:
            return response
        renewal, again = self._again(token, response, options)
        if renewal.adopted and renewal.token and again is not response and again.status_code == _UNAUTHORIZED:
            _, again = self._again(renewal.token, again, options)
        return again

    def _again(
        self, rejected: Token, response: "Response", options: Mapping[str, object]
    ) -> "tuple[Renewal, Response]":
        request = response.request
        _ = response.content  # read to its end, the connection can be used again
        renewal = self._renewal(rejected)
        if renewal.token is None or not _rewound(request):
            return renewal, response
        # In place, so that a redirect that follows carries the newer token too.
        request.headers["Authorization"] = renewal.token.authorization
        send = cast("Callable[..., Response]", response.connection.send)
        again = send(request, **options)
        again.history.append(response)
        again.request = request
        return renewal, again


def _host(request: "PreparedRequest") -> str | None:
    return urlsplit(str(request.url)).hostname


def _rewound(request: "PreparedRequest") -> bool:
    """Put the body back to where it began; False if it is a stream that cannot go back."""
    body = request.body
    if body is None or isinstance(body, str | bytes):
        return True
    position = getattr(request, "_body_position", None)  # where `requests` found a file when it prepared the request
    if not isinstance(position, int) or not hasattr(body, "seek"):
        return False
    body.seek(position)
    return True
