"""Begin a consent: state, PKCE verifier and browser binding, then off to the provider."""

from dataclasses import dataclass, field, replace
from typing import Final

from consentry.connect.flow_secrets import seal_verifier
from consentry.connect.opening import no_such_session, opened, verified, wanted_scopes
from consentry.connect.tickets import Tickets, cookie_name, digest
from consentry.errors import Conflict
from consentry.model import Flow, FlowStatus, Grant, Integration, Secret, Session
from consentry.oauth.authorization import authorization_url
from consentry.oauth.pkce import Verifier, challenge_s256
from consentry.oauth.provider import Provider
from consentry.ports import Catalogue, Clock, Envelopes, Integrations, Randomness, Sessions

FLOW_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Departure:
    """Where to send the browser, and the cookie that binds the flow to it."""

    location: str
    cookie: str
    binding: Secret = field(repr=False)


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

    def __call__(self, unverified_ticket: str, integration_id: str) -> Departure:
        """Return the departure; raise `Expired` for any ticket that opens nothing, or nothing any more."""
        session = opened(verified(self.tickets, unverified_ticket), self.sessions, self.clock.now())
        if integration_id not in session.integrations:
            raise no_such_session()
        integration = self.integrations.integration(integration_id)
        if integration is None:
            raise no_such_session()
        provider = self.catalogue.provider(integration.provider)
        if provider.grant is not Grant.AUTHORIZATION_CODE:
            raise no_such_session()  # its credentials are entered elsewhere
        return self._depart(session, integration, provider)

    def _depart(self, session: Session, integration: Integration, provider: Provider) -> Departure:
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
        return Departure(location, cookie_name(flow.state_hash), binding)
