"""The form for a customer's credentials: shown, taken once, tried, and answered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from consentry import log
from consentry.connect.entering import EnterCredentials, Entrance, FormSent, TooManyTries
from consentry.connect.sessions import SESSION_SECONDS
from consentry.connect.tickets import VerifiedForm
from consentry.errors import ConsentryError, Forbidden, InvalidRequest, TryLater
from consentry.model import Connection
from consentry.pages.asking import variable_field_name
from consentry.pages.form import DESCRIPTION, LABEL, TOKEN, Filled, field_name, form_page
from consentry.pages.frame import Links
from consentry.pages.look import Look
from consentry.web.manner import in_language_of, manner_of, return_address
from consentry.web.request import Request
from consentry.web.response import Response, binding_cookie, html, origin_of, redirect

COOKIE: Final = "__Host-cf"


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsRoute:
    """`return_urls` are those that are registered now; a session is older, and may still name another."""

    enter: Callable[[], EnterCredentials]
    base_url: Callable[[], str]
    return_urls: frozenset[str]
    look: Look

    def __call__(self, request: Request) -> Response:
        return self._sent(request) if request.method == "POST" else self._blank(request)

    def _blank(self, request: Request) -> Response:
        use = self.enter()
        entrance = use.open(use.ticket(request.query("session")), request.path("integration"))
        return self._form(request, use, entrance, Filled(), 200)

    def _sent(self, request: Request) -> Response:
        """Look at what costs nothing first: where the form comes from, and whether it is ours."""
        check_origin(request, self.base_url())
        entered = request.form()
        use = self.enter()
        ticket = use.ticket(request.query("session"))
        cookie = request.cookies.get(COOKIE, "")
        form = use.sent(ticket, request.path("integration"), entered.get(TOKEN, ""), cookie)
        entrance = use.open(ticket, request.path("integration"))
        with in_language_of(entrance.session):
            return self._submitted(request, use, entrance, form, entered)

    def _submitted(
        self,
        request: Request,
        use: EnterCredentials,
        entrance: Entrance,
        form: VerifiedForm,
        entered: Mapping[str, str],
    ) -> Response:
        try:
            connection = use.submit(entrance, form, _body(entrance, entered))
        except (FormSent, TooManyTries):
            raise
        except (InvalidRequest, TryLater) as error:
            _tell_refused(request, entrance, error)
            filled = Filled(entered=entered, error=error, correlation_id=request.correlation_id)
            return self._form(request, use, entrance, filled, error.status)
        _tell_connected(request, connection)
        return redirect(303, self._way_back(request, entrance, connection))

    def _form(
        self, request: Request, use: EnterCredentials, entrance: Entrance, filled: Filled, status: int
    ) -> Response:
        binding = use.binding(request.cookies.get(COOKIE, ""))
        manner = manner_of(self.look, entrance.session, request)
        links = Links(self.base_url(), request.query("session"))
        document = form_page(manner, entrance, use.form(entrance, binding), links, filled)
        cookies = [binding_cookie(COOKIE, binding, SESSION_SECONDS)]
        targets = ["'self'", origin_of(entrance.session.return_url)]  # browsers follow the redirect by this rule too
        return html(status, document, self.look, cookies=cookies, form_action=" ".join(filter(None, targets)))

    def _way_back(self, request: Request, entrance: Entrance, connection: Connection) -> str:
        session = entrance.session
        if session.return_url not in self.return_urls:
            return Links(self.base_url(), request.query("session")).page()
        return return_address(session, integration=entrance.integration.id, status=connection.status.value)


def check_origin(request: Request, base_url: str) -> None:
    """Raise `Forbidden` unless the form was sent from a page of ours, as far as the browser says.

    Our referrer policy makes browsers send `Origin: null`; those that know `Sec-Fetch-Site` say more by it. The cookie
    and the form's own value decide in any case.
    """
    site, origin = request.headers.get("sec-fetch-site", ""), request.headers.get("origin", "")
    known = site == "same-origin" if site else bool(origin)
    if not known or origin not in {"", "null", base_url}:
        public = "This form was sent from another place than its page. Open the link in the application again."
        raise Forbidden(public, code="foreign_form")


def _body(entrance: Entrance, entered: Mapping[str, str]) -> dict[str, object]:
    """Return what `ConnectWithCredentials` takes; a name or description left empty stays what it was."""
    wanted = entrance.provider.credential_inputs
    texts = {name: entered.get(name, "").strip() for name in (LABEL, DESCRIPTION)}
    return {
        "inputs": {each.name: entered.get(field_name(each), "") for each in wanted},
        "variables": {name: entered.get(variable_field_name(name), "").strip() for name in entrance.variables},
        **{name: text for name, text in texts.items() if text},
    }


def _tell_refused(request: Request, entrance: Entrance, error: ConsentryError) -> None:
    key = entrance.session.key(entrance.integration.id)
    fields = {"tenant": key.tenant, "connection": key.sort_key, "code": error.code, "detail": error.detail}
    log.record("credentials refused", {**fields, "correlation_id": request.correlation_id}, level="warning")
    log.count("Consents", outcome="failed")


def _tell_connected(request: Request, connection: Connection) -> None:
    key = connection.key
    fields = {"tenant": key.tenant, "connection": key.sort_key, "outcome": "connected", "gen": connection.gen}
    log.record("consent", {**fields, "correlation_id": request.correlation_id})
    log.count("Consents", outcome="connected")
