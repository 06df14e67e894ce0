"""Receive the provider's answer: check it, claim the flow once, and park the code (or, `direct`, redeem it).

MAC and cookie come first and cost no call; the issuer is checked before code or error is used (RFC 9207 section 2.4);
the claim is one conditional write, before any request goes out, and after all that may fail without one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from consentry.connect.authorize import AlreadyReceived, already_received, ended
from consentry.connect.exchange import ExchangeCode
from consentry.connect.flow_secrets import open_verifier, seal_code
from consentry.connect.opening import no_such_session
from consentry.connect.tickets import Tickets, VerifiedState, digest, same
from consentry.errors import ConsentryError, Forbidden, InvalidRequest
from consentry.model import Completion, Connection, Flow, FlowStatus, Secret
from consentry.oauth.authorization import authorization_endpoint
from consentry.oauth.callback import (
    AuthorizationCode,
    AuthorizationDenied,
    StateHash,
    UnverifiedCallback,
    parse_callback,
    validate_callback,
)
from consentry.oauth.variables import rendered
from consentry.ports import Catalogue, Clock, Connections, Envelopes, Randomness, Sessions

PARKED_SECONDS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """What came of a callback: exactly one of `handle` (confirm), `connection`, `failure` (direct) and `denied`.

    A `failure` that came before the flow was claimed leaves it as it was: the same callback may be opened again.
    """

    flow: Flow
    cookie: str
    handle: Secret | None = field(default=None, repr=False)
    connection: Connection | None = None
    failure: ConsentryError | None = None
    denied: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveCallback:
    """`exchange` is called for: by default nothing is exchanged here, and its client, keys and secrets stay unmade."""

    clock: Clock
    randomness: Randomness
    tickets: Tickets
    sessions: Sessions
    catalogue: Catalogue
    envelopes: Envelopes
    connections: Connections
    exchange: Callable[[], ExchangeCode]

    def __call__(self, integration: str, raw_query: str, cookies: Mapping[str, str]) -> Arrived:
        """Raise `Expired` for a state that opens nothing, `Forbidden` for another browser, `Conflict` once used.

        What goes wrong with a direct exchange is returned: the company may want to hear of it.
        """
        unverified = parse_callback(raw_query)
        state = self.tickets.verify_state(unverified.state, integration)
        if state is None:
            raise no_such_session()
        flow = self._flow(state, cookies)
        answer = self._validated(flow, unverified)
        if isinstance(answer, AuthorizationDenied):
            if not self.sessions.finish(flow, FlowStatus.FAILED, answer.error, expected=flow.status):
                raise already_received()
            return Arrived(flow=flow, cookie=state.cookie_name, denied=answer.error)
        if flow.session.completion is Completion.DIRECT:
            return self._redeem(flow, answer, state.cookie_name)
        return Arrived(flow=flow, cookie=state.cookie_name, handle=self._park(flow, answer))

    def _flow(self, state: VerifiedState, cookies: Mapping[str, str]) -> Flow:
        binding = cookies.get(state.cookie_name, "")
        if not binding:
            raise _other_browser()
        flow = self.sessions.flow(state.session_id, state.integration)
        if flow is None or not same(flow.state_hash, state.state_hash) or flow.expires_at <= self.clock.now():
            raise no_such_session()
        if not same(flow.browser_hash, digest(binding)):
            raise no_such_session()  # made up: whoever guesses does not learn that there is something to guess
        if trouble := ended(flow):
            raise trouble
        return flow

    def _validated(self, flow: Flow, unverified: UnverifiedCallback) -> AuthorizationCode | AuthorizationDenied:
        endpoint = authorization_endpoint(rendered(self.catalogue.provider(flow.provider), flow.variables))
        try:
            return validate_callback(unverified, authorization=endpoint, expected_state=StateHash(flow.state_hash))
        except InvalidRequest as error:
            self.sessions.finish(flow, FlowStatus.FAILED, error.code, expected=flow.status)
            raise

    def _park(self, flow: Flow, answer: AuthorizationCode) -> Secret:
        handle = Secret(f"{flow.integration}.{self.randomness.token()}")
        handle_hash = digest(handle.reveal())
        if flow.status is FlowStatus.CODE_RECEIVED:
            # The browser reloaded, perhaps because it never saw the first redirect.
            if self.clock.now() < flow.parked_until and self.sessions.reissue_handle(flow, handle_hash=handle_hash):
                return handle
            raise already_received()
        stands = self.connections.read(flow.key)
        code = seal_code(self.envelopes, flow, answer)
        until, replaces = self.clock.now() + PARKED_SECONDS, stands.consent_id if stands else ""
        if not self.sessions.park(flow, code=code, handle_hash=handle_hash, until=until, replaces=replaces):
            raise already_received()
        return handle

    def _redeem(self, flow: Flow, answer: AuthorizationCode, cookie: str) -> Arrived:
        try:
            connection = self.exchange()(flow, answer, open_verifier(self.envelopes, flow))
        except AlreadyReceived:
            raise  # whoever was faster tells the company what came of it
        except ConsentryError as failure:
            return Arrived(flow=flow, cookie=cookie, failure=failure)
        return Arrived(flow=flow, cookie=cookie, connection=connection)


def _other_browser() -> Forbidden:
    public = "This consent was begun in another browser. Open the application there and start connecting again."
    return Forbidden(public, code="other_browser")
