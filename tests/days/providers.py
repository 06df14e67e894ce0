"""The authorization servers of all integrations: grants, rotation, reuse detection, disuse, and their bad days.

A token's text says which grant it belongs to, so that nothing has to be remembered about tokens that are over.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from consentry.model import ConnectionKey
from consentry.oauth.provider import RefreshBehaviour, Rotation
from consentry.oauth.wire import HttpAnswer

_REMEMBERED: Final = 4


class Mood(StrEnum):
    """How a provider treats everybody at the moment."""

    WELL = "well"
    FAILING = "failing"
    SILENT = "silent"
    MISTAKEN = "mistaken"


class Ended(StrEnum):
    """By what a grant ended."""

    CUSTOMER = "customer"
    REUSE = "reuse"
    DISUSE = "disuse"


@dataclass(slots=True, kw_only=True)
class Grant:
    """What one consent allowed. `busy_until`: an unanswered request may be acted on until then."""

    number: int
    key: ConnectionKey
    behaviour: RefreshBehaviour
    lifetime: int | None
    used_at: float
    serial: int = 0
    retired: dict[int, float] = field(default_factory=dict)
    ended: Ended | None = None
    ended_at: float = 0.0
    busy_until: float = 0.0
    doubted: bool = False

    @property
    def credential(self) -> str:
        return f"grant-{self.number}-{self.serial}"

    @property
    def rotates(self) -> bool:
        return self.behaviour.rotation is Rotation.ROTATES


class Providers:
    """`now` is true time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.grants: list[Grant] = []

    def consent(self, key: ConnectionKey, behaviour: RefreshBehaviour, lifetime: int | None) -> Grant:
        grant = Grant(number=len(self.grants), key=key, behaviour=behaviour, lifetime=lifetime, used_at=self.now())
        self.grants.append(grant)
        return grant

    def grant_of(self, token: str) -> Grant:
        """Return the grant of a credential or of an access token."""
        return self.grants[int(token.split("-")[1])]

    def end(self, grant: Grant, by: Ended) -> None:
        if grant.ended is None:
            grant.ended, grant.ended_at = by, self.now()

    def is_live(self, credential: str) -> bool:
        grant = self.grant_of(credential)
        return grant.ended is None and credential == grant.credential

    def access_token(self, grant: Grant) -> str:
        ends = "" if grant.lifetime is None else str(int(self.now() + grant.lifetime))
        return f"access-{grant.number}-{ends}"

    @staticmethod
    def ends_at(access_token: str) -> float:
        return float(access_token.split("-")[2] or "inf")

    def answer(self, credential: str, mood: Mood) -> HttpAnswer:
        """Act on a refresh request, now."""
        if mood is Mood.FAILING:
            return _reply(503, {"error": "temporarily_unavailable"})
        grant = self.grant_of(credential)
        if mood is Mood.MISTAKEN or not self._accepts(grant, credential):
            remint = grant.behaviour.rotation is Rotation.REMINT
            return _reply(*((401, {"error": "invalid_client"}) if remint else (400, {"error": "invalid_grant"})))
        grant.used_at = self.now()
        body: dict[str, object] = {"access_token": self.access_token(grant), "token_type": "bearer"}
        if grant.lifetime is not None:
            body["expires_in"] = grant.lifetime
        if grant.rotates:
            body["refresh_token"] = self._rotated(grant, int(credential.split("-")[2]))
        return _reply(200, body)

    def _accepts(self, grant: Grant, credential: str) -> bool:
        idle = grant.behaviour.idle_lifetime_seconds
        if idle is not None and self.now() - grant.used_at > idle:
            self.end(grant, Ended.DISUSE)
        if grant.ended:
            return False
        serial = int(credential.split("-")[2])
        if serial == grant.serial:
            return True
        if self.now() - grant.retired.get(serial, 0.0) <= grant.behaviour.reuse_grace_seconds:
            return True
        self.end(grant, Ended.REUSE)
        return False

    def _rotated(self, grant: Grant, presented: int) -> str:
        if presented == grant.serial:
            grant.retired[presented] = self.now()
            grant.retired = dict(list(grant.retired.items())[-_REMEMBERED:])
        grant.serial += 1
        return grant.credential


def _reply(status: int, body: object) -> HttpAnswer:
    return HttpAnswer(status=status, headers={}, body=json.dumps(body).encode())
