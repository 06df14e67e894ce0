"""Disconnecting on our own page: asked first, about one connection as it stands, and done to that very one.

The session's link is enough for it, where the company's backend allows that (`allow_disconnect`). What ends is what the
person was shown: a connection that was made anew since, in another tab or by a colleague, is left as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass

from consentry.connect.disconnect import Disconnect
from consentry.connect.opening import no_such_session, opened, registered, verified
from consentry.connect.tickets import Tickets, VerifiedTicket, is_token
from consentry.errors import Forbidden, NotConnected
from consentry.model import Connection, Integration, Session, Status
from consentry.oauth.provider import Provider
from consentry.ports import Catalogue, Clock, Connections, Integrations, Randomness, Sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A connection that the session's person may end."""

    session: Session
    integration: Integration
    provider: Provider
    connection: Connection

    @property
    def name(self) -> str:
        return self.integration.display_name or self.provider.name


@dataclass(frozen=True, slots=True, kw_only=True)
class EndConnection:
    """`disconnect` is called for: whoever only looks needs none of it."""

    clock: Clock
    randomness: Randomness
    tickets: Tickets
    sessions: Sessions
    integrations: Integrations
    catalogue: Catalogue
    connections: Connections
    disconnect: Callable[[], Disconnect]

    def ticket(self, unverified: str) -> VerifiedTicket:
        """Raise `Expired` for what is no ticket of ours; no call is made."""
        return verified(self.tickets, unverified)

    def binding(self, unverified_cookie: str) -> str:
        """Return what binds forms to this browser: what it has already, or something new."""
        return unverified_cookie if is_token(unverified_cookie) else self.randomness.token()

    def open(self, ticket: VerifiedTicket, integration_id: str) -> tuple[Session, Integration]:
        """Raise `Expired` where the session allows nothing of it."""
        session = opened(ticket, self.sessions, self.clock.now())
        integration = registered(session, integration_id, self.integrations)
        if not session.allow_disconnect:
            raise no_such_session()
        return session, integration

    def question(self, session: Session, integration: Integration) -> Question | None:
        """Return what there is to ask; None where nothing is connected (any more)."""
        connection = self.connections.read(session.key(integration.id))
        if connection is None or connection.status is Status.DELETING:
            return None
        provider = self.catalogue.provider(integration.provider)
        return Question(session=session, integration=integration, provider=provider, connection=connection)

    def form(self, question: Question, binding: str) -> str:
        """Return the value that makes the question ours, and about this connection alone."""
        consent = question.connection.consent_id
        return self.tickets.disconnect_form(question.session.id, question.integration.id, binding, consent)

    def check_sent(
        self, ticket: VerifiedTicket, integration_id: str, unverified_form: str, consent: str, cookie: str
    ) -> None:
        """Raise `Forbidden` unless we asked it about this consent, in this session and browser; no call is made."""
        known = self.tickets.verify_disconnect_form(unverified_form, ticket.session_id, integration_id, cookie, consent)
        if not known:
            public = "This form is from an earlier visit, or the browser takes no cookies. Open the link again."
            raise Forbidden(public, code="stale_form")

    def submit(self, session: Session, integration: Integration, consent: str) -> bool:
        """Disconnect; return False if it was gone already. Raise `Conflict` if it was made anew since it was shown."""
        try:
            self.disconnect()(session.key(integration.id), uninstall=False, consent=consent)
        except NotConnected:
            return False
        return True
