"""One run of the real engine over many virtual days: what happens when, and the report."""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Final

from consentry.model import ConnectionKey
from tests.days.fleet import Fleet
from tests.days.plan import DAY, HOUR, MINUTE, Plan, Service
from tests.days.providers import Ended, Mood

_REST: Final = 3 * HOUR
_DRAIN: Final = 600.0
_COMES_BACK_AFTER: Final = 1.5 * DAY
_COMES_BACK: Final = 0.5


class Month:
    """A fleet and its people.

    `progress` tells of each day on standard error; `until` names a promise that ends the run as soon as it is broken.
    """

    def __init__(self, plan: Plan, *, progress: bool = False, until: str = "") -> None:
        self.plan = plan
        self.fleet = Fleet(plan)
        self._progress = progress
        self._until = until
        self._random = Random(f"people {plan.seed}")  # noqa: S311 - a month that can be repeated
        self._lives: dict[ConnectionKey, tuple[Service, int | None]] = {}
        self._keys: list[ConnectionKey] = []
        self._ticking = True

    def run(self) -> dict[str, Any]:
        """Run to the end; return the report. `broken` in it is empty if all promises were kept."""
        wall, cpu = time.perf_counter(), time.process_time()
        with self.fleet.observed():
            self._live()
        report = self._report()
        report["seconds"] = round(time.perf_counter() - wall, 1)
        report["cpu_seconds"] = round(time.process_time() - cpu, 1)
        return report

    def _live(self) -> None:
        timeline, plan, watch = self.fleet.timeline, self.plan, self.fleet.watch
        self._connect_all()
        timeline.at(timeline.now + MINUTE, self._minute)
        self._later(self._pause(plan.connections * plan.looks_a_day), self._look)
        self._later(plan.people.start, self._revoke)
        enough = (lambda: self._until in watch.broken) if self._until else None
        timeline.run(self.fleet.began + plan.span + _REST, enough=enough)
        if enough and enough():
            return
        watch.settled()
        self._ticking = False
        timeline.run(timeline.now + _DRAIN)
        watch.require(not self.fleet.hints.open, "a message that never ends", self.fleet.hints.open)
        watch.require(not self.fleet.kept.open, "something waits in escrow", self.fleet.kept.open)
        watch.require(not self.fleet.hints.dead_letters, "dead letters", len(self.fleet.hints.dead_letters))

    def _connect_all(self) -> None:
        of_service: Counter[str] = Counter()
        for number, service in enumerate(self.plan.placed()):
            lifetime = service.lifetimes[of_service[service.id] % len(service.lifetimes)]
            of_service[service.id] += 1
            key = ConnectionKey(f"tenant{number}", service.id)
            self._lives[key] = service, lifetime
            self._keys.append(key)
            within = min(lifetime or HOUR, 0.03 * self.plan.span)
            self._later(self._random.random() * within, partial(self.fleet.connect, key, service, lifetime))

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        self.fleet.timeline.at(self.fleet.timeline.now + seconds, act)

    def _pause(self, a_day: float) -> float:
        return self._random.expovariate(a_day / DAY)

    def _minute(self) -> None:
        if not self._ticking:
            return
        fleet = self.fleet
        self._later(MINUTE, self._minute)
        fleet.watch.minute()
        fleet.tick()
        minutes = round(fleet.elapsed) // MINUTE
        if minutes % 60 == 0:
            fleet.timeline.tidy()
        if self._progress and minutes % (24 * 60) == 0:
            done, broken = fleet.watch.counts["refreshes"], fleet.watch.broken.total()
            sys.stderr.write(f"day {minutes // 1440} of {self.plan.days:g}: {done} refreshes, {broken} broken\n")

    def _look(self) -> None:
        if self._ticking:
            self._later(self._pause(self.plan.connections * self.plan.looks_a_day), self._look)
        key = self._random.choice(self._keys)
        row = self.fleet.dynamo.rows.get((key.tenant, key.sort_key))
        if row and self.fleet.watch.look(key, row):
            self.fleet.force(key, int(row["gen"]["N"]))

    def _revoke(self) -> None:
        """A customer takes the grant back, and perhaps connects again later."""
        fleet = self.fleet
        if not self.plan.people.holds(fleet.elapsed):
            return
        self._later(self._pause(self.plan.revocations_a_day), self._revoke)
        key = self._random.choice(self._keys)
        if key in fleet.watch.grants and key not in fleet.watch.flagged and not fleet.watch.grants[key].ended:
            fleet.providers.end(fleet.watch.grants[key], Ended.CUSTOMER)
            fleet.watch.counts["customers revoke"] += 1
            if self._random.random() < _COMES_BACK:
                self._later(_COMES_BACK_AFTER, partial(self._come_back, key))

    def _come_back(self, key: ConnectionKey) -> None:
        if key in self.fleet.watch.flagged:
            self.fleet.watch.counts["customers come back"] += 1
            self.fleet.connect(key, *self._lives[key])

    def _report(self) -> dict[str, Any]:
        fleet, plan = self.fleet, self.plan
        watch = fleet.watch
        return {
            "seed": plan.seed,
            "connections": plan.connections,
            "days": plan.days,
            "broken": dict(watch.broken),
            "examples": watch.examples,
            **watch.told(),
            "revoked_and_not_flagged_yet": watch.revoked_and_not_flagged(),
            "most_messages_waiting": fleet.hints.most,
            "storage_calls_that_failed": dict(fleet.failed_calls),
            "calibration": self._calibration(),
        }

    def _calibration(self) -> dict[str, Any]:
        """Return what the load model needs to know of the engine."""
        watch, calls = self.fleet.watch, self.fleet.calls
        by_kind: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for (kind, port, name), count in sorted(calls.items()):
            by_kind[kind][f"{port}.{name}"] = count
        messages = watch.counts["invocations hinted"]
        well = watch.moods[Mood.WELL]
        return {
            "requests_per_refresh": round(watch.moods.total() / max(1, watch.counts["refreshes"]), 4),
            "requests_failed_when_well": round(max(0.0, 1 - watch.counts["refreshes"] / max(1, well)), 5),
            "messages_handled": messages,
            "worker_seconds_per_message": round(watch.worker_seconds["hinted"] / max(1, messages), 4),
            "calls": by_kind,
        }
