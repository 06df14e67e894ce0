"""Proof Key for Code Exchange with the method S256 (RFC 7636); `plain` does not exist here."""

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Final, Self

from consentry.model import Secret

CHALLENGE_METHOD: Final = "S256"
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 section 4.1


@dataclass(frozen=True, slots=True)
class Verifier:
    """A code verifier of 43 to 128 unreserved characters (RFC 7636 section 4.1), never printed."""

    secret: Secret

    @classmethod
    def from_random(cls, text: str) -> Self:
        """Take 256 random bits in URL-safe base64, or a verifier kept from earlier; raise `ValueError` otherwise."""
        if not _VERIFIER.fullmatch(text):
            message = "a code verifier is 43 to 128 characters of A-Z a-z 0-9 - . _ ~"
            raise ValueError(message)
        return cls(Secret(text))


def challenge_s256(verifier: Verifier) -> str:
    """Return BASE64URL(SHA256(verifier)) without padding: 43 characters (RFC 7636 section 4.2)."""
    digest = hashlib.sha256(verifier.secret.reveal().encode("ascii")).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
