"""Every port call of one refresh, or of one farewell, failed in every way: alone, and together with every later one."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from consentry.model import ConnectionKey, Status
from tests.simulation.faults import Answer, Fate
from tests.simulation.runs import BrokenInvariant
from tests.simulation.timeline import Stopped
from tests.simulation.watch import text, whole
from tests.simulation.world import World

MODES: Final = (Fate.DIE_BEFORE, Fate.DIE_AFTER, Fate.REFUSED, Fate.LOST, Fate.HANG)
ROTATIONS: Final = ("strict", "grace", "none", "remint")
_KEY: Final = ConnectionKey("tenant0", "app")
_LIFETIME: Final = 1800
_TICK: Final = 60.0
_TICKS: Final = 120

type Plan = dict[int, Fate]


class Scripted:
    """`faults.Chaos`: the n-th call of a worker meets its planned fate; everything else goes well and fast."""

    def __init__(self, plan: Plan, counts: Callable[[], bool]) -> None:
        self.calm = True
        self.calls: list[str] = []
        self._plan = plan
        self._counts = counts

    def fate(self, port: str, now: float) -> Fate:
        if not self._counts():
            return Fate.GOOD
        self.calls.append(port)
        return self._plan.get(len(self.calls) - 1, Fate.GOOD)

    def answer(self, now: float) -> Answer:
        return Answer.TOKENS

    def latency(self, port: str) -> float:
        return 0.01

    def slowness(self) -> float:
        return 0.2

    def share(self) -> float:
        return 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How it ended: `fresh`, or the cause of the flag; and the ports that were called, in order."""

    ended: str
    calls: tuple[str, ...]
    trace: list[tuple[float, str, str]] = field(repr=False)


def crash(kind: str, plan: Plan) -> Ending:
    """Let a connection come due, fail as planned, and go on until all is at rest; check every invariant."""
    chaos = Scripted(plan, lambda: world.timeline.running is not None and world.timeline.running.name[0] in "hr")
    world = World(chaos)
    with world.observed():
        try:
            _live(world, kind)
        except Stopped as broken:
            raise BrokenInvariant(-1, f"{kind} {plan}: {broken}", world.timeline.trace) from None
        row = world.rows[_KEY]
        ended = "fresh" if text(row, "status") == Status.ACTIVE else text(row, "status_cause")
        return Ending(ended=ended, calls=tuple(chaos.calls), trace=world.timeline.trace)


def farewell(kind: str, plan: Plan) -> Ending:
    """Let a connection be disconnected, fail as planned, and go on until it is gone; `ended` is what became of it."""
    chaos = Scripted(plan, lambda: world.timeline.running is not None and world.timeline.running.name[0] == "h")
    world = World(chaos)
    with world.observed():
        try:
            _leave(world, kind)
        except Stopped as broken:
            raise BrokenInvariant(-1, f"farewell of {kind} {plan}: {broken}", world.timeline.trace) from None
        said = sorted(count.removeprefix("erased ") for count in world.watch.counts if count.startswith("erased "))
        return Ending(ended=" ".join(said), calls=tuple(chaos.calls), trace=world.timeline.trace)


def _leave(world: World, kind: str) -> None:
    timeline = world.timeline
    world.connect(_KEY, kind, _LIFETIME)
    timeline.run(timeline.now + 30)
    world.disconnect(_KEY)
    timeline.run(timeline.now + 1)
    for _ in range(_TICKS):
        row = world.rows.get(_KEY, {})
        if 0 < whole(row, "due_at") <= timeline.now and whole(row, "enqueued_until") < timeline.now:
            world.tick()
        timeline.run(timeline.now + _TICK)
        if not row:
            break
    world.watch.require(_KEY not in world.rows, "I-15: disconnected, and never gone")
    timeline.run(timeline.now + 7 * 270)
    world.watch.require(not world.queues.open, "I-11: a message that never ends")


def _live(world: World, kind: str) -> None:
    timeline = world.timeline
    world.connect(_KEY, kind, _LIFETIME)
    timeline.run(timeline.now + 30)
    for _ in range(_TICKS):
        row = world.rows[_KEY]
        if _rests(row):
            break
        if 0 < whole(row, "due_at") <= timeline.now and whole(row, "enqueued_until") < timeline.now:
            world.tick()
        timeline.run(timeline.now + _TICK)
    world.watch.require(_rests(world.rows[_KEY]), "I-14: never at rest")
    timeline.run(timeline.now + 7 * 270)
    world.watch.require(not world.queues.open, "I-11: a message that never ends")
    world.watch.settled(_KEY)


def _rests(row: dict[str, dict[str, str]]) -> bool:
    return text(row, "status") != Status.ACTIVE or (whole(row, "gen") > 1 and "lease_owner" not in row)


def happy(kind: str) -> tuple[str, ...]:
    """Return the port calls of a refresh in which nothing fails."""
    return crash(kind, {}).calls


def singles(kind: str, ending: Callable[[str, Plan], Ending] = crash) -> Iterator[Plan]:
    for call in range(len(ending(kind, {}).calls)):
        for mode in MODES:
            yield {call: mode}


def pairs(kind: str) -> Iterator[Plan]:
    """Every single fault, followed by every fault of each call of the way back."""
    length = len(happy(kind))
    for first in singles(kind):
        (call,) = first
        for distance in range(1, length + 1):
            for mode in MODES:
                yield {**first, call + distance: mode}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.crashes", description=__doc__)
    parser.add_argument("--pairs", action="store_true", help="all ordered pairs as well")
    given = parser.parse_args()
    endings: dict[str, Counter[str]] = {}
    for kind in ROTATIONS:
        plans = [*singles(kind), *(pairs(kind) if given.pairs else ())]
        endings[kind] = Counter(crash(kind, plan).ended for plan in plans)
        sys.stderr.write(f"{kind}: {len(plans)} plans\n")
    sys.stdout.write(json.dumps(endings, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
