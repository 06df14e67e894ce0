"""What is done to a running stack, by seed: workers killed, services taken away, grants revoked by their customers."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final

from dev.ready import Ready
from dev.running import taken_away, workers
from tests.chaos.evidence import ACTIVE, Kill
from tests.chaos.fleet import Fleet
from tests.chaos.plan import Plan
from tests.chaos.witness import Witness

# Mostly who holds tokens in hand; now and then who moves the work.
VICTIMS: Final = {"RefreshFunction": 8, "EscrowFunction": 1, "RefreshDispatchFunction": 1}
SLOW_SECONDS: Final = 4.0


@dataclass(frozen=True, slots=True)
class Outage:
    """Epoch seconds; `until` is infinite while it lasts."""

    service: str
    mode: str
    since: float
    until: float = float("inf")

    def touches(self, begun: float, ended: float) -> bool:
        return begun <= self.until and ended >= self.since


def guarded(work: Callable[[], None], tell: Callable[[str], None]) -> None:
    """Do `work`, and tell of whatever ends it: a thread that died must not pass for a quiet run."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - the end of a thread is the boundary here
        tell(f"{type(error).__name__} ended {threading.current_thread().name}: {error}")


@dataclass
class Trouble:
    """Three threads that follow the plan's clock, until `stop` at the latest; `witness` watches until it is stopped."""

    ready: Ready
    fleet: Fleet
    plan: Plan
    stopping: threading.Event = field(default_factory=threading.Event)
    kills: list[Kill] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _begun: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        member = self.fleet.members[0]
        self.witness = Witness(lambda: self.fleet.row(member))

    def start(self) -> None:
        self._begun = time.monotonic()
        self.witness.start()
        for work in (self._kill, self._take_away, self._revoke):
            told = (work, self.mistakes.append)
            thread = threading.Thread(target=guarded, args=told, name=work.__name__, daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def done(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join(30)

    def away(self, begun: float, ended: float, *services: str) -> bool:
        """Whether one of the services was away at some time between two moments, or the whole emulator silent."""
        planned = any(each.service in services and each.touches(begun, ended) for each in tuple(self.outages))
        return planned or self.witness.saw(begun, ended)

    def _wait(self, at: float) -> bool:
        """Wait for a moment of the plan's clock; false if the run is over before."""
        return not self.stopping.wait(max(0.0, self._begun + at - time.monotonic()))

    def _kill(self) -> None:
        chance = self.plan.chance("victims")
        for at in self.plan.kill_times():
            if not self._wait(at):
                return
            if (victim := self._victim(chance)) is None:
                continue
            function, pid = victim
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.kills.append(Kill(pid, time.time(), function))

    def _victim(self, chance: random.Random) -> tuple[str, int] | None:
        alive = {name: pids for name, pids in workers(self.ready).items() if name in VICTIMS and pids}
        if not alive:
            return None
        names = sorted(alive)
        name = chance.choices(names, [VICTIMS[each] for each in names])[0]
        return name, chance.choice(alive[name])

    def _take_away(self) -> None:
        for at, service, mode in self.plan.outage_times():
            if not self._wait(at):
                return
            with self._exchanges_under_way(), taken_away(self.ready, service, mode):
                self.outages.append(Outage(service, mode, time.time()))
                self.stopping.wait(self.plan.outage_seconds)
            self.outages[-1] = replace(self.outages[-1], until=time.time())

    @contextmanager
    def _exchanges_under_way(self) -> Iterator[None]:
        """Begin a block while workers wait for answers: what they then hold exists nowhere else."""
        faults = [each.faults for each in self.fleet.authorities.values()]
        for each in faults:
            each.slow = True
        self.stopping.wait(SLOW_SECONDS)
        try:
            yield
        finally:
            for each in faults:
                each.slow = False

    def _revoke(self) -> None:
        chance = self.plan.chance("revoked")
        for at in self.plan.revocation_times():
            if not self._wait(at):
                return
            member = chance.choice(self.fleet.members)
            row = self.fleet.row(member)
            if row["status"] == ACTIVE:
                self.fleet.authorities[member.kind].revoke(self.fleet.refresh_token(member, row))
