"""Keep one integration's trouble from becoming everybody's: breaker, pause and mass-failure hold, as workers see them.

Nothing here may stop a refresh because it failed itself: what cannot be read counts as well, what cannot be written is
logged. A success costs no call; it is told together with the next failure.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Final

from consentry import log
from consentry.oauth.wire import FailureClass
from consentry.ports import Clock, Randomness, StorageUnavailable
from consentry.refresh import health
from consentry.refresh.health import PROBE_SECONDS, Breaker, Health, IntegrationHealth, Limits, Turns
from consentry.refresh.policy import GUARD, Refusal

_REMEMBERED_SECONDS: Final = 10
_WINDOWS_WAITED: Final = 2
# In tenths of a repeat: each success earns one of them.
_REPEAT: Final = 10
_CREDIT_FIRST: Final = 3 * _REPEAT
_CREDIT_MOST: Final = 10 * _REPEAT
_FAILURES: Final = frozenset({FailureClass.OPERATOR, FailureClass.LATER, FailureClass.IN_DOUBT})


@dataclass(slots=True, kw_only=True)
class Guard:
    """One for each process; safe to use from several threads."""

    clock: Clock
    randomness: Randomness
    records: IntegrationHealth
    limits: Limits = field(default_factory=Limits)
    _known: dict[str, tuple[int, Health]] = field(default_factory=dict)
    _succeeded: dict[str, tuple[int, int]] = field(default_factory=dict)
    _credit: dict[str, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def admits(self, integration: str) -> bool:
        """Whether the provider may be asked now; while it recovers, one at a time may try."""
        now = self.clock.now()
        breaker = health.breaker(self._health(integration), now)
        if breaker is Breaker.HALF_OPEN:
            with self._recorded("take probe"):
                return self.records.take_probe(integration, now=now, until=now + PROBE_SECONDS)
        return breaker is not Breaker.OPEN

    def takes_turn(self, integration: str) -> bool:
        """Whether a request may be sent at once, if the integration has a limit; wait for the next window at most."""
        allowed = health.turns(self._remembered(integration), self.clock.now())
        return allowed is None or self._takes_turn(integration, allowed)

    def _takes_turn(self, integration: str, allowed: Turns) -> bool:
        for _ in range(_WINDOWS_WAITED):
            now = self.clock.now()
            window = allowed.window(now)
            taken = True
            with self._recorded("take turn"):
                taken = self.records.take_turn(integration, window=window, most=allowed.most)
            if taken:
                return True
            if self.clock.remaining_seconds() < GUARD + allowed.seconds:
                return False
            self.clock.sleep(window + allowed.seconds - now)
        return False

    def may_repeat(self, integration: str) -> bool:
        """Whether a request may be repeated at once: after the first few, one for ten that went well."""
        with self._lock:
            credit = self._credit.get(integration, _CREDIT_FIRST)
            self._credit[integration] = credit - _REPEAT if credit >= _REPEAT else credit
            return credit >= _REPEAT

    def succeeded(self, integration: str) -> None:
        """Count a request that brought tokens."""
        now = self.clock.now()
        with self._lock:
            began, count = self._succeeded.get(integration, (now, 0))
            is_old = began + self.limits.window_seconds < now
            self._succeeded[integration] = (now, 1) if is_old else (began, count + 1)
            self._credit[integration] = min(_CREDIT_MOST, self._credit.get(integration, _CREDIT_FIRST) + 1)
        self._answered(integration)

    def _answered(self, integration: str) -> None:
        """The provider answers, whatever it says; if it was being tried, it has recovered."""
        now, known = self.clock.now(), self._health(integration)
        if health.breaker(known, now) is Breaker.HALF_OPEN:
            with self._recorded("recover"):
                self.records.recover(integration, now=now)
            self._remember(replace(known, recovered_at=now))
            log.record("integration recovers", {"integration": integration})

    def failed(self, integration: str, refusal: Refusal) -> None:
        """Count a request that brought nothing; leave the provider alone after too many, or if it says so."""
        if refusal.kind not in _FAILURES:
            self._answered(integration)
            return
        now = self.clock.now()
        with self._recorded("count failure"):
            if refusal.retry_after_seconds:
                self._remember(self.records.pause(integration, until=now + refusal.retry_after_seconds))
            since = now - self.limits.window_seconds
            succeeded = self._succeeded_since(integration, since)
            found = self.records.count_failure(integration, succeeded=succeeded, now=now, since=since)
            self._told(integration, succeeded)
            if health.is_failing(found, self.limits) or health.breaker(found, now) is Breaker.HALF_OPEN:
                self._open(found, now, refusal)

    def holds(self, integration: str, *, first: bool, hurried: bool) -> bool:
        """Count a grant that was refused (`first`: not held before); return whether not to believe it yet.

        `hurried`: there is no time to ask what is on record; what this process remembers decides.
        """
        now = self.clock.now()
        if hurried:
            return health.is_held(self._remembered(integration), now) or not first
        with self._recorded("count gone"):
            since = now - self.limits.gone_window_seconds
            counted = self.records.count_gone(integration, now=now, since=since) if first else None
            found = counted or self.records.read(integration)
            held = health.is_held(found, now)
            if not first or health.is_released(found, now):
                return held
            if health.is_refusing(found, self.limits):
                if self.records.hold(integration, until=now + self.limits.hold_seconds, now=now):
                    fields = {"integration": integration, "count": found.gone}
                    log.record("integration held: too many connections refused at once", fields, level="critical")
                return True
            return held
        return not first

    def _open(self, found: Health, now: int, refusal: Refusal) -> None:
        opening = health.opening(found, now, self.randomness.fraction())
        opened = self.records.open(found.integration, until=opening.until, opened=opening.opened, now=now)
        self._remember(replace(found, open_until=opening.until, opened=opening.opened))
        if opened:
            error = f"{refusal.kind}:{refusal.error}"
            fields = {"integration": found.integration, "count": found.failed, "error": error}
            log.record("integration failing: breaker open", fields, level="error")

    def _health(self, integration: str) -> Health:
        now = self.clock.now()
        with self._lock:
            read_at, known = self._known.get(integration, (0, Health(integration=integration)))
        if read_at + _REMEMBERED_SECONDS > now:
            return known
        with self._recorded("read health"):
            known = self.records.read(integration)
        self._remember(known)  # what was known before, if it cannot be read: silence is not waited for at each refresh
        return known

    def _remember(self, known: Health) -> None:
        with self._lock:
            self._known[known.integration] = (self.clock.now(), known)

    def _remembered(self, integration: str) -> Health:
        with self._lock:
            return self._known.get(integration, (0, Health(integration=integration)))[1]

    def _succeeded_since(self, integration: str, since: int) -> int:
        with self._lock:
            began, count = self._succeeded.get(integration, (since, 0))
            return count if began >= since else 0

    def _told(self, integration: str, succeeded: int) -> None:
        with self._lock:
            began, count = self._succeeded.get(integration, (0, 0))
            self._succeeded[integration] = (began, max(0, count - succeeded))

    @contextmanager
    def _recorded(self, what: str) -> Iterator[None]:
        try:
            yield
        except StorageUnavailable as trouble:
            log.record("integration health unavailable", {"where": what, "detail": trouble.detail}, level="error")
