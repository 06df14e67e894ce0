"""The authorization server of the model: rotates strictly, detects reuse, may revoke the family, may grant a replay."""

from typing import Final, NamedTuple

from consentry.refresh import policy
from tests.model.state import NO_TOKEN, Answer, State
from tests.model.variants import TICK_SECONDS

HELD_TOKEN_KILLED: Final = "held token killed"


class ProviderKind(NamedTuple):
    """`late` is for how many ticks a request that was given up may still be acted on.

    `grace` is for how many ticks after a rotation the old token may be replayed, `acts_after_close` whether a request
    may still be acted on after the connection was closed from that side.
    """

    name: str
    late: int = 2
    grace: int = 0
    revokes_family: bool = True
    acts_after_close: bool = False


STRICT: Final = ProviderKind("strict")
FORGIVING: Final = ProviderKind("long grace", grace=6)
SHORT_GRACE: Final = ProviderKind("short grace", grace=1)
REAL_TIME: Final = ProviderKind("strict real-time", late=policy.SETTLE // TICK_SECONDS)
SINGLE_USE: Final = ProviderKind("single use", revokes_family=False)


class Response(NamedTuple):
    """What comes of a request: the state after it, the answer, the new token, and the property it broke, if any."""

    state: State
    answer: Answer
    token: int = NO_TOKEN
    violation: str = ""


def act_on(state: State, token: int, kind: ProviderKind) -> Response:
    """Rotate a live token; replay one just rotated within its grace; take any other for stolen."""
    server = state.server
    if server.lives(token):
        newest = server.newest + 1
        return Response(state.with_server(server._replace(newest=newest, rotated_age=0)), Answer.ROTATED, newest)
    if not server.revoked and token == server.newest - 1 and server.rotated_age < kind.grace:
        return Response(state, Answer.ROTATED, server.newest)
    if server.revoked or not kind.revokes_family:
        return Response(state, Answer.INVALID_GRANT)
    held = state.row.token == server.newest or any(worker.holds(server.newest) for worker in state.workers)
    revoked = state.with_server(server._replace(revoked=True))
    return Response(revoked, Answer.INVALID_GRANT, violation=HELD_TOKEN_KILLED if held else "")
