"""What an adapter is told about an authorization server, and a grant there for the asking."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import requests

from dev.authserver.systems import GENERIC

OWN_REDIRECT_URI: Final = "http://localhost:1/torture"
SCOPES: Final = ("read", "write")
TIMEOUT_SECONDS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A token answer (RFC 6749 section 5.1); `expires_in` in seconds."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A client that is registered with one authorization server; each scenario has a server of its own.

    Refresh tokens rotate. One that is presented again later than `reuse_grace_seconds` after its first use costs the
    whole grant (RFC 9700 section 4.14.2). The client authenticates with HTTP Basic; PKCE (S256) is required.
    """

    id: str
    server_url: str
    client_id: str
    client_secret: str = field(repr=False)
    reuse_grace_seconds: int
    scopes: tuple[str, ...] = SCOPES

    @property
    def issuer(self) -> str:
        """The `iss` of every authorization response (RFC 9207)."""
        return f"{self.server_url}/{GENERIC.host}"

    @property
    def authorize_url(self) -> str:
        """Where consent is given; it is given at once, to whoever asks."""
        return f"{self.issuer}/authorize"

    @property
    def token_url(self) -> str:
        return f"{self.issuer}/token"

    @property
    def introspect_url(self) -> str:
        """RFC 7662; `sub` identifies the account."""
        return f"{self.issuer}/introspect"

    @property
    def api_url(self) -> str:
        """An API that wants a Bearer token, for stores that only refresh while they call one."""
        return f"{self.issuer}/whoami"

    def register(self, redirect_uri: str) -> None:
        """Allow the store's own redirect URI beside the kit's."""
        order = {
            "system": GENERIC.id,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "redirect_uris": [OWN_REDIRECT_URI, redirect_uri],
            "scopes": list(self.scopes),
        }
        requests.post(f"{self.server_url}/_control/clients", json=order, timeout=TIMEOUT_SECONDS).raise_for_status()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One grant to be: a store takes its `tokens()`, or sends a browser through the consent of `application` itself."""

    connection: str
    application: Application

    def tokens(self) -> Tokens:
        """Give consent and exchange the code (RFC 6749 section 4.1, RFC 7636)."""
        verifier = secrets.token_urlsafe(48)
        answer = requests.post(
            self.application.token_url,
            data={
                "grant_type": "authorization_code",
                "code": self._code(verifier),
                "redirect_uri": OWN_REDIRECT_URI,
                "code_verifier": verifier,
            },
            auth=(self.application.client_id, self.application.client_secret),
            timeout=TIMEOUT_SECONDS,
        )
        answer.raise_for_status()
        granted: Mapping[str, str] = answer.json()
        return Tokens(
            access_token=granted["access_token"],
            refresh_token=granted["refresh_token"],
            expires_in=int(granted["expires_in"]),
        )

    def _code(self, verifier: str) -> str:
        query = {
            "response_type": "code",
            "client_id": self.application.client_id,
            "redirect_uri": OWN_REDIRECT_URI,
            "scope": " ".join(self.application.scopes),
            "state": secrets.token_urlsafe(12),
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        answer = requests.get(
            self.application.authorize_url, params=query, allow_redirects=False, timeout=TIMEOUT_SECONDS
        )
        return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))["code"]


def challenge_of(verifier: str) -> str:
    """RFC 7636 section 4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
