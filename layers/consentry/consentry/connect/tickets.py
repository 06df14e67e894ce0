"""Unguessable references with a MAC in them, so that garbage is refused before any table is asked.

A ticket opens a connect session: 256 random bits and their MAC. A state (RFC 6749 section 10.12) names its session,
adds 256 random bits of its own, and is bound to its integration. Only hashes of either are stored.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

from consentry.model import IDENTIFIER, Secret

_RANDOM: Final = 43  # 256 bits in unpadded base64
_MAC: Final = 22  # 128 bits
_ID: Final = 22
_SESSION_ID: Final = re.compile(rf"[A-Za-z0-9_-]{{{_ID}}}")
_STATE: Final = _ID + _RANDOM + _MAC
_TICKET: Final = _RANDOM + _MAC
_TOKEN: Final = re.compile(rf"[A-Za-z0-9_-]{{{_RANDOM}}}")
COOKIE_PREFIX: Final = "__Host-cv-"
_COOKIE_NAME: Final = re.compile(rf"{COOKIE_PREFIX}[0-9a-f]{{8}}")


def digest(value: str) -> str:
    """Return the SHA-256 of a secret reference in hexadecimal, as it is stored."""
    return hashlib.sha256(_bytes(value)).hexdigest()


def _session_id(random: str) -> str:
    return _text(hashlib.sha256(random.encode()).digest())[:_ID]


def same(left: str, right: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(_bytes(left), _bytes(right))


def _bytes(text: str) -> bytes:
    # JSON and events may hold lone surrogates: garbage is compared like any other text, and opens nothing.
    return text.encode("utf-8", "surrogatepass")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class VerifiedTicket:
    session_id: str


@dataclass(frozen=True, slots=True)
class VerifiedForm:
    """A form of ours, for one session, integration and browser; `random` tells it from every other."""

    random: str


@dataclass(frozen=True, slots=True)
class VerifiedState:
    session_id: str
    integration: str
    state_hash: str

    @property
    def cookie_name(self) -> str:
        """One cookie for each flow, so that two tabs do not disturb each other."""
        return cookie_name(self.state_hash)


def cookie_name(state_hash: str) -> str:
    return COOKIE_PREFIX + digest(state_hash)[:8]


def is_cookie_name(unverified: str) -> bool:
    """Whether the name may be one of ours: no other text of a request goes into a `Set-Cookie` header."""
    return _COOKIE_NAME.fullmatch(unverified) is not None


def is_session_id(unverified: str) -> bool:
    """Whether the text may be a session's public id at all; what is not need not be looked up."""
    return _SESSION_ID.fullmatch(unverified) is not None


def is_token(unverified: str) -> bool:
    """Whether the text may be 256 random bits of ours."""
    return _TOKEN.fullmatch(unverified) is not None


class Tickets:
    """Issue and verify tickets, states and forms under the deployment's MAC key."""

    def __init__(self, mac_key: Secret) -> None:
        self._key = mac_key.reveal().encode()

    def ticket(self, random: str) -> tuple[str, str]:
        """Return a new ticket and the public id of its session."""
        return random + self._mac("ticket", random), _session_id(random)

    def verify_ticket(self, unverified: str) -> VerifiedTicket | None:
        random, mac = unverified[:_RANDOM], unverified[_RANDOM:]
        if len(unverified) != _TICKET or not same(mac, self._mac("ticket", random)):
            return None
        return VerifiedTicket(_session_id(random))

    def state(self, session_id: str, integration: str, random: str) -> str:
        body = session_id + random
        return body + self._mac("state", integration, body)

    def verify_state(self, unverified: str, integration: str) -> VerifiedState | None:
        body, mac = unverified[:-_MAC], unverified[-_MAC:]
        if len(unverified) != _STATE or not same(mac, self._mac("state", integration, body)):
            return None
        return VerifiedState(body[:_ID], integration, digest(unverified))

    def form(self, session_id: str, integration: str, binding: str, random: str) -> str:
        return random + self._mac("form", session_id, integration, binding, random)

    def verify_form(self, unverified: str, session_id: str, integration: str, binding: str) -> VerifiedForm | None:
        """Return the form if its MAC is of this session, integration and browser binding."""
        random, mac = unverified[:_RANDOM], unverified[_RANDOM:]
        if not IDENTIFIER.fullmatch(integration) or not is_token(binding):
            return None  # neither holds the sign that parts the MAC's parts
        if len(unverified) != _TICKET or not same(mac, self._mac("form", session_id, integration, binding, random)):
            return None
        return VerifiedForm(random)

    def disconnect_form(self, session_id: str, integration: str, binding: str, consent: str) -> str:
        """Return what makes a question about one connection ours; the very consent that it was shown of counts."""
        return self._mac("disconnect", session_id, integration, binding, digest(consent))

    def verify_disconnect_form(
        self, unverified: str, session_id: str, integration: str, binding: str, consent: str
    ) -> bool:
        """Whether the MAC is of this session, integration, browser binding and consent."""
        if not IDENTIFIER.fullmatch(integration) or not is_token(binding):
            return False  # neither holds the sign that parts the MAC's parts
        return same(unverified, self.disconnect_form(session_id, integration, binding, consent))

    def _mac(self, *parts: str) -> str:
        return _text(hmac.digest(self._key, _bytes("|".join(parts)), "sha256"))[:_MAC]
