"""Complete a consent from the company's backend: the handle, the session and the user must all be the same one's.

Only this answers cross-user session fixation: a person who followed somebody else's link returns to the company with a
handle, and the company's backend names its own signed-in user.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from consentry.connect.callback import already_used
from consentry.connect.exchange import ExchangeCode
from consentry.connect.tickets import digest, is_session_id, same
from consentry.errors import Conflict, Expired, InvalidRequest, NotFound
from consentry.model import Connection, Field, Flow, FlowStatus, identifier
from consentry.oauth.callback import AuthorizationCode
from consentry.oauth.pkce import Verifier
from consentry.ports import Clock, Envelopes, Sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    clock: Clock
    sessions: Sessions
    envelopes: Envelopes
    exchange: ExchangeCode

    def __call__(self, tenant: str, session_id: str, body: Mapping[str, object]) -> Connection:
        """Raise `NotFound` for an unknown handle, `Conflict` for another user or twice, `Expired` when late."""
        handle, user_ref = body.get("handle"), body.get("user_ref")
        if not isinstance(handle, str) or not isinstance(user_ref, str) or "." not in handle:
            raise InvalidRequest('the body must be {"handle": "...", "user_ref": "..."}, the handle as it was received')
        flow = self._flow(tenant, session_id, handle)
        if not same(flow.session.user_ref, user_ref):
            self.sessions.finish(flow, FlowStatus.FAILED, "other_user")
            public = "The session was begun for another user. The consent was discarded; start again for this user."
            raise Conflict(public, code="other_user")
        if flow.parked_until <= self.clock.now():
            self.sessions.finish(flow, FlowStatus.FAILED, "completed_late")
            raise Expired("The consent came back more than a minute ago and was discarded. Start again.")
        context = flow.key.encryption_context(Field.FLOW)
        code, verifier = self.envelopes.open(flow.code, context), self.envelopes.open(flow.verifier, context)
        if not self.sessions.claim(flow, expected=FlowStatus.CODE_RECEIVED):
            raise already_used()
        return self.exchange(flow, AuthorizationCode(code), Verifier.from_random(verifier.reveal()))

    def _flow(self, tenant: str, session_id: str, handle: str) -> Flow:
        integration = identifier(handle.partition(".")[0], "handle")
        flow = self.sessions.flow(session_id, integration) if is_session_id(session_id) else None
        if flow is None or not same(flow.session.tenant, tenant):
            raise NotFound("There is no such session, or it has ended. Create a new one.", code="unknown_session")
        if flow.status in {FlowStatus.EXCHANGING, FlowStatus.DONE, FlowStatus.FAILED}:
            raise already_used()
        given = digest(handle)
        if not any([same(given, known) for known in flow.handle_hashes]):  # noqa: C419 - compare all, in constant time
            raise NotFound("There is no such handle for this session.", code="unknown_handle")
        return flow
