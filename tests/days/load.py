"""A MODEL of a large deployment, without the engine: one integration, one kind of token, sweeps, a queue, workers.

Its rules are the code's own (breaker, ramp, share of a minute, pauses, spread of due times, marks of the dispatcher),
its rates are counted on a run of the real engine, and its service times are assumed (`capacity.Assumptions`).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from random import Random
from typing import Any, Final

from consentry.model import Connection, ConnectionKey, Grant, Status, skew_seconds
from consentry.refresh import health
from consentry.refresh.dispatch import ENQUEUED_SECONDS
from consentry.refresh.health import PROBE_SECONDS, Breaker, Health, Limits, Share
from consentry.refresh.policy import CALL, backoff_seconds
from consentry.tokens import Lifetime
from tests.days.capacity import Capacity
from tests.days.plan import HOUR, MINUTE, Window
from tests.days.watch import LATE, allowed_in_a_minute

_START: Final = 1_800_000_000
_WARM: Final = HOUR
_NONE: Final = Window(0, 0)
_LOOKS: Final = 20  # a minute
_RECORD: Final = Connection(
    key=ConnectionKey("tenant", "model"),
    provider="model",
    grant_type=Grant.AUTHORIZATION_CODE,
    status=Status.ACTIVE,
    gen=1,
    epoch=1,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of the deployment. `urgent_first` and `capped` are there to be switched off by tests."""

    connections: int = 100_000
    lifetime: int = HOUR
    cap: int = 20_000
    seed: int = 1
    retried: float = 0.0
    urgent_first: bool = True
    capped: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """After a warm-up: a provider that is down (503 for half of the time, then silence), or no sweeps."""

    name: str
    outage: Window = _NONE
    silence: Window = _NONE
    after: float = 3 * HOUR

    @property
    def trouble(self) -> Window:
        return self.outage if self.outage.seconds else self.silence


def scenarios(outage: float = 24 * HOUR, silence: float = 6 * HOUR) -> tuple[Scenario, ...]:
    return (
        Scenario(name="provider outage", outage=Window(_WARM, _WARM + outage)),
        Scenario(name="dispatcher outage", silence=Window(_WARM, _WARM + silence)),
    )


@dataclass(slots=True)
class Measures:
    """`queue` is its length by minute, where it is not empty; the rest are sums and extremes over the whole."""

    requests: int = 0
    requests_in_outage: int = 0
    refreshes: int = 0
    vain_hints: int = 0
    refused_minutes: float = 0.0
    expired_served: int = 0
    out_of_order: int = 0
    most_in_a_minute: int = 0
    most_waiting: int = 0
    latest_when_well: int = 0
    caught_up: float | None = None
    looks: int = 0
    looks_refused: int = 0
    queue: dict[int, int] = field(default_factory=dict)


class Model:
    """Seconds of virtual time; a sweep each minute, and in each second as many messages as the workers can handle."""

    def __init__(self, load: Load, capacity: Capacity, scenario: Scenario) -> None:
        self.load = load
        self.capacity = capacity
        self.scenario = scenario
        self.measures = Measures()
        self._random = Random(load.seed)  # noqa: S311 - a run that can be repeated
        self._waits = [self._wait(number) for number in range(load.connections)]
        self._began = [_START - int(wait * self._random.random()) for wait in self._waits]
        self._natural = [began + wait for began, wait in zip(self._began, self._waits, strict=True)]
        self._failures = [0] * load.connections
        self._not_before = [0] * load.connections
        self._marked = [0] * load.connections
        self._due = [(due_at, number) for number, due_at in enumerate(self._natural)]
        heapify(self._due)
        self._hints: deque[tuple[float, int]] = deque()
        self._sent: list[tuple[float, int]] = []
        self._asked: deque[float] = deque()
        self._health = Health(integration="model")
        self._probe_until = 0
        self._skew = skew_seconds(load.lifetime)
        self._spare = 0.0
        self._window = self._turns = 0

    def _wait(self, number: int) -> int:
        """Return when the code would have a connection looked at again, after its refresh."""
        key = ConnectionKey(f"tenant{number}", "model")
        due_at = Lifetime(key=key, now=0, min_refresh_seconds=60, refreshable=True).due_at(self.load.lifetime)
        assert due_at is not None
        return due_at

    def run(self) -> Measures:
        end = int(self.scenario.trouble.end + self.scenario.after)
        for second in range(end):
            now = _START + second
            if second % MINUTE == 0:
                self._minute(second, now)
            self._work(second, now)
        return self.measures

    def _minute(self, second: int, now: int) -> None:
        measures, trouble = self.measures, self.scenario.trouble
        if second % (10 * MINUTE) == 0 and self._hints:
            measures.queue[second // MINUTE] = len(self._hints)
        for _ in range(_LOOKS):
            self._look(int(self._random.random() * self.load.connections), now)
        measures.most_waiting = max(measures.most_waiting, len(self._hints))
        if not self.scenario.silence.holds(second):
            self._sweep(now)
        if second >= trouble.end and measures.caught_up is None and min(self._natural) >= now - LATE:
            measures.caught_up = second - trouble.end
        if second < trouble.start:
            measures.latest_when_well = max(measures.latest_when_well, now - min(self._natural))

    def _look(self, number: int, now: int) -> None:
        """Read one record as a consumer does, by the code's own rule."""
        began = self._began[number]
        record = replace(_RECORD, refreshed_at=began, expires_at=began + self.load.lifetime)
        self.measures.looks += 1
        if not record.servable(now):
            self.measures.looks_refused += 1
        elif now >= began + self.load.lifetime:
            self.measures.expired_served += 1

    # the dispatcher

    def _sweep(self, now: int) -> None:
        """Send what is due, the most urgent first, as far as the sweep's time and the integration's share go."""
        allowed = health.per_minute(self._health, self.load.cap if self.load.capped else None, now)
        granted = Share(self.capacity.sweep, now) if allowed is None else health.share(self._health, allowed, now)
        share = min(self.capacity.sweep, granted.requests)
        chosen = list(self._chosen(now, share))
        for place, (due_at, number) in enumerate(chosen):
            delay = 0 if allowed is None else place * MINUTE // allowed
            self._marked[number] = now + delay + ENQUEUED_SECONDS
            heappush(self._sent, (now + delay, number))
            heappush(self._due, (due_at, number))
        self._note(allowed, granted, len(chosen))

    def _chosen(self, now: int, share: int) -> Iterator[tuple[int, int]]:
        passed: list[tuple[int, int]] = []
        chosen: list[tuple[int, int]] = []
        while self._due and self._due[0][0] <= now and (len(chosen) < share or not self.load.urgent_first):
            due_at, number = heappop(self._due)
            if due_at != self._due_at(number):
                continue  # refreshed, or put off, since
            (passed if self._marked[number] >= now else chosen).append((due_at, number))
        if not self.load.urgent_first:
            chosen.reverse()
        for each in (*passed, *chosen[share:]):
            heappush(self._due, each)
        chosen = chosen[:share]
        waiting = self._due[0][0] if self._due and not passed else now
        self.measures.out_of_order += sum(due_at > waiting for due_at, _number in chosen)
        yield from chosen

    def _note(self, allowed: int | None, granted: Share, taken: int) -> None:
        """Keep what the sweep left of its share; there is nothing to keep where there is no limit."""
        if allowed is not None:
            left = granted.requests - taken
            self._health = replace(self._health, budget=left, budget_at=granted.since, rate=allowed)

    def _due_at(self, number: int) -> int:
        return max(self._natural[number], self._not_before[number])

    # the workers

    def _work(self, second: int, now: int) -> None:
        """Handle messages for one second; time that was not needed is not saved up."""
        while self._sent and self._sent[0][0] <= now:
            self._hints.append(heappop(self._sent))
        self._spare = min(1.0, self._spare + 1.0)
        while self._hints and self._spare > 0:
            _, number = self._hints[0]
            if self._due_at(number) > now:
                self.measures.vain_hints += 1
            elif not self._admits(now):
                self._marked[number] = 0
            elif not self._takes_turn(now):
                return
            else:
                self._spare -= 1 / self.capacity.refreshes_a_second
                self._ask(number, second, now)
            self._spare -= 1 / self.capacity.checks_a_second
            self._hints.popleft()

    def _takes_turn(self, now: int) -> bool:
        """Whether the window of this second has room; whoever finds none waits, and all behind it."""
        if (turns := health.turns(self._health, now)) is None:
            return True
        window = turns.window(now)
        self._turns = self._turns + 1 if window == self._window else 1
        self._window = window
        return self._turns <= turns.most

    def _admits(self, now: int) -> bool:
        match health.breaker(self._health, now):
            case Breaker.OPEN:
                return False
            case Breaker.HALF_OPEN:
                free = self._probe_until < now
                self._probe_until = now + PROBE_SECONDS if free else self._probe_until
                return free
        return True

    def _ask(self, number: int, second: int, now: int) -> None:
        measures = self.measures
        measures.requests += 1
        while self._asked and self._asked[0] <= now - MINUTE:
            self._asked.popleft()
        self._asked.append(now)
        measures.most_in_a_minute = max(measures.most_in_a_minute, len(self._asked))
        outage = self.scenario.outage
        if outage.holds(second):
            measures.requests_in_outage += 1
            silent = second >= outage.start + outage.seconds / 2
            self._failed(number, now + CALL * silent)
        elif self._random.random() < self.load.retried:
            self._failed(number, now)
        else:
            self._succeeded(number, now)

    def _failed(self, number: int, now: int) -> None:
        self._put_off(number, now)
        state, known, limits = health.breaker(self._health, now), self._health, Limits()
        if known.window_at <= now - limits.window_seconds:
            known = replace(known, window_at=now, failed=0, succeeded=0)
        known = replace(known, failed=known.failed + 1)
        opens = health.is_failing(known, limits) or state is Breaker.HALF_OPEN
        if opens and known.open_until <= now:
            opening = health.opening(known, now, self._random.random())
            known = replace(known, open_until=opening.until, opened=opening.opened, window_at=now, failed=0)
        self._health = replace(known, succeeded=0) if opens else known

    def _put_off(self, number: int, now: int) -> None:
        self._not_before[number] = now + backoff_seconds(self._failures[number], self._random.random())
        self._failures[number] += 1
        self._marked[number] = 0
        heappush(self._due, (self._due_at(number), number))

    def _succeeded(self, number: int, now: int) -> None:
        measures = self.measures
        if health.breaker(self._health, now) is Breaker.HALF_OPEN:
            self._health = replace(self._health, recovered_at=now)
            self._probe_until = 0
        self._health = replace(self._health, succeeded=self._health.succeeded + 1)
        served_until = self._began[number] + self.load.lifetime - self._skew
        measures.refused_minutes += max(0.0, now - served_until) / MINUTE
        measures.refreshes += 1
        self._began[number] = now
        self._failures[number] = self._not_before[number] = self._marked[number] = 0
        self._natural[number] = now + self._waits[number]
        heappush(self._due, (self._natural[number], number))


def told(load: Load, scenario: Scenario, measures: Measures) -> dict[str, Any]:
    """Return one scenario's report, and the promises that it broke."""
    took = measures.caught_up
    broken = {
        "an expired token was served": measures.expired_served > 0,
        "more requests in a minute than the provider allows": measures.most_in_a_minute > allowed_in_a_minute(load.cap),
        "something less urgent went first": measures.out_of_order > 0,
        "caught up late": took is None or took > 2 * scenario.trouble.seconds,
    }
    return {
        "is": "a model, not the engine",
        "scenario": scenario.name,
        "hours": scenario.trouble.seconds / HOUR,
        "connections": load.connections,
        "cap_a_minute": load.cap,
        "requests": measures.requests,
        "requests_in_the_outage": measures.requests_in_outage,
        "refreshes": measures.refreshes,
        "hints_that_came_to_nothing": measures.vain_hints,
        "most_requests_in_60_seconds": measures.most_in_a_minute,
        "expired_tokens_served": measures.expired_served,
        "minutes_in_which_readers_were_refused": round(measures.refused_minutes),
        "refused_minutes_of_a_connection": round(measures.refused_minutes / load.connections, 1),
        "catch_up_minutes": None if took is None else round(took / MINUTE),
        "most_messages_waiting": measures.most_waiting,
        "latest_seconds_after_due_when_well": measures.latest_when_well,
        "messages_waiting_by_minute": measures.queue,
        "looks_of_readers": measures.looks,
        "looks_refused": measures.looks_refused,
        "broken": [promise for promise, is_broken in broken.items() if is_broken],
    }
