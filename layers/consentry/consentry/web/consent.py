"""The two public routes: off to the provider, and back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from consentry import log
from consentry.connect.authorize import FLOW_SECONDS, Authorize, Departure, Question
from consentry.connect.callback import Arrived, ReceiveCallback
from consentry.connect.tickets import is_cookie_name
from consentry.errors import Conflict, OperatorMustAct
from consentry.model import Completion, Flow, Status
from consentry.oauth.callback import REFUSED
from consentry.pages.asking import leaving_page, question_page, variable_field_name
from consentry.pages.frame import Links, Manner
from consentry.pages.look import Look
from consentry.pages.render import Page
from consentry.web.manner import in_language_of, manner_of, return_address
from consentry.web.request import Request
from consentry.web.response import Response, binding_cookie, html, json_answer, onward, page, redirect

_LIVE_FLOWS: Final = 5  # the gateway takes 10,240 bytes of headers; older flows of the same browser give way


@dataclass(frozen=True, slots=True)
class AuthorizeRoutes:
    """`authorize` is called for: health needs no wiring."""

    authorize: Callable[[], Authorize]
    base_url: Callable[[], str]
    look: Look = field(default_factory=Look)

    def __call__(self, request: Request) -> Response:
        if not request.path("integration"):
            return json_answer(200, {"status": "ok"})
        found = self.authorize()(
            request.query("session"),
            request.path("integration"),
            lambda name: request.query(variable_field_name(name)),
        )
        return self._asked(request, found) if isinstance(found, Question) else self._gone(request, found)

    def _asked(self, request: Request, question: Question) -> Response:
        manner = manner_of(self.look, question.session, request)
        links = Links(self.base_url(), request.query("session"))
        document = question_page(manner, question, links, request.correlation_id)
        return html(400 if question.error else 200, document, self.look, form_action="'self'")

    def _gone(self, request: Request, departure: Departure) -> Response:
        live = [name for name in request.cookies if is_cookie_name(name)]
        surplus = live[: max(0, len(live) - _LIVE_FLOWS + 1)]
        cookies = [binding_cookie(departure.cookie, departure.binding.reveal(), FLOW_SECONDS)]
        cookies += [binding_cookie(name, "", 0) for name in surplus]
        if departure.asked:
            manner = manner_of(self.look, departure.session, request)
            return onward(departure.location, leaving_page(manner, departure.location), self.look, cookies=cookies)
        return redirect(302, departure.location, cookies=cookies)


@dataclass(frozen=True, slots=True)
class CallbackRoute:
    """`return_urls` are those that are registered now; a session is older, and may still name another."""

    receive: Callable[[], ReceiveCallback]
    return_urls: frozenset[str]
    look: Look = field(default_factory=Look)

    def __call__(self, request: Request) -> Response:
        arrived = self.receive()(request.path("integration"), request.raw_query, request.cookies)
        _tell(arrived, request.correlation_id)
        # A parked code may be asked for once more by a reload, and so may an exchange that failed before the claim.
        ended = () if arrived.handle or arrived.failure else (binding_cookie(arrived.cookie, "", 0),)
        if arrived.flow.session.return_url in self.return_urls:
            return redirect(303, _return_url(arrived.flow, _result(arrived)), cookies=ended)
        session = arrived.flow.session
        with in_language_of(session):
            return _shown(arrived, request.correlation_id, ended, manner_of(self.look, session, request))


def _tell(arrived: Arrived, correlation_id: str) -> None:
    session, failure, outcome = arrived.flow.session, arrived.failure, _outcome(arrived)
    level: log.Level = "warning" if session.completion is Completion.DIRECT else "info"
    fields = {
        "tenant": session.tenant,
        "connection": arrived.flow.key.sort_key,
        "completion": session.completion.value,
        "outcome": arrived.denied or outcome,
        "correlation_id": correlation_id,
    }
    if failure:
        fields |= {"code": failure.code, "detail": failure.detail}
        level = "error" if isinstance(failure, OperatorMustAct) else level
    log.record("consent", fields, level=level)
    log.count("Consents", outcome=outcome)


def _outcome(arrived: Arrived) -> str:
    if arrived.denied:
        return "denied"
    if arrived.failure:
        return "failed"
    return "parked" if arrived.handle else "connected"


def _shown(arrived: Arrived, correlation_id: str, cookies: tuple[str, ...], manner: Manner) -> Response:
    """A page of ours: there is no return URL, or it is not registered any more, so that nothing may be sent there."""
    if arrived.failure:
        raise arrived.failure
    if arrived.handle:
        public = (
            "The application's address is not registered here any more, so the connection cannot be finished. "
            "Tell the application's support."
        )
        raise Conflict(public, code="return_url_unregistered")
    say = manner.words
    if arrived.denied:
        text = say.one_of(f"denied.{arrived.denied}", f"denied.{REFUSED}")
        shown = Page(title=say("denied.title"), text=text, tone="trouble", reference=correlation_id)
        return page(200, shown, manner, cookies=cookies)
    almost = arrived.connection is not None and arrived.connection.status is Status.SCOPE_INSUFFICIENT
    key = "almost" if almost else "connected"
    shown = Page(title=say(f"{key}.title"), text=say(f"{key}.text"), tone="trouble" if almost else "good")
    return page(200, shown, manner, cookies=cookies)


def _result(arrived: Arrived) -> dict[str, str]:
    if arrived.handle:
        return {"handle": arrived.handle.reveal()}
    if error := arrived.failure.code if arrived.failure else arrived.denied:
        return {"error": error}
    return {"status": arrived.connection.status.value} if arrived.connection else {}


def _return_url(flow: Flow, result: dict[str, str]) -> str:
    return return_address(flow.session, integration=flow.integration, **result)
