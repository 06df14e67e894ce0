"""Find what is due and ask for it: a level-triggered sweep, most urgent first, that may be lost, doubled or late.

What an integration may not be asked now (its breaker is open, its rate is used up) stays due, and others go first.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from heapq import merge
from itertools import batched
from operator import attrgetter
from typing import Final

from consentry import log
from consentry.errors import Misconfigured
from consentry.model import Integration
from consentry.ports import Catalogue, Clock, Due, DueIndex, Integrations, RefreshQueue, StorageUnavailable
from consentry.refresh import health
from consentry.refresh.health import Breaker, Health, IntegrationRates

# As long as the queue hides a message that a worker holds. Who takes its lease, or may not ask now, ends it earlier.
ENQUEUED_SECONDS: Final = 270
_PER_MESSAGE_CALL: Final = 10
_AT_ONCE: Final = 10 * _PER_MESSAGE_CALL
_STOP_SECONDS: Final = 10
_MINUTE: Final = 60
_PARKED_LONG: Final = 6 * 3600
_FAILING: Final = frozenset({Breaker.OPEN, Breaker.HALF_OPEN})
_COUNT_EVERY_MINUTES: Final = 7  # so that eight shards are counted within the hour, one in a sweep

type Batch = tuple[Hinted, ...]
type Pool = Callable[[Callable[[Batch], int], Iterable[Batch]], Iterable[int]]


@dataclass(slots=True, kw_only=True)
class Dispatched:
    """The heartbeat: what was found, sent and held back, how late the latest is, and how integrations are doing.

    Connections that an integration's breaker or rate holds back are `parked`; those of such an integration are not
    overdue, they wait on purpose.
    """

    due: int = 0
    dispatched: int = 0
    parked: int = 0
    oldest_overdue_seconds: int = 0
    failing: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class Hinted:
    """A connection to look at after `delay` seconds."""

    due: Due
    delay: int = 0


@contextmanager
def _without_health() -> Iterator[None]:
    """Go on without what cannot be read or written: refreshing matters more."""
    try:
        yield
    except StorageUnavailable as trouble:
        log.record("integration health unavailable", {"where": "dispatch", "detail": trouble.detail}, level="error")


@dataclass(slots=True)
class RegisteredLimits:
    """What operators, or else the providers' data, say about requests a minute; the last known while nobody answers."""

    integrations: Integrations
    catalogue: Catalogue
    _known: dict[str, int] = field(default_factory=dict)

    def __call__(self) -> Mapping[str, int]:
        with _without_health():
            found = {each.id: self._of(each) for each in self.integrations.integrations()}
            self._known = {integration: limit for integration, limit in found.items() if limit}
        return self._known

    def _of(self, integration: Integration) -> int | None:
        with suppress(Misconfigured):  # an unknown provider: whoever refreshes says so
            limit = self.catalogue.provider(integration.provider).refresh.requests_per_minute
            return integration.refreshes_per_minute or limit
        return integration.refreshes_per_minute


@dataclass(slots=True)
class _Shares:
    """How many requests each integration is granted in this sweep, reserved with its first connection."""

    rates: IntegrationRates
    limits: Mapping[str, int]
    known: Mapping[str, Health]
    now: int
    seen: dict[str, int] = field(default_factory=dict)
    _left: dict[str, int] = field(default_factory=dict)
    _since: dict[str, int] = field(default_factory=dict)
    _taken: Counter[str] = field(default_factory=Counter)

    def per_minute(self, integration: str) -> int | None:
        return health.per_minute(self._health(integration), self.limits.get(integration), self.now)

    def take(self, due: Due, allowed: int) -> Hinted | None:
        """Return when the next request may follow, or None if none may.

        What an open breaker has held back for hours is looked at once an hour all the same: the worker keeps to the
        breaker, and what was disconnected has its end although nobody answers. Only its record says that it was.
        """
        integration = due.hint.key.integration
        if integration not in self._left:
            self._left[integration] = self._reserved(self._health(integration), allowed)
        if not self._left[integration]:
            return Hinted(due) if not allowed and self._is_looked_at(due) else None
        self._left[integration] -= 1
        self._taken[integration] += 1
        return Hinted(due, (self._taken[integration] - 1) * _MINUTE // allowed)

    def _is_looked_at(self, due: Due) -> bool:
        key = due.hint.key
        turn = zlib.crc32(f"{key.tenant}/{key.sort_key}".encode()) % _MINUTE
        return due.due_at + _PARKED_LONG <= self.now and self.now // _MINUTE % _MINUTE == turn

    def _health(self, integration: str) -> Health:
        return self.known.get(integration) or Health(integration=integration)

    def _reserved(self, known: Health, allowed: int) -> int:
        share = health.share(known, allowed, self.now)
        self._since[known.integration] = share.since
        with _without_health():
            taken = share.requests > 0 and self.rates.reserve(known, since=share.since, rate=allowed)
            return share.requests if taken else 0
        return share.requests

    def waited(self, integration: str, seconds: int) -> None:
        self.seen[integration] = max(self.seen.get(integration, 0), seconds)

    def longest_wait(self) -> int:
        """Leave out what waits on purpose: behind a breaker, on a ramp, or for a limit that is used up."""
        return max((seconds for integration, seconds in self.seen.items() if self._is_free(integration)), default=0)

    def _is_free(self, integration: str) -> bool:
        closed = health.breaker(self._health(integration), self.now) is Breaker.CLOSED
        return closed and self._left.get(integration, 1) > 0

    def give_back(self) -> None:
        for integration, left in self._left.items():
            with _without_health():
                if left:
                    self.rates.give_back(integration, left, reserved_at=self._since[integration])


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """`limits` are requests a minute, by integration; `pool` sends batches at once (`map`: in turn)."""

    clock: Clock
    index: DueIndex
    queue: RefreshQueue
    rates: IntegrationRates
    limits: Callable[[], Mapping[str, int]]
    shards: int
    pool: Pool = map

    def __call__(self) -> Dispatched:
        """Send what is due; what does not fit into this sweep's time, or an integration's share, stays due."""
        now = self.clock.now()
        known: dict[str, Health] = {}
        with _without_health():
            known = {each.integration: each for each in self.rates.all()}
        shares = _Shares(self.rates, self.limits(), known, now)
        told = Dispatched(held=sum(health.is_held(each, now) for each in known.values()))
        for some in batched(self._chosen(now, shares, told), _AT_ONCE, strict=False):
            told.dispatched += sum(self.pool(self._send, batched(some, _PER_MESSAGE_CALL, strict=False)))
        shares.give_back()
        told.oldest_overdue_seconds = shares.longest_wait()
        told.failing = sum(health.breaker(known[each], now) in _FAILING for each in shares.seen.keys() & known)
        self._count_connections(now, known)
        return told

    def _chosen(self, now: int, shares: _Shares, told: Dispatched) -> Iterator[Hinted]:
        """Walk through all shards, never holding more than a page of each; yield what to send."""
        for each in merge(*(self.index.due(shard, now=now) for shard in range(self.shards)), key=attrgetter("due_at")):
            if self.clock.remaining_seconds() < _STOP_SECONDS:
                return
            told.due += 1
            integration = each.hint.key.integration
            allowed = shares.per_minute(integration)
            shares.waited(integration, now - each.due_at)
            if each.enqueued_until >= now:
                continue
            hinted = Hinted(each) if allowed is None else shares.take(each, allowed)
            if hinted is None:
                told.parked += 1
            else:
                yield hinted

    def _send(self, batch: Batch) -> int:
        accepted = set(self.queue.send([(each.due.hint, each.delay) for each in batch]))
        for each in batch:
            if each.due.hint in accepted:
                self.index.mark_enqueued(each.due, until=self.clock.now() + each.delay + ENQUEUED_SECONDS)
        return len(accepted)

    def _count_connections(self, now: int, known: Iterable[str]) -> None:
        """Count one shard now and then: how many refusals are too many depends on how many connections there are."""
        turn, other_minute = divmod(now // _MINUTE % _MINUTE, _COUNT_EVERY_MINUTES)
        if other_minute or turn >= self.shards or self.clock.remaining_seconds() < _STOP_SECONDS:
            return
        found = Counter(self.index.integrations(turn))
        with _without_health():
            for integration in {*known, *found}:
                self.rates.count_connections(integration, turn, found[integration])
