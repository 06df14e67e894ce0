"""One run: a real stack, customers who consent, trouble by seed, calm, and the judgement at the end."""

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dev.authserver.options import Options
from dev.ready import Ready
from dev.running import started
from tests.chaos.authority import Authority, serving
from tests.chaos.evidence import BROKEN, SETTLED, End, Evidence, Held
from tests.chaos.fleet import Fleet, Member, Row, grace_of, members_of, write_files
from tests.chaos.plan import PROVIDERS, Plan
from tests.chaos.readers import Readers
from tests.chaos.report import Findings
from tests.chaos.senders import Senders, children
from tests.chaos.trouble import Trouble

PROGRESS_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 5.0

type Say = Callable[[str], None]


def to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def run(plan: Plan, say: Say = to_stderr) -> Findings:
    """Run the plan to its end, or until its minutes are over. Raises `NotReady` if the stack does not come up."""
    with _stack(plan) as (ready, authorities):
        fleet = Fleet(ready, authorities, members_of(plan))
        begun = time.monotonic()
        fleet.connect()
        say(
            f"{plan.connections} connections after {time.monotonic() - begun:.0f} s; ttl {plan.ttl} s, pace {plan.pace}"
        )
        trouble = Trouble(ready, fleet, plan)
        return Soak(plan, fleet, trouble, Readers(fleet, trouble), say).run()


@contextmanager
def _stack(plan: Plan) -> Iterator[tuple[Ready, Mapping[str, Authority]]]:
    runner: list[int] = []
    senders = Senders(lambda: [pid for parent in runner for pid in children(parent)])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authorities = {
            kind: stack.enter_context(serving(kind, _options(plan, kind), chance=plan.chance(kind), senders=senders))
            for kind in PROVIDERS
        }
        options = write_files(folder, authorities) | {
            "TICK": str(plan.tick),
            "ACCESS_TTL": str(plan.ttl),
            "HTTPS": "1",
            "ALLOW_LOOPBACK_PROVIDERS": "1",
        }
        ready = stack.enter_context(started(options))
        runner.append(ready.pid)
        yield ready, authorities


def _options(plan: Plan, kind: str) -> Options:
    return Options(access_ttl=plan.ttl, rotation="rotates", grace=grace_of(kind))


@dataclass
class Soak:
    plan: Plan
    fleet: Fleet
    trouble: Trouble
    readers: Readers
    say: Say

    def run(self) -> Findings:
        self._faults(self.plan.faults)
        before = self._rotations()
        begun = time.monotonic()
        self.trouble.start()
        self.readers.start(self.plan.readers)
        reached = self._until(lambda: self.trouble.done and self._rotations() - before >= self.plan.rotations, begun)
        self.trouble.stop()
        self._faults(0)
        seconds, rotations = time.monotonic() - begun, self._rotations() - before
        self.say(f"calm after {seconds:.0f} s and {rotations} rotations; waiting at most {self.plan.patience:.0f} s")
        ends = self._calm()
        self.readers.stop()
        self.trouble.witness.stop()
        return Findings(
            plan=self.plan,
            reached=reached,
            seconds=seconds,
            rotations=rotations,
            ends=ends,
            evidence=self._evidence(),
            readers=self.readers,
            trouble=self.trouble,
            log=Path(self.fleet.ready.log_file),
        )

    def _faults(self, rate: float) -> None:
        for authority in self.fleet.authorities.values():
            authority.faults.rate = rate

    def _rotations(self) -> int:
        return sum(each.journal.rotations for each in self.fleet.authorities.values())

    def _until(self, done: Callable[[], bool], begun: float) -> bool:
        """Wait, telling how it goes; false if the time is over first."""
        told, count = begun, self._rotations()
        while not done():
            now = time.monotonic()
            if now > begun + 60 * self.plan.minutes:
                return False
            if now > told + PROGRESS_SECONDS:
                rotations = self._rotations()
                self._progress(now - begun, rotations, (rotations - count) / (now - told))
                told, count = now, rotations
            time.sleep(_LOOK_SECONDS)
        return True

    def _progress(self, seconds: float, rotations: int, speed: float) -> None:
        flagged = Counter(row["status_cause"] for _, row in self.fleet.rows() if row.get("status_cause"))
        away = [each.service for each in self.trouble.outages if each.until == float("inf")]
        self.say(
            f"{seconds:6.0f} s  {rotations} rotations  {speed:.1f}/s  {len(self.trouble.kills)} kills"
            f"  flagged {dict(flagged) or 0}  broken reads {len(self.readers.broken)}"
            + (f"  away: {', '.join(away)}" if away else "")
        )

    def _calm(self) -> list[tuple[Held, End]]:
        """Wait until nothing can change any more, or patience ends; return how each connection stands."""
        begun = told = time.monotonic()
        while True:
            ends = self._judged()
            left = [end for _, end in ends if end not in SETTLED | BROKEN]
            now = time.monotonic()
            if not left or now > begun + self.plan.patience:
                return ends
            if now > told + PROGRESS_SECONDS:
                self.say(f"{now - begun:6.0f} s of calm  not settled: {dict(Counter(each.value for each in left))}")
                told = now
            time.sleep(min(_POLL_SECONDS, self.plan.patience))

    def _judged(self) -> list[tuple[Held, End]]:
        held = [self._held(member, row) for member, row in self.fleet.rows()]
        evidence = self._evidence()
        return [(each, evidence.judge(each)) for each in held]

    def _held(self, member: Member, row: Row) -> Held:
        """Record and grant of the same moment: look again while the record moves on between the two."""
        while True:
            held = self.fleet.held(member, row, time.time())
            again = self.fleet.row(member)
            if again == row:
                return held
            row = again

    def _evidence(self) -> Evidence:
        authorities = self.fleet.authorities.values()
        return Evidence(
            presented=[request for each in authorities for request in each.presented()],
            kills=tuple(self.trouble.kills),
            revoked=frozenset(grant for each in authorities for grant in each.revoked),
            grace_seconds={kind: grace_of(kind) for kind in PROVIDERS},
            table_away=[(each.since, each.until) for each in self.trouble.outages if each.service == "dynamodb"],
        )
