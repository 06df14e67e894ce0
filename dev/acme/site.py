"""Acme's pages. Every form is posted with a token of its own, and answered with a redirect to a clean address."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from pathlib import Path
from typing import Final

from flask import Flask, Response, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException, SecurityError
from werkzeug.wrappers import Response as AnyResponse

from consentry.model import Completion
from dev.acme import visit
from dev.acme.cards import cards, inputs_of, provider_of
from dev.acme.consentry_api import Consentry, Json
from dev.acme.readings import Readings
from dev.acme.trouble import Trouble
from dev.acme.users import USERS
from dev.acme.visit import Notice

SEE_OTHER: Final = 303
LARGEST_FORM_BYTES: Final = 16_384
# What the person decided at the provider, by the code of RFC 6749 section 4.1.2.1 that came back.
REFUSALS: Final = {
    "access_denied": "You did not allow the access, so nothing was connected. Connect again if you wish."
}
# Consentry's own sentences for these speak to whoever wrote this page.
PLAIN: Final = {
    "reauth_required": "The provider has ended this connection. Go back and press Connect again.",
    "not_connected": "This is not connected yet. Go back and press Connect.",
}
POLICY: Final = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Site:
    """Each method is one page or form; `url` is where browsers find Acme."""

    url: str
    consentry: Consentry
    readings: Readings
    clock: Callable[[], float] = time.time

    def home(self) -> str:
        """Show every integration, the connected ones first."""
        user = visit.user()
        shown = cards(self.consentry.integrations(), self.consentry.connections(user.tenant), self.clock())
        return render_template("home.html", cards=shown)

    def choose_user(self) -> AnyResponse:
        visit.sign_in(request.form.get("user", ""))
        return home()

    def connect(self, integration: str) -> AnyResponse:
        """Begin a consent; only the signed-in user's own browser gets its address."""
        begun = self._begin([integration], allow_account_change=request.form.get("other_account") == "yes")
        return redirect(begun["authorize_urls"][integration], SEE_OTHER)

    def connect_page(self) -> AnyResponse:
        """Leave everything to Consentry's own page: all integrations, consents and credentials alike."""
        every = [each["integration"] for each in self.consentry.integrations()]
        return redirect(self._begin(every)["connect_url"], SEE_OTHER)

    def _begin(self, integrations: Sequence[str], **more: object) -> Json:
        user = visit.user()
        wanted = {
            "user_ref": user.ref,
            "integrations": integrations,
            "completion": Completion.CONFIRM.value,
            "return_url": f"{self.url}/return",
            **more,
        }
        begun = self.consentry.begin(user.tenant, wanted)
        visit.began(begun["session"])
        return begun

    def credentials(self, integration: str) -> AnyResponse:
        """Pass on what the customer typed; it is neither kept nor shown here."""
        wanted = inputs_of(self._integration(integration))
        inputs = {each.name: request.form.get(each.name, "").strip() for each in wanted}
        given = {name: value for name, value in inputs.items() if value}
        user = visit.user()
        connection = self.consentry.put_credentials(user.tenant, integration, given, f"Entered by {user.name}")
        visit.tell(_connected(connection))
        return home()

    def returned(self) -> AnyResponse:
        """Where Consentry sends the browser: with a one-time handle, an error code, or the state of what is stored."""
        session, error = request.args.get("session", ""), request.args.get("error", "")
        if set(request.args) <= {"session"}:  # by the page's own way back: nothing came of it that is to be told
            return home()
        visit.check_began(session)
        if error:
            known = REFUSALS.get(error, "The provider did not allow the access, so nothing was connected. Try again.")
            visit.tell(Notice(known, error if error in REFUSALS else "consent_refused"))
            return home()
        if request.args.get("status", ""):  # credentials that were entered there: nothing is left to confirm
            visit.tell(Notice("Connected with the credentials that you entered."))
            return home()
        user = visit.user()
        connection = self.consentry.complete(user.tenant, session, request.args.get("handle", ""), user.ref)
        visit.tell(_connected(connection))
        return home()

    def read(self, integration: str) -> str:
        reading = self.readings.of(provider_of(self._integration(integration)))
        if reading is None:
            raise Trouble("Acme does not know what to read from this integration.", "nothing_to_read", status=404)
        return render_template("table.html", table=reading(visit.user().tenant, integration), integration=integration)

    def _integration(self, integration: str) -> Json:
        known = {each["integration"]: each for each in self.consentry.integrations()}
        if integration not in known:
            raise Trouble("There is no such integration.", "unknown_integration", status=404)
        return known[integration]


def make_app(site: Site) -> Flask:
    """Sessions are signed with a key of this process: after a restart everybody is new."""
    app = Flask("dev.acme", root_path=str(Path(__file__).parent))
    app.config.update(
        SECRET_KEY=secrets.token_bytes(32),
        SESSION_COOKIE_NAME=visit.COOKIE,
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=LARGEST_FORM_BYTES,
        TRUSTED_HOSTS=["localhost", "127.0.0.1"],
    )
    app.add_url_rule("/", "home", site.home)
    app.add_url_rule("/return", "returned", told(site.returned))
    app.add_url_rule("/read/<integration>", "read", site.read)
    app.add_url_rule("/user", "choose_user", site.choose_user, methods=["POST"])
    app.add_url_rule("/connect", "connect_page", told(site.connect_page), methods=["POST"])
    app.add_url_rule("/connect/<integration>", "connect", told(site.connect), methods=["POST"])
    app.add_url_rule("/credentials/<integration>", "credentials", told(site.credentials), methods=["POST"])
    app.before_request(own_forms_only)
    app.after_request(with_headers)
    app.context_processor(frame)
    app.register_error_handler(Trouble, trouble_page)
    app.register_error_handler(HTTPException, refused_page)
    return app


def told[**P](view: Callable[P, AnyResponse]) -> Callable[P, AnyResponse]:
    """Turn trouble into a notice on the home page, so that no address with a handle stays in the browser."""

    @wraps(view)
    def careful(*arguments: P.args, **named: P.kwargs) -> AnyResponse:
        try:
            return view(*arguments, **named)
        except Trouble as trouble:
            visit.tell(Notice(trouble.sentence, trouble.code))
            return home()

    return careful


def home() -> AnyResponse:
    return redirect(url_for("home"), SEE_OTHER)


def own_forms_only() -> None:
    if request.method == "POST":
        visit.check_form_token(request.form.get("form_token", ""))


def with_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response


def frame() -> dict[str, object]:
    """What every page has around it."""
    return {"user": visit.user(), "users": USERS.values(), "form_token": visit.form_token(), "notice": visit.notice()}


def trouble_page(trouble: Trouble) -> tuple[str, int]:
    sentence = PLAIN.get(trouble.code, trouble.sentence)
    return render_template("trouble.html", sentence=sentence, code=trouble.code), trouble.status


def refused_page(refused: HTTPException) -> tuple[str, int] | AnyResponse:
    """Explain what Flask itself refuses: an unknown page, a method, a large form; a foreign host name gets no page."""
    if refused.code is None or refused.code < HTTPStatus.BAD_REQUEST or isinstance(refused, SecurityError):
        return AnyResponse.force_type(refused.get_response())
    trouble = Trouble(f"{refused.name}. Go back to the integrations.", f"http_{refused.code}", status=refused.code)
    return trouble_page(trouble)


def _connected(connection: Json) -> Notice:
    account = f" ({connection['account']})" if connection["account"] else ""
    return Notice(f"Connected: {connection['integration']}{account}.")
