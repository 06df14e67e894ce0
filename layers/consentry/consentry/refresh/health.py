"""How an integration as a whole is doing: its breaker, its ramp, its mass-failure hold, and its rate.

Pure functions of what is on record and of the clock. Times are epoch seconds; where nothing is on record, all is well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

_OPEN_FIRST: Final = 30
_OPEN_LAST: Final = 600
_RAMP_FIRST: Final = 10
_RAMP_SECONDS: Final = 600
_PROBES_PER_MINUTE: Final = 3
_MINUTE: Final = 60
_EARLY_SECONDS: Final = 2
_LIMITED_SECONDS: Final = 120
_WINDOWS: Final = (3, 4, 5, 6)
PROBE_SECONDS: Final = 60  # as long as a lease: whoever probes is not running any more after it


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is on record about one integration.

    Breaker: `failed` and `succeeded` count requests since `window_at`; nobody asks before `open_until`; `opened` counts
    openings in a row, `recovered_at` is when the provider answered again. The provider itself asked for quiet until
    `paused_until`. Hold: `gone` counts connections whose grant the provider
    refused since `gone_at`; it lasts until `hold_until`, and an operator may end it until `released_until`.
    `connections` is how many the integration has, as of the last count. Rate: `budget` requests were left, and more
    gather since `budget_at`; `rate` is how many a minute the last sweep allowed.
    """

    integration: str
    window_at: int = 0
    failed: int = 0
    succeeded: int = 0
    open_until: int = 0
    opened: int = 0
    recovered_at: int = 0
    paused_until: int = 0
    gone_at: int = 0
    gone: int = 0
    hold_until: int = 0
    released_until: int = 0
    connections: int = 0
    budget: int = 0
    budget_at: int = 0
    rate: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When an integration counts as failing, and when as refusing its connections by mistake.

    A hold ends `hold_seconds` after the last time that so many were refused at once.
    """

    window_seconds: int = 60
    least_failures: int = 10
    failing_share: float = 0.5
    gone_window_seconds: int = 600
    least_gone: int = 20
    gone_share: float = 0.05
    hold_seconds: int = 24 * 3600


class IntegrationHealth(Protocol):
    """What workers say and ask about integrations: one record each, single conditional writes only."""

    def read(self, integration: str) -> Health:
        """Eventually consistent; an integration without a record is well."""

    def count_failure(self, integration: str, *, succeeded: int, now: int, since: int) -> Health:
        """Count one failure, and successes that were not told yet; what began before `since` no longer counts."""

    def count_gone(self, integration: str, *, now: int, since: int) -> Health:
        """Count one connection whose grant was refused, likewise."""

    def pause(self, integration: str, *, until: int) -> Health:
        """Let nobody ask before `until`; a later time stands."""

    def open(self, integration: str, *, until: int, opened: int, now: int) -> bool:
        """Open the breaker unless it is; begin to count anew. Return whether it was this call."""

    def take_probe(self, integration: str, *, now: int, until: int) -> bool:
        """Become the one who tries, unless somebody else is."""

    def take_turn(self, integration: str, *, window: int, most: int) -> bool:
        """Be one of at most so many in the window that began then; a later window ends it."""

    def recover(self, integration: str, *, now: int) -> None:
        """The provider answers again: from now on a little more each minute."""

    def hold(self, integration: str, *, until: int, now: int) -> bool:
        """Believe no refusal before `until`; return whether this call began it."""

    def release(self, integration: str, *, until: int) -> None:
        """End the hold; none begins before `until`."""


class IntegrationRates(Protocol):
    """What the dispatcher asks about all integrations, and how it shares out their requests."""

    def all(self) -> Sequence[Health]: ...

    def reserve(self, health: Health, *, since: int, rate: int) -> bool:
        """Take all that has gathered, unless another dispatcher did; what is not needed is given back.

        Workers keep to `rate` from then on.
        """

    def give_back(self, integration: str, left: int, *, reserved_at: int) -> None:
        """Leave what was not needed, unless somebody reserved again since."""

    def count_connections(self, integration: str, shard: int, connections: int) -> None:
        """Note how many connections of the integration a shard of the index holds."""


class Breaker(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    RAMP = "ramp"


def breaker(health: Health, now: int) -> Breaker:
    if max(health.open_until, health.paused_until) > now:
        return Breaker.OPEN
    if health.opened and health.recovered_at < health.open_until:
        return Breaker.HALF_OPEN
    if health.opened and now < health.recovered_at + _RAMP_SECONDS:
        return Breaker.RAMP
    return Breaker.CLOSED


def per_minute(health: Health, rate: int | None, now: int) -> int | None:
    """Return how many requests a minute may be sent; None is any number.

    After a recovery, twice as many each minute, until the ramp is over.
    """
    state = breaker(health, now)
    if state is Breaker.OPEN:
        return 0
    if state is Breaker.CLOSED:
        return rate
    allowed = _PROBES_PER_MINUTE
    if state is Breaker.RAMP:
        allowed = _RAMP_FIRST << (max(0, now - health.recovered_at) // _MINUTE)
    return allowed if rate is None else min(allowed, rate)


@dataclass(frozen=True, slots=True)
class Share:
    """How many requests may be sent in this sweep, and the moment from which the next ones gather."""

    requests: int
    since: int


def share(health: Health, allowed: int, now: int) -> Share:
    """Return what has gathered since, at most a minute's worth; a sweep that is two seconds early counts as on time."""
    elapsed = now - health.budget_at
    early = _MINUTE - elapsed if _MINUTE - _EARLY_SECONDS <= elapsed < _MINUTE else 0
    gathered = min(allowed * _MINUTE, health.budget * _MINUTE + (elapsed + early) * allowed)
    requests = max(0, gathered // _MINUTE)
    return Share(requests, now + early - (gathered - requests * _MINUTE) // max(allowed, 1))


@dataclass(frozen=True, slots=True)
class Turns:
    """At most so many requests in each window of so many seconds, whoever sends them."""

    most: int
    seconds: int

    def window(self, now: int) -> int:
        return now - now % self.seconds


def turns(health: Health, now: int) -> Turns | None:
    """Return what the limit of the last sweeps means for a worker, None if there was none.

    Windows are short, so that a backlog that comes through at once is spread again: no minute sees more than one
    window above the limit. Their length is the one that loses least of it.
    """
    if not health.rate or now > health.budget_at + _LIMITED_SECONDS:
        return None
    if health.rate < _MINUTE // _WINDOWS[0]:
        return Turns(1, -(-_MINUTE // health.rate))
    seconds = max(_WINDOWS, key=lambda each: health.rate * each // _MINUTE / each)
    return Turns(health.rate * seconds // _MINUTE, seconds)


def is_failing(health: Health, limits: Limits) -> bool:
    asked = health.failed + health.succeeded
    return health.failed >= limits.least_failures and health.failed >= limits.failing_share * asked


@dataclass(frozen=True, slots=True)
class Opening:
    until: int
    opened: int


def opening(health: Health, now: int, fraction: float) -> Opening:
    """Return how long to leave the provider alone: longer each time that it fails again before its ramp is over."""
    opened = 1 if breaker(health, now) is Breaker.CLOSED else health.opened + 1
    pause = min(_OPEN_LAST, _OPEN_FIRST << min(opened - 1, 8))
    # A request that was under way before is over when the first pause is: it is not taken for a probe.
    return Opening(now + int(pause * (0.9 + fraction / 5)), opened)


def is_refusing(health: Health, limits: Limits) -> bool:
    """Whether so many connections turned `gone` that a mistake is likelier than so many customers."""
    return health.gone >= limits.least_gone and health.gone > limits.gone_share * health.connections


def is_held(health: Health, now: int) -> bool:
    return health.hold_until > now and not is_released(health, now)


def is_released(health: Health, now: int) -> bool:
    return health.released_until > now
