"""The two public routes: off to the provider, and back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from consentry import log
from consentry.connect.authorize import FLOW_SECONDS, Authorize
from consentry.connect.callback import Arrived, ReceiveCallback
from consentry.connect.tickets import is_cookie_name
from consentry.model import Completion, Connection, Flow, Status
from consentry.pages.render import Page
from consentry.web.request import Request
from consentry.web.response import Response, binding_cookie, json_answer, page, redirect

_LIVE_FLOWS: Final = 5  # the gateway takes 10,240 bytes of headers; older flows of the same browser give way


@dataclass(frozen=True, slots=True)
class AuthorizeRoutes:
    """`authorize` is called for: health needs no wiring."""

    authorize: Callable[[], Authorize]

    def __call__(self, request: Request) -> Response:
        if not request.path("integration"):
            return json_answer(200, {"status": "ok"})
        departure = self.authorize()(request.query("session"), request.path("integration"))
        live = [name for name in request.cookies if is_cookie_name(name)]
        surplus = live[: max(0, len(live) - _LIVE_FLOWS + 1)]
        cookies = [binding_cookie(departure.cookie, departure.binding.reveal(), FLOW_SECONDS)]
        cookies += [binding_cookie(name, "", 0) for name in surplus]
        return redirect(302, departure.location, cookies=cookies)


@dataclass(frozen=True, slots=True)
class CallbackRoute:
    receive: Callable[[], ReceiveCallback]

    def __call__(self, request: Request) -> Response:
        arrived = self.receive()(request.path("integration"), request.raw_query, request.cookies)
        _tell(arrived, request.correlation_id)
        # A parked code may be asked for once more by a reload: the cookie has to survive until then.
        ended = () if arrived.handle else (binding_cookie(arrived.cookie, "", 0),)
        return _onward(arrived, request.correlation_id, ended)


def _tell(arrived: Arrived, correlation_id: str) -> None:
    session, outcome = arrived.flow.session, arrived.denied or ("parked" if arrived.handle else "connected")
    level: log.Level = "warning" if session.completion is Completion.DIRECT else "info"
    fields = {
        "tenant": session.tenant,
        "connection": arrived.flow.key.sort_key,
        "completion": session.completion.value,
        "outcome": outcome,
        "correlation_id": correlation_id,
    }
    log.record("consent", fields, level=level)
    log.count("Consents", outcome="denied" if arrived.denied else outcome)


def _onward(arrived: Arrived, correlation_id: str, cookies: tuple[str, ...]) -> Response:
    """Back to the company where it gave a return URL, a page of ours otherwise."""
    flow = arrived.flow
    if flow.session.return_url:
        return redirect(303, _return_url(flow, _result(arrived)), cookies=cookies)
    if arrived.denied:
        shown = Page(
            title="Not connected", text=_DENIED.get(arrived.denied, _REFUSED), tone="trouble", reference=correlation_id
        )
        return page(200, shown, cookies=cookies)
    return page(200, _connected(arrived.connection), cookies=cookies)


def _result(arrived: Arrived) -> dict[str, str]:
    if arrived.handle:
        return {"handle": arrived.handle.reveal()}
    if arrived.denied:
        return {"error": arrived.denied}
    return {"status": arrived.connection.status.value} if arrived.connection else {}


def _return_url(flow: Flow, result: dict[str, str]) -> str:
    url = flow.session.return_url
    query = urlencode({"session": flow.session.id, "integration": flow.integration, **result})
    return f"{url}{'&' if '?' in url else '?'}{query}"


_NOTHING_STORED: Final = "Nothing was stored. Go back to the application to try again."
_REFUSED: Final = f"The provider did not allow the connection. {_NOTHING_STORED}"
_TROUBLED: Final = f"The provider has trouble at the moment. {_NOTHING_STORED}"
_DENIED: Final = {
    "access_denied": f"You chose not to allow the connection. {_NOTHING_STORED}",
    "temporarily_unavailable": _TROUBLED,
    "server_error": _TROUBLED,
    "invalid_scope": "The provider does not know a permission that was asked for. Tell the application's support.",
}


def _connected(connection: Connection | None) -> Page:
    if connection is not None and connection.status is Status.SCOPE_INSUFFICIENT:
        text = "You are connected, but a permission that is needed was not given. Go back and connect again."
        return Page(title="Almost connected", text=text, tone="trouble")
    return Page(
        title="Connected", text="The connection works. You can close this window and go back to the application."
    )
