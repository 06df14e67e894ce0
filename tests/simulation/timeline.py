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
        self._lanes: list[greenlet] = []  # a new greenlet costs as much as ten switches

    def passes(self, until: float) -> bool:
        """Let time pass if nothing is planned up to then."""
        free = not self._events or self._events[0][0] > until
        if free:
            self.now = until
        return free

    def at(self, when: float, action: Action) -> None:
        self._planned += 1
        heappush(self._events, (max(when, self.now), self._planned, action))

    def note(self, what: str) -> None:
        self.trace.append((self.now, self.running.name if self.running else "", what))

    def run(self, until: float, *, enough: Callable[[], bool] | None = None) -> None:
        """Let events happen up to a time, or until it is enough."""
        events = self._events
        while events and events[0][0] <= until:
            if enough and enough():
                return
            self.now, _, action = heappop(events)
            action()
        if not (enough and enough()):
            self.now = max(self.now, until)

    def lane(self) -> greenlet:
        """Return a greenlet that takes a worker to run: one that has ended its last, or a new one."""
        if self._lanes:
            return self._lanes.pop()
        return greenlet(self._one_after_another)

    def _one_after_another(self, worker: "Worker") -> None:
        lane = getcurrent()
        while True:
            worker.live()
            self._lanes.append(lane)
            worker = lane.parent.switch()

    def close(self) -> None:
        """End what is still suspended, and let go of all that refers back to this."""
        for worker in self.workers:
            worker.discard()
            worker.on_end.clear()
        for lane in self._lanes:
            lane.throw()
        self._lanes.clear()
        self._events.clear()
        self.workers.clear()


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
        self._lane: greenlet | None = None
        timeline.workers.append(self)
        timeline.at(timeline.now, self._resume)

    def wait(self, seconds: float) -> None:
        """Yield to whatever happens meanwhile; die if this is where the invocation's time ends."""
        timeline, killed_at = self.timeline, self.killed_at
        wake = min(timeline.now + seconds, killed_at)
        if not timeline.passes(wake):
            assert self._lane
            timeline.at(wake, self._resume)
            timeline.running = None
            self._lane.parent.switch()
        if wake >= killed_at:
            self.die("killed: out of time")

    def die(self, why: str) -> None:
        self.timeline.note(why)
        raise Died(why)

    def discard(self) -> None:
        """Unwind a suspended worker without letting it do anything more."""
        if self._lane and not self._lane.dead:
            self._lane.parent = getcurrent()
            self.over = True
            self._lane.throw(Died("discarded"))

    def _resume(self) -> None:
        if self.over:
            return
        timeline = self.timeline
        timeline.running = self
        if self._lane is None:
            self._lane = timeline.lane()
            self._lane.switch(self)
        else:
            self._lane.switch()
        timeline.running = None

    def live(self) -> None:
        """Run to the end, on the lane."""
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
        self._lane = None
