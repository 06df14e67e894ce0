"""Codes, grants and tokens, and the rules by which they live and die (RFC 6749, RFC 7636, RFC 9700 section 4.14.2)."""

import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dev.authserver.options import Options
from dev.authserver.parties import Client, Customer
from dev.authserver.pkce import check_verifier
from dev.authserver.strict import Parameters, Refused
from dev.authserver.systems import SYSTEMS, Account


@dataclass(slots=True)
class Grant:
    """What an account allowed a client; its refresh tokens are one family. `live` ends with revocation."""

    id: str
    client: Client
    account: Account
    scopes: tuple[str, ...]
    live: bool = True


@dataclass(slots=True, kw_only=True)
class Code:
    grant: Grant
    redirect_uri: str
    challenge: str
    expires_at: float
    used: bool = False
    redeemed: bool = False


@dataclass(slots=True, kw_only=True)
class RefreshToken:
    value: str = field(repr=False)
    grant: Grant
    expires_at: float | None
    successor: "RefreshToken | None" = None
    rotated_at: float = 0


@dataclass(slots=True, kw_only=True)
class AccessToken:
    """`grant` is None for a customer's own credentials."""

    value: str = field(repr=False)
    system: str
    client_id: str
    account: Account
    scopes: tuple[str, ...]
    expires_at: float
    grant: Grant | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    access: AccessToken
    refresh: RefreshToken | None
    expires_in: int


@dataclass(slots=True)
class Tally:
    reused_refresh_tokens: int = 0
    replayed_refresh_tokens: int = 0
    families_revoked: int = 0


class Grants:
    """Everything issued so far, behind one lock; every method is one atomic step."""

    def __init__(self, clock: Callable[[], float], options: Callable[[], Options]) -> None:
        self._now = clock
        self._options = options
        self._lock = threading.Lock()
        self._codes: dict[str, Code] = {}
        self._refresh_tokens: dict[str, RefreshToken] = {}
        self._access_tokens: dict[str, AccessToken] = {}
        self._grants: list[Grant] = []
        self.tally = Tally()

    def issue_code(
        self, client: Client, account: Account, scopes: tuple[str, ...], redirect_uri: str, challenge: str
    ) -> str:
        value = secrets.token_urlsafe(32)
        grant = Grant(secrets.token_hex(8), client, account, scopes)
        expires_at = self._now() + self._options().code_ttl
        with self._lock:
            self._codes[value] = Code(
                grant=grant, redirect_uri=redirect_uri, challenge=challenge, expires_at=expires_at
            )
        return value

    def redeem(self, client: Client, value: str, redirect_uri: str, verifier: str) -> Issued:
        """Exchange a code. Its first attempt uses it up; a second one costs the grant (RFC 6749 section 4.1.2)."""
        with self._lock:
            code = self._codes.get(value)
            if code is None or not same_client(code.grant.client, client):
                raise bad_grant("the code is unknown", "code")
            if code.used:
                self._revoke_family(code.grant, counted=code.redeemed and code.grant.live)
                raise bad_grant("the code was used before", "code")
            code.used = True
            if code.expires_at <= self._now():
                raise bad_grant("the code has expired", "code")
            if redirect_uri != code.redirect_uri:
                raise bad_grant("redirect_uri is not the one of the authorization request", "redirect_uri")
            check_verifier(code.challenge, verifier)
            code.redeemed = True
            self._grants.append(code.grant)
            refresh = self._new_refresh_token(code.grant) if client.refresh_tokens else None
            return self._issued(code.grant, refresh, code.grant.scopes)

    def refresh(self, client: Client, value: str, scopes: tuple[str, ...]) -> Issued:
        """Use a refresh token; `scopes` may narrow the access token's (RFC 6749 section 6), never widen them."""
        with self._lock:
            token = self._refresh_tokens.get(value)
            if token is None or not same_client(token.grant.client, client):
                raise bad_grant("the refresh token is unknown", "refresh_token")
            self._check_alive(token)
            if not set(scopes) <= set(token.grant.scopes):
                raise Refused("invalid_scope", "scope asks for more than was granted", about="scope")
            return self._issued(token.grant, self._next(token), scopes or token.grant.scopes)

    def mint(self, customer: Customer) -> Issued:
        with self._lock:
            access = self._new_access_token(customer.system, customer.client_id, customer.account, ())
            return Issued(access, None, int(self._options().access_ttl))

    def access(self, system: str, value: str) -> AccessToken | None:
        """The access token, dead or alive; compare `expires_at` with the clock."""
        token = self._access_tokens.get(value)
        return token if token is not None and token.system == system else None

    def refresh_token(self, client: Client, value: str) -> RefreshToken | None:
        """A refresh token of `client` that would work now."""
        with self._lock:
            token = self._refresh_tokens.get(value)
            if token is None or not same_client(token.grant.client, client):
                return None
            alive = token.grant.live and token.successor is None and not self._over(token)
            return token if alive else None

    def subject(self, parameters: Parameters) -> str:
        """The id of the grant that a token request is about, if it is about one."""
        with self._lock:
            token = self._refresh_tokens.get(parameters.get("refresh_token", ""))
            code = self._codes.get(parameters.get("code", ""))
            holder = token or code
            return holder.grant.id if holder else ""

    def revoke(self, grants: Iterable[Grant], *, access_tokens_too: bool) -> int:
        with self._lock:
            living = [grant for grant in grants if grant.live]
            for grant in living:
                grant.live = False
                if access_tokens_too:
                    self._end_access(grant)
            return len(living)

    def matching(self, system: str | None, client_id: str | None, account: str | None) -> list[Grant]:
        with self._lock:
            return [
                grant
                for grant in self._grants
                if system in {None, grant.client.system}
                and client_id in {None, grant.client.client_id}
                and (account is None or grant.account.answers_to(account))
            ]

    def end_access_token(self, token: AccessToken) -> None:
        token.expires_at = min(token.expires_at, self._now())

    def expire_access_tokens(self, system: str | None) -> int:
        with self._lock:
            now = self._now()
            living = [token for token in self._access_tokens.values() if token.expires_at > now]
            chosen = [token for token in living if system in {None, token.system}]
            for token in chosen:
                token.expires_at = now
            return len(chosen)

    def live_count(self) -> int:
        """Grants that can still produce or use a token."""
        with self._lock:
            now = self._now()
            refreshable = {t.grant.id for t in self._refresh_tokens.values() if not t.successor and not self._over(t)}
            usable = {t.grant.id for t in self._access_tokens.values() if t.grant and t.expires_at > now}
            return sum(grant.live and grant.id in refreshable | usable for grant in self._grants)

    # Below, the lock is held.

    def _check_alive(self, token: RefreshToken) -> None:
        if not token.grant.live or self._over(token):
            raise bad_grant("the refresh token is invalid, expired or revoked", "refresh_token")
        if token.successor is None:
            return
        if self._now() < token.rotated_at + self._options().grace:
            self.tally.replayed_refresh_tokens += 1
            return
        self.tally.reused_refresh_tokens += 1
        self._revoke_family(token.grant, counted=True)
        raise bad_grant("the refresh token was used before; its family is revoked", "refresh_token")

    def _next(self, token: RefreshToken) -> RefreshToken:
        """The token itself without rotation, else its successor: always the same one, also for a replay."""
        if token.successor is None and self._options().rotation == "none":
            return token
        if token.successor is None:
            token.successor = self._new_refresh_token(token.grant)
            token.rotated_at = self._now()
        return token.successor

    def _over(self, token: RefreshToken) -> bool:
        return token.expires_at is not None and token.expires_at <= self._now()

    def _issued(self, grant: Grant, refresh: RefreshToken | None, scopes: tuple[str, ...]) -> Issued:
        allowed = self._options().scopes_granted
        granted = scopes if allowed is None else tuple(scope for scope in scopes if scope in allowed)
        client = grant.client
        access = self._new_access_token(client.system, client.client_id, grant.account, granted, grant)
        return Issued(access, refresh, int(self._options().access_ttl))

    def _new_access_token(
        self, system: str, client_id: str, account: Account, scopes: tuple[str, ...], grant: Grant | None = None
    ) -> AccessToken:
        token = AccessToken(
            value=SYSTEMS[system].new_access_token(),
            system=system,
            client_id=client_id,
            account=account,
            scopes=scopes,
            expires_at=self._now() + self._options().access_ttl,
            grant=grant,
        )
        self._access_tokens[token.value] = token
        return token

    def _new_refresh_token(self, grant: Grant) -> RefreshToken:
        lifetime = self._options().refresh_ttl
        token = RefreshToken(
            value=SYSTEMS[grant.client.system].new_refresh_token(),
            grant=grant,
            expires_at=None if lifetime is None else self._now() + lifetime,
        )
        self._refresh_tokens[token.value] = token
        return token

    def _revoke_family(self, grant: Grant, *, counted: bool) -> None:
        self.tally.families_revoked += counted
        grant.live = False
        self._end_access(grant)

    def _end_access(self, grant: Grant) -> None:
        for token in self._access_tokens.values():
            if token.grant is grant:
                self.end_access_token(token)


def same_client(left: Client, right: Client) -> bool:
    """Whether it is one registration, also after its secret or its scopes were changed."""
    return (left.system, left.client_id) == (right.system, right.client_id)


def bad_grant(description: str, about: str) -> Refused:
    return Refused("invalid_grant", description, about=about)
