"""Proof keys for codes, S256 only (RFC 7636)."""

import base64
import hashlib
import hmac
import re
from typing import Final

from dev.authserver.strict import Parameters, Refused, invalid_request

CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def challenge_of(query: Parameters, *, required: bool) -> str:
    """The S256 challenge of an authorization request; empty where none was sent and none is required."""
    challenge, method = query.get("code_challenge", ""), query.get("code_challenge_method", "")
    if not challenge and (required or method):
        raise invalid_request("code_challenge is missing", about="code_challenge")
    if challenge and method != "S256":
        raise invalid_request("code_challenge_method must be S256", about="code_challenge_method")
    if challenge and not CHALLENGE.fullmatch(challenge):
        raise invalid_request("code_challenge must be 43 characters of base64url", about="code_challenge")
    return challenge


def check_verifier(challenge: str, verifier: str) -> None:
    """Raise invalid_grant unless both are there and match, or both are absent (RFC 9700 section 2.1.1)."""
    if not challenge and not verifier:
        return
    if not challenge:
        raise Refused("invalid_grant", "code_verifier was sent, but no code_challenge before", about="code_verifier")
    if not VERIFIER.fullmatch(verifier):
        raise Refused("invalid_grant", "code_verifier is missing or malformed", about="code_verifier")
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    if not hmac.compare_digest(digest, challenge):
        raise Refused("invalid_grant", "code_verifier does not match the code_challenge", about="code_verifier")
