"""What a ticket opens: a session that is neither unknown nor over nor used up, and what may be asked for in it."""

from collections.abc import Mapping

from consentry.connect.tickets import Tickets, VerifiedTicket
from consentry.errors import Expired
from consentry.model import Integration, Session
from consentry.oauth.provider import Provider
from consentry.oauth.variables import checked_variables
from consentry.ports import Integrations, Sessions


def no_such_session() -> Expired:
    """One answer for unknown, expired, used and foreign: nobody learns which."""
    public = "This link is no longer valid. Go back to the application and start again."
    return Expired(public, code="session_expired")


def verified(tickets: Tickets, unverified_ticket: str) -> VerifiedTicket:
    """Check the ticket's MAC, which needs no call; raise `Expired` for what is none of ours."""
    ticket = tickets.verify_ticket(unverified_ticket)
    if ticket is None:
        raise no_such_session()
    return ticket


def opened(ticket: VerifiedTicket, sessions: Sessions, now: int) -> Session:
    """Raise `Expired` unless the ticket's session is there and has not ended."""
    session = sessions.session(ticket.session_id)
    if session is None or session.expires_at <= now:
        raise no_such_session()
    return session


def registered(session: Session, integration_id: str, integrations: Integrations) -> Integration:
    """Raise `Expired` unless the session is for this integration, and it is registered (still)."""
    integration = integrations.integration(integration_id) if integration_id in session.integrations else None
    if integration is None:
        raise no_such_session()
    return integration


def wanted_scopes(session: Session, integration: Integration, provider: Provider) -> tuple[str, ...]:
    """Return what a consent asks for: the session's scopes, else the integration's, else the provider's default."""
    default = provider.authorization.default_scopes if provider.authorization else ()
    return session.scopes or integration.scopes or default


def open_variables(session: Session, integration_id: str, provider: Provider) -> tuple[str, ...]:
    """Return the names of those parts of the provider's URLs that the session leaves to the person."""
    given = session.variables.get(integration_id, {})
    return tuple(name for name in provider.variables if name not in given)


def chosen_variables(
    session: Session, integration_id: str, provider: Provider, unverified: Mapping[str, object]
) -> dict[str, str]:
    """Return all variables: what the session says counts, and what it leaves open is taken from the person.

    Raise `InvalidVariable` for the first that is missing or will not do.
    """
    given = {
        name: each for name, each in session.variables.get(integration_id, {}).items() if name in provider.variables
    }
    asked = open_variables(session, integration_id, provider)
    return checked_variables(provider, {**given, **{name: unverified.get(name) for name in asked}})
