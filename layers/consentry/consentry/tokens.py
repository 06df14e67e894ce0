"""How a token answer becomes part of a record: sealed under keys obtained beforehand, with the time to look again."""

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from consentry.errors import UnreadableRecord
from consentry.model import ConnectionKey, Field, Secret, skew_seconds
from consentry.oauth.provider import Provider
from consentry.oauth.wire import TokenGrant
from consentry.ports import Envelopes, SealingKey

# Refresh between half and three quarters of a token's life: early enough to survive an outage, spread so that
# connections made together do not come due together. Short lives leave less choice: a tick of the schedule (60 s) and
# a worker's whole life (45 s) must still fit in before readers stop being served.
_EARLIEST: Final = 1 / 2
_LATEST: Final = 3 / 4
_ROOM_SECONDS: Final = 60 + 45
_SHORT_LIFE_EARLIEST: Final = 2 / 3
_WARN_SECONDS: Final = 30 * 24 * 3600
_LONGEST_KEY: Final = 1024


def warning_at(grant_expires_at: int | None) -> int | None:
    """Return when to tell a customer that a grant ends which cannot be prolonged: thirty days before."""
    return None if grant_expires_at is None else grant_expires_at - _WARN_SECONDS


@dataclass(frozen=True, slots=True)
class SealingKeys:
    """Data keys for one connection's two ciphertexts, obtained before the provider is asked for anything."""

    access_token: SealingKey
    grant: SealingKey

    @classmethod
    def obtain(cls, envelopes: Envelopes, key: ConnectionKey) -> Self:
        """Two KMS calls."""
        return cls(
            envelopes.sealing_key(key.encryption_context(Field.ACCESS_TOKEN)),
            envelopes.sealing_key(key.encryption_context(Field.GRANT)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """What decides when to look at a connection again.

    `min_refresh_seconds` keeps short-lived tokens from looping; `idle_seconds` is how long the provider keeps a refresh
    token that nobody uses, if it says so; `warn_at` is when the customer should be told that the grant ends.
    """

    key: ConnectionKey
    now: int
    min_refresh_seconds: int
    refreshable: bool
    idle_seconds: int | None = None
    warn_at: int | None = None

    def due_at(self, life_seconds: int | None, grant_life_seconds: int | None = None) -> int | None:
        """Return the stable, spread-out time to refresh, or the expiry of what cannot be refreshed.

        A refresh token is used before half of its own life has passed, even if the access token lives longer.
        """
        if not self.refreshable:
            return None if life_seconds is None else self.now + life_seconds
        waits = [self._wait(life_seconds)] if life_seconds is not None else []
        waits += [each // 2 for each in (grant_life_seconds, self.idle_seconds) if each is not None]
        waits += [] if self.warn_at is None else [self.warn_at - self.now]
        return self.now + max(min(waits), self.min_refresh_seconds) if waits else None

    def _wait(self, life: int) -> int:
        room = min(_ROOM_SECONDS, life / 2)
        latest = min(life * _LATEST, life - skew_seconds(life) - room)
        earliest = min(life * _EARLIEST, latest * _SHORT_LIFE_EARLIEST)
        spread = zlib.crc32(f"{self.key.tenant}|{self.key.sort_key}".encode()) / 2**32
        return int(earliest + (latest - earliest) * spread)


def token_attributes(
    tokens: TokenGrant, keys: SealingKeys, lifetime: Lifetime
) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return the record's attributes that follow from the answer, and the names of those that end with it.

    What the answer does not mention stays as it is: an absent refresh token never erases the stored one (RFC 6749
    section 6).
    """
    attributes: dict[str, object] = {
        "access_token": keys.access_token.seal(tokens.access_token),
        "token_type": tokens.token_type,
        "refreshed_at": lifetime.now,
    }
    if tokens.refresh_token is not None:
        attributes["grant"] = keys.grant.seal(grant_payload({"refresh_token": tokens.refresh_token}))
    if tokens.scopes is not None:
        attributes["scopes"] = list(tokens.scopes)
    due_at = lifetime.due_at(tokens.expires_in_seconds, tokens.refresh_expires_in_seconds)
    if due_at is not None:
        attributes["due_at"] = due_at
    if tokens.expires_in_seconds is None:
        return attributes, ("expires_at",)
    return attributes | {"expires_at": lifetime.now + tokens.expires_in_seconds}, ()


def client_account(provider: Provider, client_id: str, account: str) -> str:
    """Return what connections of one client and account have in common; short enough for the key of an index.

    They meet at the token endpoint's host, not at a provider file: two files may describe one application's clients.
    """
    host = urlsplit(provider.token.url).netloc
    whole = f"{host}|{client_id}|{account}"
    return whole if len(whole.encode()) <= _LONGEST_KEY else f"{host}|{hashlib.sha256(whole.encode()).hexdigest()}"


def grant_payload(secrets: Mapping[str, Secret]) -> Secret:
    """Return what the attribute `grant` holds: a JSON object of secrets by name."""
    return Secret(json.dumps({name: secret.reveal() for name, secret in secrets.items()}, ensure_ascii=False))


def grant_secrets(payload: Secret) -> dict[str, Secret]:
    """Read what `grant_payload` wrote; raise `UnreadableRecord` if it is anything else."""
    try:
        values = json.loads(payload.reveal())
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise _unreadable("grant is not a JSON object")
    return {name: Secret(value) for name, value in values.items() if isinstance(value, str)}


def stored_refresh_token(secrets: Mapping[str, Secret]) -> Secret:
    """Return the refresh token of a grant; raise `UnreadableRecord` if it has none."""
    if token := secrets.get("refresh_token"):
        return token
    raise _unreadable("grant has no refresh token")


def _unreadable(detail: str) -> UnreadableRecord:
    return UnreadableRecord("The stored grant cannot be read. The operator's log has the reason.", detail=detail)
