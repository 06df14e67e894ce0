"""A provider of which each consent is a grant of its own: tokens that rotate within it, and end with it alone."""

from dataclasses import dataclass, field, replace
from threading import Lock
from urllib.parse import parse_qsl, urlsplit

from consentry.model import ConnectionKey, Field
from consentry.oauth.provider import Provider, Revocation
from consentry.oauth.wire import HttpAnswer, TokenRequest
from consentry.tokens import grant_secrets
from tests.support.catalogue import CRM
from tests.support.deployment import Deployment
from tests.support.provider import answer, tokens

REVOKE_AT = "https://api.crm.test/revoke"
ALONE: Provider = replace(CRM, revocation_url=REVOKE_AT, revocation=Revocation.TOKEN)


@dataclass
class Families:
    """`ports.TokenEndpointClient`: a code begins a family, named by its code; only its newest refresh token works.

    `accounts` says whose code it is, where it is not 4711's.
    """

    accounts: dict[str, int] = field(default_factory=dict)
    requests: list[TokenRequest] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    _newest: dict[str, str] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
        assert deadline_seconds > 0
        form = dict(parse_qsl(request.body.decode()))
        with self._lock:
            self.requests.append(request)
            if urlsplit(request.url).path == "/revoke":
                return self._revoke(form["token"])
            return self._exchange(form["code"]) if "code" in form else self._refresh(form["refresh_token"])

    @property
    def live(self) -> set[str]:
        """The codes of all grants that work."""
        return set(self._newest) - self._ended

    def kept(self, deployment: Deployment, key: ConnectionKey) -> str:
        """Return the code of the grant that is stored for a connection; empty if there is none, or it works no more."""
        record = deployment.connections.read(key)
        if record is None or not record.grant:
            return ""
        opened = deployment.envelopes.open(record.grant, key.encryption_context(Field.GRANT))
        refresh_token = grant_secrets(opened)["refresh_token"].reveal()
        return next((code for code in self.live if self._newest[code] == refresh_token), "")

    def _exchange(self, code: str) -> HttpAnswer:
        assert code not in self._newest, "a code was redeemed twice"
        self.codes.append(code)
        self._newest[code] = f"CNRY-refresh-{code}-1"
        return self._tokens(code)

    def _refresh(self, token: str) -> HttpAnswer:
        code = self._of(token)
        if not code:
            return answer(400, {"error": "invalid_grant"})
        number = int(token.rpartition("-")[2]) + 1
        self._newest[code] = f"CNRY-refresh-{code}-{number}"
        return self._tokens(code)

    def _revoke(self, token: str) -> HttpAnswer:
        if code := self._of(token):
            self.revoked.append(code)
            self._ended.add(code)
        return answer(200, b"")

    def _of(self, token: str) -> str:
        return next((code for code in self.live if self._newest[code] == token), "")

    def _tokens(self, code: str) -> HttpAnswer:
        newest = self._newest[code]
        return tokens(
            access_token=newest.replace("refresh", "access"),
            refresh_token=newest,
            hub_id=self.accounts.get(code, 4711),
        )
