"""A vault's token as an `auth` of the package `requests`, which is not imported: whoever uses this has it already."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from consentry.read import Renewal, Token

_UNAUTHORIZED: Final = 401


class BearerAuth:
    """Sets the Bearer header; on a 401 asks for a newer token and sends the same request once more.

    If the newer token existed already, and the API rejects it too (all tokens ended at once), one refresh is forced
    for that one: never more than one forced refresh for a request. Only a response to our own header on the first host
    counts: `requests` drops the header when a redirect leads to another host, and it stays dropped. A body that cannot
    be sent twice is not, and the 401 is returned; the next request has the newer token.
    """

    def __init__(self, *, token: "Callable[[], Token]", renewal: "Callable[[Token], Renewal]") -> None:
        self._token = token
        self._renewal = renewal

    def __call__(self, request: "PreparedRequest") -> "PreparedRequest":
        token = self._token()
        request.headers["Authorization"] = token.authorization
        answered = partial(self._answered, token, _host(request))
        request.register_hook("response", answered)  # type: ignore[no-untyped-call]  # published without types
        return request

    def _answered(self, token: "Token", host: str | None, response: "Response", **options: object) -> "Response":
        request = response.request
        ours = request.headers.get("Authorization") == token.authorization and _host(request) == host
        if response.status_code != _UNAUTHORIZED or not ours:
            return response
        renewal, again = self._again(token, response, options)
        if renewal.adopted and renewal.token and again is not response and again.status_code == _UNAUTHORIZED:
            _, again = self._again(renewal.token, again, options)
        return again

    def _again(
        self, rejected: "Token", response: "Response", options: Mapping[str, object]
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
