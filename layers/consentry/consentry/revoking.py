"""Revoke a grant that has just arrived and has no place: it is stored nowhere, so nobody else would know of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from consentry import log
from consentry.errors import ConsentryError
from consentry.model import Secret
from consentry.oauth.provider import Provider, Revocation
from consentry.oauth.revocation import RevocationResult, parse_revocation_answer, revocation_request
from consentry.oauth.token_request import ClientIdentity
from consentry.oauth.wire import TokenRequest
from consentry.ports import Clock, NotDelivered, TokenEndpointClient, Undetermined

REVOCATION_SECONDS: Final = 5.0
_ROOM: Final = REVOCATION_SECONDS + 3 + 1  # connecting has a time of its own, and whoever waits must be answered


class Fate(StrEnum):
    """What became of a stray grant. `LEFT`: it was not asked for. `UNCONFIRMED`: it was, and may live all the same."""

    REVOKED = "revoked"
    LEFT = "left"
    UNCONFIRMED = "unconfirmed"


_LEVELS: Final[Mapping[Fate, log.Level]] = {Fate.REVOKED: "info", Fate.LEFT: "warning", Fate.UNCONFIRMED: "error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """A grant without a place. `fields` are what its log line says; `client` is called for if it is needed."""

    provider: Provider
    client: Callable[[], ClientIdentity]
    refresh_token: Secret | None = field(repr=False)
    fields: Mapping[str, object]


class _Left(Exception):
    """Nothing was asked of the provider; the text says why."""


@dataclass(frozen=True, slots=True)
class RevokeStray:
    clock: Clock
    provider_client: TokenEndpointClient

    def __call__(self, stray: Stray) -> Fate:
        """Revoke it if that surely ends nothing else. What became of it is logged and counted; nothing is raised."""
        try:
            fate, why = self._asked(stray, self._request(stray))
        except _Left as reason:
            fate, why = Fate.LEFT, str(reason)
        return _told(stray, fate, why)

    def _request(self, stray: Stray) -> TokenRequest:
        """Raise `_Left` unless the provider's data says that revoking this token ends it alone.

        Others of the same account may share a wider grant, and who receives a grant here may not ask the index.
        """
        if stray.refresh_token is None:
            raise _Left("no_refresh_token")
        if not stray.provider.revocation_url:
            raise _Left("no_revocation")
        if stray.provider.revocation is not Revocation.TOKEN:
            raise _Left("may_be_shared")
        if self.clock.remaining_seconds() < _ROOM:
            raise _Left("no_time_left")
        try:
            return revocation_request(stray.provider, stray.client(), stray.refresh_token)
        except ConsentryError as error:
            raise _Left(error.code) from None

    def _asked(self, stray: Stray, request: TokenRequest) -> tuple[Fate, str]:
        try:
            answer = self.provider_client.send(request, deadline_seconds=REVOCATION_SECONDS)
        except NotDelivered as error:
            return Fate.UNCONFIRMED, f"not_delivered_{error}"
        except Undetermined as error:
            return Fate.UNCONFIRMED, str(error)
        found = parse_revocation_answer(stray.provider, answer, now=self.clock.now())
        if found.result is RevocationResult.ENDED:
            return Fate.REVOKED, ""
        return Fate.UNCONFIRMED, f"http_{answer.status}"  # its words may repeat the token


def leave(stray: Stray, why: str) -> Fate:
    """Say that a grant was left where it is, because it may be stored after all."""
    return _told(stray, Fate.LEFT, why)


def _told(stray: Stray, fate: Fate, why: str) -> Fate:
    log.record("stray grant", {**stray.fields, "outcome": fate, "detail": why}, level=_LEVELS[fate])
    log.count("StrayGrants", outcome=fate.value)
    return fate
