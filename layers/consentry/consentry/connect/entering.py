"""Credentials that a person enters on our own page: a form that counts once, and few tries.

Whoever has a link could try stolen credentials by it; so each form is tried once, a session allows five tries, and the
next one ends it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from consentry.connect.credentials import ConnectWithCredentials, checked_inputs, checked_texts, given_by
from consentry.connect.opening import chosen_variables, no_such_session, open_variables, opened, registered, verified
from consentry.connect.ports import Tries, Try
from consentry.connect.tickets import Tickets, VerifiedForm, VerifiedTicket, digest, is_token
from consentry.errors import Conflict, Forbidden, InvalidRequest
from consentry.model import Connection, Grant, Integration, Session
from consentry.oauth.provider import Provider
from consentry.ports import Catalogue, Clock, Integrations, Randomness, Sessions


class TooManyTries(InvalidRequest):
    """The session has ended with this."""

    status: ClassVar[int] = 429
    default_code = "too_many_tries"


class FormSent(Conflict):
    """The very same form was tried before: a double click, or a page that was reloaded."""

    default_code = "form_sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """A session of which this integration may be connected by entering credentials."""

    session: Session
    integration: Integration
    provider: Provider

    @property
    def name(self) -> str:
        return self.integration.display_name or self.provider.name

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of those parts of the provider's URLs that the person decides."""
        return open_variables(self.session, self.integration.id, self.provider)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterCredentials:
    """`connect` is called for: looking at the form needs neither keys nor a client for providers."""

    clock: Clock
    randomness: Randomness
    tickets: Tickets
    sessions: Sessions
    tries: Tries
    integrations: Integrations
    catalogue: Catalogue
    connect: Callable[[], ConnectWithCredentials]

    def ticket(self, unverified: str) -> VerifiedTicket:
        """Raise `Expired` for what is no ticket of ours; no call is made."""
        return verified(self.tickets, unverified)

    def binding(self, unverified_cookie: str) -> str:
        """Return what binds forms to this browser: what it has already, or something new."""
        return unverified_cookie if is_token(unverified_cookie) else self.randomness.token()

    def sent(self, ticket: VerifiedTicket, integration_id: str, unverified_form: str, cookie: str) -> VerifiedForm:
        """Raise `Forbidden` unless we made this form for this session, integration and browser; no call is made."""
        form = self.tickets.verify_form(unverified_form, ticket.session_id, integration_id, cookie)
        if form is None:
            public = "This form is from an earlier visit, or the browser takes no cookies. Open the link again."
            raise Forbidden(public, code="stale_form")
        return form

    def open(self, ticket: VerifiedTicket, integration_id: str) -> Entrance:
        """Raise `Expired` where nothing is to be entered."""
        session = opened(ticket, self.sessions, self.clock.now())
        integration = registered(session, integration_id, self.integrations)
        provider = self.catalogue.provider(integration.provider)
        if provider.grant is not Grant.CLIENT_CREDENTIALS:
            raise no_such_session()
        return Entrance(session=session, integration=integration, provider=provider)

    def form(self, entrance: Entrance, binding: str) -> str:
        """Return the value that makes the form ours."""
        return self.tickets.form(entrance.session.id, entrance.integration.id, binding, self.randomness.token())

    def submit(self, entrance: Entrance, form: VerifiedForm, body: Mapping[str, object]) -> Connection:
        """Try the credentials and store them.

        Raise `InvalidInput` and `InvalidVariable` for what cannot be tried (which costs nothing), `FormSent` and
        `TooManyTries`, and what `ConnectWithCredentials` raises.
        """
        checked_inputs(entrance.provider, body)
        checked_texts(body)
        session, integration, provider = entrance.session, entrance.integration, entrance.provider
        variables = chosen_variables(session, integration.id, provider, given_by(body))
        self._spend(entrance, form)
        whole = {**body, "variables": variables}
        return self.connect().store_checked(session.key(integration.id), integration, provider, whole)

    def _spend(self, entrance: Entrance, form: VerifiedForm) -> None:
        spent = self.tries.spend_try(entrance.session.id, form=digest(form.random), claim_id=self.randomness.token())
        match spent:
            case Try.SPENT:
                return
            case Try.REPEATED:
                raise FormSent("This form was sent already. Look at the connections to see what came of it.")
            case Try.EXHAUSTED:
                raise TooManyTries("That was tried too often. Go back to the application and start again.")
