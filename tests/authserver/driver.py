"""A client without cookies that plays a whole code flow against the simulated servers, one HTTP request at a time."""

import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import requests

from dev.authserver.simulation import Simulation

REDIRECT_URI = "http://localhost:1/callback/one"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

TOKEN_PATHS = {
    "generic": "/auth.example/token",
    "hubspot": "/api.hubapi.com/oauth/2026-03/token",
    "hotjar": "/app.hotjar.com/oauth2/token",
    "hotmart": "/api-sec-vlc.hotmart.com/security/oauth/token",
}
AUTHORIZE_PATHS = {
    "generic": "/auth.example/authorize",
    "hubspot": "/app.hubspot.com/oauth/authorize",
    "hotjar": "/app.hotjar.com/oauth2/authorize",
    "hotmart": "/api-sec-vlc.hotmart.com/security/oauth/authorize",
}


class VirtualClock:
    """Starts now and moves only when told to."""

    def __init__(self, start: float) -> None:
        self.time = start

    def __call__(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += seconds


class Driver:
    """Sends requests to the servers; client `app` is registered for every system on demand."""

    client_id = "app"

    def __init__(self, simulation: Simulation, clock: VirtualClock) -> None:
        self.simulation = simulation
        self.clock = clock
        self.base_url = simulation.base_url
        self.client_secret = secrets.token_urlsafe(24)

    def get(self, path: str, *, token: str = "", query: Mapping[str, str] | str | None = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.get(self.base_url + path, params=query, headers=headers, allow_redirects=False, timeout=10)

    def delete(self, path: str, *, token: str) -> requests.Response:
        return requests.delete(self.base_url + path, headers={"Authorization": f"Bearer {token}"}, timeout=10)

    def post(
        self,
        path: str,
        fields: Mapping[str, str] | str | bytes | None = None,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        if isinstance(fields, str | bytes):
            headers = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return requests.post(
            self.base_url + path, data=fields, json=json, headers=headers, allow_redirects=False, timeout=10
        )

    def order(self, name: str, **fields: object) -> requests.Response:
        answer = self.post(f"/_control/{name}", json=fields)
        assert answer.status_code in {200, 201}, answer.text
        return answer

    def stats(self) -> dict[str, object]:
        found: dict[str, object] = self.get("/_control/stats").json()
        return found

    def log(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = self.get("/_control/log").json()
        return found

    def register(self, system: str = "generic", **more: object) -> None:
        fields = {
            "system": system,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "redirect_uris": [REDIRECT_URI],
            "scopes": ["read", "write", "tickets", "oauth"],
        }
        self.order("clients", **(fields | more))

    def authorize_query(self, **changes: str | None) -> dict[str, str]:
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": REDIRECT_URI,
            "scope": "read write",
            "state": "a state with spaces & more",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in (query | changes).items() if value is not None}

    def authorize(self, system: str = "generic", /, **changes: str | None) -> requests.Response:
        return self.get(AUTHORIZE_PATHS[system], query=self.authorize_query(**changes))

    def decide(
        self, decision: str = "allow", account: str = "acme", system: str = "generic", /, **changes: str | None
    ) -> dict[str, str]:
        """Post the consent form; return the parameters that come back to the redirect URI."""
        query = requests.models.PreparedRequest()
        query.prepare_url(self.base_url + AUTHORIZE_PATHS[system], self.authorize_query(**changes))
        answer = requests.post(
            str(query.url), {"account": account, "decision": decision}, allow_redirects=False, timeout=10
        )
        return sent_back(answer)

    def code(self, system: str = "generic", account: str = "acme", /, **changes: str | None) -> str:
        return self.decide("allow", account, system, **changes)["code"]

    def basic(self, client_id: str | None = None, secret: str | None = None, *, encoded: bool = True) -> dict[str, str]:
        encode: Callable[[str], str] = quote_plus if encoded else str
        halves = encode(client_id or self.client_id), encode(secret or self.client_secret)
        return {"Authorization": "Basic " + base64.b64encode(":".join(halves).encode()).decode()}

    def token(self, system: str = "generic", /, **fields: str | None) -> requests.Response:
        """A token request in the system's own way of sending it; a field that is None is left out."""
        present = {name: value for name, value in fields.items() if value is not None}
        secret = {"client_id": self.client_id, "client_secret": self.client_secret}
        if system == "hubspot":
            return self.post(TOKEN_PATHS[system], secret | present)
        if system == "hotjar":
            return self.post(TOKEN_PATHS[system], json=secret | present)
        return self.post(TOKEN_PATHS[system], present, headers=self.basic(encoded=system == "generic"))

    def exchange(self, code: str, system: str = "generic", /, **changes: str | None) -> requests.Response:
        fields: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": VERIFIER,
        }
        return self.token(system, **(fields | changes))

    def connect(self, system: str = "generic", account: str = "acme", /, **changes: str | None) -> dict[str, Any]:
        """Go through a whole flow; return the token answer."""
        answer = self.exchange(self.code(system, account, **changes), system)
        assert answer.status_code == 200, answer.text
        granted: dict[str, Any] = answer.json()
        return granted

    def refresh(self, refresh_token: str, system: str = "generic", /, **more: str | None) -> requests.Response:
        fields: dict[str, str | None] = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return self.token(system, **(fields | more))

    def whoami(self, access_token: str) -> requests.Response:
        return self.get("/auth.example/whoami", token=access_token)


def sent_back(answer: requests.Response) -> dict[str, str]:
    assert answer.status_code == 303, answer.text
    location = answer.headers["Location"]
    assert location.startswith(REDIRECT_URI + "?")
    values = parse_qs(urlsplit(location).query, strict_parsing=True)
    assert all(len(repeated) == 1 for repeated in values.values())
    return {name: repeated[0] for name, repeated in values.items()}


def fingerprint(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:12]
