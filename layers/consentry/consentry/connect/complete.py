"""Complete a consent from the company's backend: the handle, the session and the user must all be the same one's.

Only this answers cross-user session fixation: a person who followed somebody else's link returns to the company with a
handle, and the company's backend names its own signed-in user.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from consentry.connect.authorize import already_received, ended
from consentry.connect.exchange import ExchangeCode
from consentry.connect.flow_secrets import open_code, open_verifier
from consentry.connect.tickets import digest, is_session_id, same
from consentry.errors import Conflict, Expired, InvalidRequest, NotFound
from consentry.model import Connection, Flow, FlowStatus, identifier
from consentry.ports import Clock, Envelopes, Sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    clock: Clock
    sessions: Sessions
    envelopes: Envelopes
    exchange: ExchangeCode

    def __call__(self, tenant: str, session_id: str, body: Mapping[str, object]) -> Connection:
        """Raise `NotFound` for an unknown handle, `Conflict` for another user or twice, `Expired` when late.

        What `ExchangeCode` raises before it claims the flow leaves the code: the same handle may be sent again.
        """
        handle, user_ref = body.get("handle"), body.get("user_ref")
        if not isinstance(handle, str) or not isinstance(user_ref, str) or "." not in handle:
            raise InvalidRequest('the body must be {"handle": "...", "user_ref": "..."}, the handle as it was received')
        flow = self._flow(tenant, session_id, handle)
        if not same(flow.session.user_ref, user_ref):
            self._discard(flow, "other_user")
            public = "The session was begun for another user. The consent was discarded; start again for this user."
            raise Conflict(public, code="other_user")
        if flow.parked_until <= self.clock.now():
            self._discard(flow, "completed_late")
            raise Expired("The consent came back more than a minute ago and was discarded. Start again.")
        return self.exchange(flow, open_code(self.envelopes, flow), open_verifier(self.envelopes, flow))

    def _discard(self, flow: Flow, outcome: str) -> None:
        """Destroy the code, unless it was taken since the flow was read."""
        if not self.sessions.finish(flow, FlowStatus.FAILED, outcome, expected=flow.status):
            raise already_received()

    def _flow(self, tenant: str, session_id: str, handle: str) -> Flow:
        integration = identifier(handle.partition(".")[0], "handle")
        flow = self.sessions.flow(session_id, integration) if is_session_id(session_id) else None
        if flow is None or not same(flow.session.tenant, tenant):
            raise NotFound("There is no such session, or it has ended. Create a new one.", code="unknown_session")
        if trouble := ended(flow):
            raise trouble
        given = digest(handle)
        if not any([same(given, known) for known in flow.handle_hashes]):  # noqa: C419 - compare all, in constant time
            raise NotFound("There is no such handle for this session.", code="unknown_handle")
        return flow
