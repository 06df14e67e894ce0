"""What a session offers: its integrations, what each would allow, and what of it the tenant has connected already."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from consentry import log
from consentry.connect.opening import no_such_session, opened, verified, wanted_scopes
from consentry.connect.ports import Summaries
from consentry.connect.tickets import Tickets
from consentry.errors import OperatorMustAct
from consentry.model import Connection, ConnectionKey, Grant, Integration, Session
from consentry.oauth.provider import Provider
from consentry.ports import Catalogue, Clock, Integrations, Sessions, StorageUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """A scope, and what it means in words by language, where the provider's file says so."""

    scope: str
    words: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """One integration of the session; `grant` is None where its registration cannot be used."""

    integration: str
    name: str
    grant: Grant | None = None
    allows: tuple[Permission, ...] = ()
    connection: Connection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    session: Session
    offered: tuple[Offered, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowOffer:
    """Reads only, so that a page may be looked at as often as anybody likes."""

    clock: Clock
    tickets: Tickets
    sessions: Sessions
    integrations: Integrations
    catalogue: Catalogue
    connections: Summaries

    def __call__(self, unverified_ticket: str) -> Offer:
        """Raise `Expired` for any ticket that opens nothing, and where nothing of it is registered any more."""
        session = opened(verified(self.tickets, unverified_ticket), self.sessions, self.clock.now())
        existing = {each.key: each for each in self.connections.summaries(session.tenant)}
        offered = tuple(self._offered(session, existing))
        if not offered:
            raise no_such_session()
        return Offer(session=session, offered=offered)

    def _offered(self, session: Session, existing: Mapping[ConnectionKey, Connection]) -> Iterator[Offered]:
        """One registration with a mistake in it is shown as such, and hides no other."""
        for each in session.integrations:
            try:
                integration = self.integrations.integration(each)
                if integration is not None:
                    provider = self.catalogue.provider(integration.provider)
                    yield _of(session, integration, provider, existing.get(session.key(each)))
            except StorageUnavailable:
                raise
            except OperatorMustAct as error:
                fields = {"integration": each, "code": error.code, "error": error.public, "detail": error.detail}
                log.record("integration not offered", fields, level="error")
                yield Offered(integration=each, name=each)


def _of(session: Session, integration: Integration, provider: Provider, connection: Connection | None) -> Offered:
    by_consent = provider.grant is Grant.AUTHORIZATION_CODE
    return Offered(
        integration=integration.id,
        name=integration.display_name or provider.name,
        grant=provider.grant,
        allows=_permissions(session, integration, provider) if by_consent else (),
        connection=connection,
    )


def _permissions(session: Session, integration: Integration, provider: Provider) -> tuple[Permission, ...]:
    words = {each.scope: each.words for each in provider.scope_words}
    wanted = wanted_scopes(session, integration, provider)
    optional = [each for each in integration.optional_scopes if each not in wanted]
    return (
        *(Permission(scope=each, words=words.get(each, {})) for each in wanted),
        *(Permission(scope=each, words=words.get(each, {}), optional=True) for each in optional),
    )
