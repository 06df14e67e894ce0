"""Virtual time, and workers that live in it: each a greenlet that yields at every port call, and may die at any.

What happens next is the earliest event; among equals, the one planned first. Nothing here is random.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # published without types

type Action = Callable[[], None]
EPOCH: Final = 1_800_000_000.0


class Died(BaseException):
    """The worker's process ends here: nothing after it runs."""


class Stopped(BaseException):
    """An invariant is broken; no code under test may catch this."""


class Timeline:
    """Events by time. `running` is the worker whose code runs now, if any."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.running: Worker | None = None
        self.trace: list[tuple[float, str, str]] = []
        self.workers: list[Worker] = []
        self._events: list[tuple[float, int, Action]] = []
        self._planned = 0

    @property
    def next_at(self) -> float:
        return self._events[0][0] if self._events else float("inf")

    def at(self, when: float, action: Action) -> None:
        self._planned += 1
        heappush(self._events, (max(when, self.now), self._planned, action))

    def note(self, what: str) -> None:
        self.trace.append((self.now, self.running.name if self.running else "", what))

    def run(self, until: float, *, enough: Callable[[], bool] = lambda: False) -> None:
        """Let events happen up to a time, or until it is enough."""
        while self._events and self._events[0][0] <= until and not enough():
            self.now, _, action = heappop(self._events)
            action()
        if not enough():
            self.now = max(self.now, until)

    def close(self) -> None:
        """End what is still suspended."""
        for worker in self.workers:
            worker.discard()


class Worker:
    """One invocation of a function: its own skewed clock, and an end that nobody moves."""

    def __init__(self, timeline: Timeline, name: str, body: Callable[["Worker"], None], *, lives: float) -> None:
        self.timeline = timeline
        self.name = name
        self.skew = 0.0
        self.killed_at = timeline.now + lives
        self.over = False
        self.on_end: list[Callable[[bool], None]] = []
        self._body = body
        self._greenlet = greenlet(self._live)
        timeline.workers.append(self)
        timeline.at(timeline.now, self._resume)

    def wait(self, seconds: float) -> None:
        """Yield to whatever happens meanwhile; die if this is where the invocation's time ends."""
        timeline = self.timeline
        wake = min(timeline.now + seconds, self.killed_at)
        if timeline.next_at > wake:
            timeline.now = wake
        else:
            timeline.at(wake, self._resume)
            timeline.running = None
            self._greenlet.parent.switch()
        if wake >= self.killed_at:
            self.die("killed: out of time")

    def die(self, why: str) -> None:
        self.timeline.note(why)
        raise Died(why)

    def discard(self) -> None:
        """Unwind a suspended worker without letting it do anything more."""
        if self._greenlet and not self._greenlet.dead:
            self._greenlet.parent = getcurrent()
            self.over = True
            self._greenlet.throw(Died("discarded"))

    def _resume(self) -> None:
        if not self._greenlet.dead:
            self.timeline.running = self
            self._greenlet.switch()
            self.timeline.running = None

    def _live(self) -> None:
        survived = False
        try:
            self._body(self)
            survived = True
        except Died:
            pass
        if not self.over:
            self.over = True
            for told in self.on_end:
                told(survived)
