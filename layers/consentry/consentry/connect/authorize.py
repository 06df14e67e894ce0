"""Begin a consent: state, PKCE verifier and browser binding, then off to the provider."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from consentry.connect.flow_secrets import seal_verifier
from consentry.connect.opening import chosen_variables, no_such_session, open_variables, opened, verified, wanted_scopes
from consentry.connect.tickets import Tickets, cookie_name, digest
from consentry.errors import Conflict
from consentry.model import Flow, FlowStatus, Grant, Integration, Secret, Session, Variables
from consentry.oauth.authorization import authorization_url
from consentry.oauth.pkce import Verifier, challenge_s256
from consentry.oauth.provider import Provider
from consentry.oauth.variables import InvalidVariable, rendered
from consentry.ports import Catalogue, Clock, Envelopes, Integrations, Randomness, Sessions

FLOW_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Departure:
    """Where to send the browser, and the cookie that binds the flow to it. `asked`: the person was asked where to."""

    session: Session
    location: str
    cookie: str
    binding: Secret = field(repr=False)
    asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the person has to say before it is known where to go; `error` is what was wrong with the last answer."""

    session: Session
    integration: Integration
    provider: Provider
    names: tuple[str, ...]
    entered: Mapping[str, str] = field(default_factory=dict)
    error: InvalidVariable | None = None

    @property
    def name(self) -> str:
        return self.integration.display_name or self.provider.name


class AlreadyReceived(Conflict):
    """Somebody has taken this consent: this very browser a moment ago, or another copy of the same request."""

    default_code = "already_received"


def already_received() -> AlreadyReceived:
    return AlreadyReceived("This consent was received already. Go back to the application to see the connection.")


def ended(flow: Flow) -> Conflict | None:
    """Return what to say of a flow that is finished or being exchanged; None of one that still waits for an answer."""
    if flow.status is FlowStatus.FAILED:
        public = "This consent did not work out, and nothing of it is stored."
        return Conflict(f"{public} Go back to the application and start again.", code="consent_failed")
    return already_received() if flow.status in {FlowStatus.EXCHANGING, FlowStatus.DONE} else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorize:
    clock: Clock
    randomness: Randomness
    tickets: Tickets
    sessions: Sessions
    integrations: Integrations
    catalogue: Catalogue
    envelopes: Envelopes
    base_url: str

    def __call__(
        self, unverified_ticket: str, integration_id: str, unverified: Callable[[str], str]
    ) -> Departure | Question:
        """Return the departure; raise `Expired` for any ticket that opens nothing, or nothing any more.

        `unverified` is what the person entered for a variable of the provider's URLs, by name; as long as one is open,
        the question is returned, and nothing is written.
        """
        session = opened(verified(self.tickets, unverified_ticket), self.sessions, self.clock.now())
        if integration_id not in session.integrations:
            raise no_such_session()
        integration = self.integrations.integration(integration_id)
        if integration is None:
            raise no_such_session()
        provider = self.catalogue.provider(integration.provider)
        if provider.grant is not Grant.AUTHORIZATION_CODE:
            raise no_such_session()  # its credentials are entered elsewhere
        names = open_variables(session, integration.id, provider)
        entered = {name: unverified(name).strip() for name in names}
        question = Question(session=session, integration=integration, provider=provider, names=names, entered=entered)
        if names and not any(entered.values()):
            return question
        try:
            variables = chosen_variables(session, integration.id, provider, entered)
        except InvalidVariable as error:
            if error.variable not in names:
                raise  # the session's own; nothing that the person enters mends it
            return replace(question, error=error)
        departure = self._depart(session, integration, rendered(provider, variables), variables)
        return replace(departure, asked=bool(names))

    def _depart(
        self, session: Session, integration: Integration, provider: Provider, variables: Variables
    ) -> Departure:
        state = self.tickets.state(session.id, integration.id, self.randomness.token())
        binding, verifier = Secret(self.randomness.token()), Verifier.from_random(self.randomness.token())
        scopes = wanted_scopes(session, integration, provider)
        flow = Flow(
            session=session,
            integration=integration.id,
            status=FlowStatus.STARTED,
            provider=provider.id,
            client_id=integration.client_id,
            redirect_uri=f"{self.base_url}/callback/{integration.id}",
            scopes=scopes,
            optional_scopes=integration.optional_scopes,
            state_hash=digest(state),
            browser_hash=digest(binding.reveal()),
            expires_at=self.clock.now() + FLOW_SECONDS,
            variables=variables,
        )
        if not self.sessions.start(replace(flow, verifier=seal_verifier(self.envelopes, flow, verifier))):
            raise no_such_session()  # it was used up: its connection was made with it, or is being made
        location = authorization_url(
            provider,
            client_id=flow.client_id,
            redirect_uri=flow.redirect_uri,
            state=state,
            scopes=scopes,
            optional_scopes=integration.optional_scopes,
            code_challenge=challenge_s256(verifier),
        )
        return Departure(session, location, cookie_name(flow.state_hash), binding)
