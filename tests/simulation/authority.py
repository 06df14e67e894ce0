"""A simulated authorization server: families of refresh tokens, reuse detection, and a count of what is under way."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from consentry.model import ConnectionKey
from consentry.oauth.provider import RefreshBehaviour, Rotation
from consentry.oauth.wire import HttpAnswer
from tests.simulation.faults import Answer

_BEFORE: Final = {
    Answer.SERVER_ERROR_BEFORE: (503, {"error": "temporarily_unavailable"}),
    Answer.TOO_MANY: (429, {"error": "slow_down"}),
    Answer.INVALID_CLIENT: (401, {"error": "invalid_client"}),
    Answer.GARBAGE_BEFORE: (200, {"hello": "world"}),
}
_AFTER: Final = {
    Answer.SERVER_ERROR_AFTER: (500, {}),
    Answer.GARBAGE_AFTER: (200, {"access_token": ""}),
}
_UNANSWERED: Final = {Answer.NEVER_ARRIVES, Answer.SILENT, Answer.LATE}
CLOSED: Final = frozenset({Answer.CLOSED_BEFORE, Answer.CLOSED_AFTER})
USER: Final = "user"
REUSE: Final = "reuse"
FAREWELL: Final = "farewell"


@dataclass(slots=True, kw_only=True)
class Family:
    """All tokens that follow from one consent. `revoked` says by what, if it is."""

    key: ConnectionKey
    behaviour: RefreshBehaviour
    lifetime: int
    live: set[str] = field(default_factory=set)
    retired: dict[str, float] = field(default_factory=dict)
    revoked: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """One access token: from which refresh token it came, and which one came with it (empty: none)."""

    family: Family
    access_token: str
    derived_from: str
    refresh_token: str
    ends_at: float


@dataclass(slots=True, kw_only=True)
class Post:
    """One refresh request. It is under way until its answer arrived, or it cannot be acted on any more."""

    key: ConnectionKey
    credential: str
    behaviour: RefreshBehaviour
    answer: Answer
    sent_at: float
    given_up_at: float
    settled_at: float
    reply: HttpAnswer | None = None
    issued: Issued | None = None
    arrived: bool = False

    @property
    def rotates(self) -> bool:
        return self.behaviour.rotation is Rotation.ROTATES

    @property
    def definite(self) -> bool:
        """Whether its sender was told that nothing was rotated."""
        return self.arrived and self.reply is not None and 400 <= self.reply.status < 500


class Authority:
    """`now` is true time. A credential is a refresh token, or a customer's secret that mints again and again."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.by_token: dict[str, Family] = {}
        self.issued: dict[str, Issued] = {}
        self.posts: list[Post] = []
        self.reused: list[Post] = []
        self.told_of_reuse: Callable[[Post], None] = lambda _post: None
        self._numbers = 0

    def consent(self, key: ConnectionKey, behaviour: RefreshBehaviour, lifetime: int) -> Issued:
        """Begin a new family for a connection."""
        family = Family(key=key, behaviour=behaviour, lifetime=lifetime)
        credential = self._number("credential" if behaviour.rotation is Rotation.REMINT else "refresh")
        family.live.add(credential)
        self.by_token[credential] = family
        return self._issue(family, "", credential)

    def revoke(self, credential: str) -> None:
        """Take the grant back, as the user of the connection may at any time."""
        family = self.by_token[credential]
        family.revoked = family.revoked or USER

    def withdraw(self, credential: str, answer: Answer) -> HttpAnswer | None:
        """Revoke as RFC 7009 has it, or fail first, or afterwards; None if no answer arrives.

        The worst server that is still correct: a token that was replaced is unknown to it, and ends nothing.
        """
        if answer in _BEFORE and answer is not Answer.GARBAGE_BEFORE:
            return _reply(*_BEFORE[answer])
        family = self.by_token[credential]
        acts = answer not in {Answer.NEVER_ARRIVES, Answer.CLOSED_BEFORE}
        if acts and (credential in family.live or family.behaviour.rotation is Rotation.NONE):
            family.revoked = family.revoked or FAREWELL
        if answer is Answer.SERVER_ERROR_AFTER:
            return _reply(*_AFTER[answer])
        return None if answer in _UNANSWERED or answer in CLOSED else _reply(200, {})

    def settle(self, post: Post) -> None:
        """Act on a request, now. Whether the reply arrives is the network's affair."""
        if post.answer in _BEFORE:
            status, body = _BEFORE[post.answer]
            headers = {"retry-after": "20"} if post.answer is Answer.TOO_MANY else {}
            post.reply = _reply(status, body, headers)
        elif post.answer not in {Answer.NEVER_ARRIVES, Answer.CLOSED_BEFORE}:
            post.reply = self._token_reply(post)
            if post.answer in _AFTER and post.issued:
                post.reply = _reply(*_AFTER[post.answer])
        if post.answer in _UNANSWERED or post.answer in CLOSED:
            post.reply = None

    def honours(self, access_token: str, at: float) -> bool:
        issued = self.issued.get(access_token)
        return issued is not None and not issued.family.revoked and at < issued.ends_at

    def is_live(self, credential: str) -> bool:
        family = self.by_token[credential]
        return not family.revoked and credential in family.live

    def _token_reply(self, post: Post) -> HttpAnswer:
        family = self.by_token[post.credential]
        if family.revoked or not self._accepts(family, post):
            rejected = "invalid_client" if family.behaviour.rotation is Rotation.REMINT else "invalid_grant"
            return _reply(401 if rejected == "invalid_client" else 400, {"error": rejected})
        post.issued = issued = self._rotated(family, post)
        body = {"access_token": issued.access_token, "token_type": "bearer", "expires_in": family.lifetime}
        if issued.refresh_token:
            body["refresh_token"] = issued.refresh_token
        return _reply(200, body)

    def _accepts(self, family: Family, post: Post) -> bool:
        """Live, or retired and within the grace; anything else is reuse and costs the family (RFC 9700, 4.14.2)."""
        if post.credential in family.live:
            return True
        grace = family.behaviour.reuse_grace_seconds
        if self.now() - family.retired[post.credential] <= grace > 0:
            return True
        family.revoked = REUSE
        self.reused.append(post)
        self.told_of_reuse(post)
        return False

    def _rotated(self, family: Family, post: Post) -> Issued:
        bare = post.answer is Answer.BARE and post.credential in family.live
        keeps = family.behaviour.rotation is not Rotation.ROTATES or bare
        if keeps:
            return self._issue(family, post.credential, "")
        if post.credential in family.live:
            family.live.remove(post.credential)
            family.retired[post.credential] = self.now()
        successor = self._number("refresh")
        family.live.add(successor)
        self.by_token[successor] = family
        return self._issue(family, post.credential, successor)

    def _issue(self, family: Family, derived_from: str, refresh_token: str) -> Issued:
        issued = Issued(
            family=family,
            access_token=self._number("access"),
            derived_from=derived_from,
            refresh_token=refresh_token,
            ends_at=self.now() + family.lifetime,
        )
        self.issued[issued.access_token] = issued
        return issued

    def _number(self, what: str) -> str:
        self._numbers += 1
        return f"{what}-{self._numbers}"


def _reply(status: int, body: object, headers: dict[str, str] | None = None) -> HttpAnswer:
    return HttpAnswer(status=status, headers=headers or {}, body=json.dumps(body).encode())
