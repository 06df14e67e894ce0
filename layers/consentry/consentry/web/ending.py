"""The question before a disconnect, and its answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from consentry import log
from consentry.connect.ending import EndConnection
from consentry.connect.sessions import SESSION_SECONDS
from consentry.pages.ending import CONSENT, ending_page
from consentry.pages.form import TOKEN
from consentry.pages.frame import Links
from consentry.pages.look import Look
from consentry.web.credentials import COOKIE, CredentialsRoute, check_origin
from consentry.web.manner import in_language_of, manner_of
from consentry.web.request import Request
from consentry.web.response import Response, binding_cookie, html, redirect

DISCONNECT: Final = "ANY /connect/{integration}/disconnect"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingRoute:
    """Whatever comes of it, the person is sent back to the page: there she sees what is, and may connect again.

    Not to the return URL, which is told what was connected: nothing was, and the removal takes a minute or two.
    """

    end: Callable[[], EndConnection]
    base_url: Callable[[], str]
    look: Look

    def __call__(self, request: Request) -> Response:
        return self._sent(request) if request.method == "POST" else self._asked(request)

    def _asked(self, request: Request) -> Response:
        use = self.end()
        session, integration = use.open(use.ticket(request.query("session")), request.path("integration"))
        with in_language_of(session):
            question = use.question(session, integration)
        links = Links(self.base_url(), request.query("session"))
        if question is None:
            return redirect(303, links.page(request.path("integration")))
        binding = use.binding(request.cookies.get(COOKIE, ""))
        document = ending_page(manner_of(self.look, session, request), question, use.form(question, binding), links)
        cookies = [binding_cookie(COOKIE, binding, SESSION_SECONDS)]
        return html(200, document, self.look, cookies=cookies, form_action="'self'")

    def _sent(self, request: Request) -> Response:
        """Look at what costs nothing first: where the form comes from, and whether it is ours."""
        check_origin(request, self.base_url())
        entered = request.form()
        use = self.end()
        ticket, integration_id = use.ticket(request.query("session")), request.path("integration")
        consent = entered.get(CONSENT, "")
        use.check_sent(ticket, integration_id, entered.get(TOKEN, ""), consent, request.cookies.get(COOKIE, ""))
        session, integration = use.open(ticket, integration_id)
        with in_language_of(session):
            ended = use.submit(session, integration, consent)
        if ended:
            key = session.key(integration.id)
            fields = {"tenant": key.tenant, "connection": key.sort_key, "session": session.id}
            log.record("disconnected", {**fields, "correlation_id": request.correlation_id})
        return redirect(303, Links(self.base_url(), request.query("session")).page(integration.id))


@dataclass(frozen=True, slots=True)
class FormRoutes:
    """Both forms of one function, told apart by the route."""

    credentials: CredentialsRoute
    ending: EndingRoute

    def __call__(self, request: Request) -> Response:
        return self.ending(request) if request.route == DISCONNECT else self.credentials(request)
