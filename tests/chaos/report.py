"""What a run came to: counts, and everything that must not have happened."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.chaos.evidence import BROKEN, SETTLED, End, Evidence, Held
from tests.chaos.plan import Plan
from tests.chaos.readers import Readers
from tests.chaos.trouble import Trouble

# Lines of the functions' log that no run may produce.
FORBIDDEN: Final = ("unforeseen", "new token could not be stored", "Traceback")
COUNTED: Final = (
    "Task timed out",
    "new token waits in escrow",
    "restored from escrow",
    "breaker open",
    "integration held:",
)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """`reached` says that the plan was carried out in its time; times are in seconds."""

    plan: Plan
    reached: bool
    seconds: float
    rotations: int
    ends: Sequence[tuple[Held, End]]
    evidence: Evidence
    readers: Readers
    trouble: Trouble
    log: Path

    @property
    def broken(self) -> list[str]:
        return [*self._broken_connections(), *self._broken_requests(), *self._broken_reads(), *self._broken_log()]

    def _broken_connections(self) -> Iterator[str]:
        if len(self.ends) != self.plan.connections:
            yield f"{self.plan.connections} connections were made, {len(self.ends)} are there"
        for held, end in self.ends:
            unfinished = self.plan.must_settle and end not in SETTLED
            if end in BROKEN or unfinished:
                said = f"{held.status} {held.cause}".strip()
                told = f"record: {said}, last error: {held.last_error or 'none'}"
                yield f"{held.name}: {end.value} ({told}; token presented: {self.evidence.story(held.token)})"

    def _broken_requests(self) -> Iterator[str]:
        for each in self.evidence.overlapping():
            yield f"grant {each.grant}: {each.together} requests in flight at once at {each.at:.3f}"
        for each in self.evidence.repeated():
            yield f"grant {each.grant}: token {each.token} presented again at {each.at:.3f} after its answer arrived"

    def _broken_reads(self) -> Iterator[str]:
        yield from self.readers.broken
        yield from (f"trouble itself failed: {each}" for each in self.trouble.mistakes)
        explained = self.evidence.dead_grants()
        for grant, name in self.readers.dead.items():
            if grant not in explained:
                yield f"{name}: a reader was given a token that the server does not honour"

    def _broken_log(self) -> Iterator[str]:
        lines = self.log.read_text(errors="replace").splitlines()
        for text in FORBIDDEN:
            found = [line for line in lines if text in line]
            if found:
                yield f"the functions' log says {text!r} {len(found)} times: {found[0][:300]}"

    def as_json(self) -> dict[str, Any]:
        log = self.log.read_text(errors="replace")
        requests = self.evidence.presented
        return {
            "plan": asdict(self.plan) | {"ttl": self.plan.ttl, "tick": self.plan.tick},
            "reached": self.reached,
            "seconds": round(self.seconds, 1),
            "rotations": self.rotations,
            "rotations_per_second": round(self.rotations / max(1.0, self.seconds), 2),
            "requests": len(requests),
            "requests_of_unknown_senders": sum(not each.pid for each in requests),
            "faults": dict(Counter(each.fault for each in requests if each.fault)),
            "refused": dict(Counter(each.outcome for each in requests if each.outcome != "issued" and not each.fault)),
            "kills": dict(Counter(each.function for each in self.trouble.kills)),
            "requests_shortly_before_a_kill": sum(self.evidence.was_killed(each) for each in requests),
            "outages": [
                {"service": each.service, "mode": each.mode, "seconds": round(each.until - each.since, 1)}
                for each in self.trouble.outages
            ],
            "stalls_of_the_emulator": [round(until - since, 1) for since, until in self.trouble.witness.stalls],
            "revoked_by_customers": len(self.evidence.revoked),
            "ends": dict(Counter(end.value for _, end in self.ends)),
            "flagged": dict(Counter(held.cause for held, end in self.ends if end is End.FLAGGED)),
            "reads": dict(self.readers.counts.most_common()),
            "log": {text: log.count(text) for text in COUNTED},
            "broken": self.broken,
        }

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(self.as_json(), indent=2) + "\n")
