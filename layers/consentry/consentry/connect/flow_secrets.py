"""Seal and open what a flow keeps: the PKCE verifier, and the code while it is parked.

The encryption context binds a ciphertext to the connection. Two people may be connecting the same one: what is sealed
therefore also says whose session it is of, and which of the two it is.
"""

from enum import StrEnum

from consentry.errors import UnreadableRecord
from consentry.model import Field, Flow, Secret
from consentry.oauth.callback import AuthorizationCode
from consentry.oauth.pkce import Verifier
from consentry.ports import Envelopes


class _Kind(StrEnum):
    CODE = "code"
    VERIFIER = "verifier"


def seal_code(envelopes: Envelopes, flow: Flow, code: AuthorizationCode) -> bytes:
    """One KMS call."""
    return _sealed(envelopes, flow, _Kind.CODE, code.code)


def open_code(envelopes: Envelopes, flow: Flow) -> AuthorizationCode:
    """Return the parked code; raise `UnreadableRecord` unless it was sealed as this session's code. One KMS call."""
    return AuthorizationCode(_opened(envelopes, flow, _Kind.CODE, flow.code))


def seal_verifier(envelopes: Envelopes, flow: Flow, verifier: Verifier) -> bytes:
    """One KMS call."""
    return _sealed(envelopes, flow, _Kind.VERIFIER, verifier.secret)


def open_verifier(envelopes: Envelopes, flow: Flow) -> Verifier:
    """Return the verifier; raise `UnreadableRecord` unless it was sealed as this session's verifier. One KMS call."""
    return Verifier.from_random(_opened(envelopes, flow, _Kind.VERIFIER, flow.verifier).reveal())


def _sealed(envelopes: Envelopes, flow: Flow, kind: _Kind, secret: Secret) -> bytes:
    sealing_key = envelopes.sealing_key(flow.key.encryption_context(Field.FLOW))
    return sealing_key.seal(Secret(_owner(flow, kind) + secret.reveal()))


def _opened(envelopes: Envelopes, flow: Flow, kind: _Kind, ciphertext: bytes) -> Secret:
    text = envelopes.open(ciphertext, flow.key.encryption_context(Field.FLOW)).reveal()
    owner = _owner(flow, kind)
    if not text.startswith(owner):
        public = "The stored consent cannot be read. The operator's log has the reason."
        raise UnreadableRecord(public, detail=f"the {kind} was sealed for another session, or as something else")
    return Secret(text.removeprefix(owner))


def _owner(flow: Flow, kind: _Kind) -> str:
    """Return what stands before the value: kind and session id, of which neither can hold a bar."""
    return f"{kind.value}|{flow.session.id}|"
