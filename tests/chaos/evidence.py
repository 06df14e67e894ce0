"""What an authorization server's journal proves, and the judgement on each connection that follows from it. No I/O."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Final

# A faulted answer that arrived in full all the same.
HARMLESS: Final = frozenset({"", "delay", "delay_after"})
FUNCTION_SECONDS: Final = 45  # while the table is away, a worker may hold its tokens for so long
COMMIT_SECONDS: Final = 10  # otherwise it has long written them down
KILL_SLACK_SECONDS: Final = 1.0
ECHO_SECONDS: Final = 1.0
GONE_SECONDS: Final = 3.0
ACTIVE, REAUTH = "active", "reauth_required"
AMBIGUOUS, REVOKED = "ambiguous_rotation", "grant_revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """One refresh request as the server saw it. `together` counts those of its grant that were in flight at once."""

    at: float
    server: str
    grant: str
    token: str
    outcome: str
    fault: str = ""
    together: int = 1
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Kill:
    pid: int
    at: float
    function: str = "RefreshFunction"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantNow:
    """A refresh token's grant as the server knows it; `current` says that this token is the one to present next."""

    id: str
    live: bool
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the record of a connection says; `token` is the journal's name for the stored refresh token."""

    name: str
    status: str
    cause: str
    in_doubt: bool
    due: bool
    ended: bool
    last_error: str
    token: str
    grant: GrantNow | None


class End(StrEnum):
    """How a connection ended. The last ones are broken promises."""

    FRESH = "fresh"
    FLAGGED = "flagged"
    HELD = "held"
    IN_DOUBT = "in_doubt"
    LATE = "late"
    SILENT = "silently_dead"
    FLAGGED_ALIVE = "flagged_although_alive"
    NEEDLESS = "lost_without_need"
    WRONG_CAUSE = "wrong_cause"


SETTLED: Final = frozenset({End.FRESH, End.FLAGGED, End.HELD})
BROKEN: Final = frozenset({End.SILENT, End.FLAGGED_ALIVE, End.NEEDLESS, End.WRONG_CAUSE})


def _echoes(dropped: Presented, request: Presented) -> bool:
    return dropped.grant == request.grant and abs(dropped.at - request.at) < ECHO_SECONDS


@dataclass(frozen=True)
class Evidence:
    """Everything that the servers saw, who was killed when, and whose grant the customer revoked."""

    presented: Sequence[Presented]
    kills: Sequence[Kill] = ()
    revoked: frozenset[str] = frozenset()
    grace_seconds: dict[str, float] = field(default_factory=dict)
    table_away: Sequence[tuple[float, float]] = ()

    @cached_property
    def _by_token(self) -> dict[str, list[Presented]]:
        found: defaultdict[str, list[Presented]] = defaultdict(list)
        for each in sorted(self.presented, key=lambda each: each.at):
            found[each.token].append(each)
        return dict(found)

    @cached_property
    def _killed(self) -> dict[int, list[float]]:
        found: defaultdict[int, list[float]] = defaultdict(list)
        for kill in self.kills:
            found[kill.pid].append(kill.at)
        return dict(found)

    def was_killed(self, request: Presented) -> bool:
        """Whether the process that sent a request was killed before it can have written the answer down.

        A sender that is unknown was gone when the server looked for it.
        """
        if not request.pid:
            return any(abs(kill.at - request.at) <= GONE_SECONDS for kill in self.kills)
        return any(self._may_cut_off(at, request) for at in self._killed.get(request.pid, []))

    def _may_cut_off(self, killed_at: float, request: Presented) -> bool:
        away = any(since <= killed_at and request.at <= until for since, until in self.table_away)
        latest = FUNCTION_SECONDS if away else COMMIT_SECONDS
        return -KILL_SLACK_SECONDS <= killed_at - request.at <= latest + KILL_SLACK_SECONDS

    def delivered(self, request: Presented) -> bool:
        """Whether the tokens certainly reached a worker that could store them."""
        return request.outcome == "issued" and request.fault in HARMLESS and not self.was_killed(request)

    def overlapping(self) -> list[Presented]:
        """Requests of one grant in flight at once. A server that hung up may take a moment to notice that itself."""
        dropped = [each for each in self.presented if each.fault.startswith("drop")]
        return [
            each for each in self.presented if each.together > 1 and not any(_echoes(drop, each) for drop in dropped)
        ]

    def repeated(self) -> list[Presented]:
        """Presentations of a token whose successor had been delivered."""
        found = []
        for requests in self._by_token.values():
            done = [self.delivered(each) for each in requests]
            found += [each for number, each in enumerate(requests) if any(done[:number])]
        return found

    def lost(self, token: str) -> bool:
        """Whether the successor of a token was issued and cannot have been stored."""
        issued = [each for each in self._by_token.get(token, []) if each.outcome == "issued"]
        return bool(issued) and not any(self.delivered(each) for each in issued)

    def doubted(self, token: str) -> bool:
        """Whether a request with this token may have gone unanswered."""
        return any(each.fault not in HARMLESS or self.was_killed(each) for each in self._by_token.get(token, []))

    def too_late(self, token: str) -> bool:
        """Whether a token was presented again only after its grace; nothing is too early without one."""
        requests = self._by_token.get(token, [])
        issued = [each for each in requests if each.outcome == "issued"]
        if not issued:
            return False
        grace = self.grace_seconds.get(issued[0].server, 0)
        return requests[-1].at >= issued[0].at + grace

    def story(self, token: str) -> list[str]:
        """What happened to a token, for a person who wants to know why."""
        return [
            f"{each.at:.2f} {each.outcome} fault={each.fault or 'none'} pid={each.pid}"
            f"{' (killed)' if self.was_killed(each) else ''}"
            for each in self._by_token.get(token, [])
        ]

    def dead_grants(self) -> set[str]:
        """Grants that may be dead at the server: revoked by the customer, or by a loss that nobody could prevent."""
        return set(self.revoked) | {requests[0].grant for token, requests in self._by_token.items() if self.lost(token)}

    def judge(self, held: Held) -> End:
        """Compare a record with the truth of its grant at the server, and with what is proven about it."""
        if held.grant is None:
            return End.SILENT
        if held.status == ACTIVE:
            return self._judge_active(held, held.grant)
        alive = held.grant.live and held.grant.current
        if held.status != REAUTH or alive:
            return End.FLAGGED_ALIVE
        return self._judge_flagged(held, held.grant)

    def _judge_active(self, held: Held, grant: GrantNow) -> End:
        if not held.due:
            return End.SILENT  # nobody will ever look at it again
        if held.in_doubt:
            return End.IN_DOUBT
        if grant.live and grant.current:
            return End.LATE if held.ended else End.FRESH
        if held.last_error.startswith("gone"):
            return End.HELD  # refused, written down, and not yet believed
        return End.LATE if grant.id in self.revoked else End.SILENT

    def _judge_flagged(self, held: Held, grant: GrantNow) -> End:
        if grant.id in self.revoked:
            right = held.cause == REVOKED or (held.cause == AMBIGUOUS and self.doubted(held.token))
            return End.FLAGGED if right else End.WRONG_CAUSE
        if not (self.lost(held.token) and self.too_late(held.token)):
            return End.NEEDLESS
        return End.FLAGGED if held.cause == AMBIGUOUS else End.WRONG_CAUSE
