"""What one connection, its workers, and its provider look like at one moment.

A refresh token is a number: the provider's first is 0, and each rotation makes the next. Ages are ticks, counted only
as far as the protocol can tell them apart, which keeps the number of states finite.
"""

from enum import IntEnum
from typing import Final, NamedTuple

NOBODY: Final = -1
GONE: Final = -2
NO_TOKEN: Final = -1
NO_GEN: Final = -1


class Phase(IntEnum):
    """Where a worker stands; it may pause before each of its steps."""

    IDLE = 0
    PREPARED = 1
    LEASE_UNCERTAIN = 2
    LEASED = 3
    READY = 4
    ASKING = 5
    HOLDING = 6
    FAILED = 7


class Answer(IntEnum):
    """What the provider said, or what the worker makes of its silence."""

    NONE = 0
    ROTATED = 1
    INVALID_GRANT = 2
    REFUSED = 3
    ERROR = 4


class Row(NamedTuple):
    """The connection's record. `owner` is a worker, `NOBODY`, or `GONE` for one that ended without letting go."""

    gen: int = 0
    token: int = 0
    active: bool = True
    owner: int = NOBODY
    lease_age: int = 0
    pend_gen: int = NO_GEN
    pend_age: int = 0

    @property
    def in_doubt(self) -> bool:
        return self.pend_gen == self.gen


class Server(NamedTuple):
    """The authorization server: its newest token, how long ago it was made, whether the family is revoked."""

    newest: int = 0
    revoked: bool = False
    rotated_age: int = 0

    def lives(self, token: int) -> bool:
        return not self.revoked and token == self.newest


class Worker(NamedTuple):
    """One attempt: `base` is the generation it read, `sent` its token, `got` the new one, `doubt` what stood before."""

    phase: Phase = Phase.IDLE
    age: int = 0
    base: int = 0
    sent: int = NO_TOKEN
    got: int = NO_TOKEN
    answer: Answer = Answer.NONE
    call_age: int = 0
    doubt: bool = False

    def holds(self, token: int) -> bool:
        return self.got == token and self.phase in {Phase.ASKING, Phase.HOLDING}


class Orphan(NamedTuple):
    """A request that its worker gave up: `token` may be processed (`NO_TOKEN`: no more) for another `left` ticks.

    `closed` says that the provider's side ended the connection: the worker did not give up waiting.
    """

    token: int
    left: int
    closed: bool = False


class State(NamedTuple):
    row: Row
    server: Server
    workers: tuple[Worker, ...]
    orphans: tuple[Orphan, ...]
    jobs: int
    faults: int

    def with_worker(self, slot: int, worker: Worker) -> "State":
        workers = (*self.workers[:slot], worker, *self.workers[slot + 1 :])
        return State(self.row, self.server, workers, self.orphans, self.jobs, self.faults)

    def with_row(self, row: Row) -> "State":
        return State(row, self.server, self.workers, self.orphans, self.jobs, self.faults)

    def with_server(self, server: Server) -> "State":
        return State(self.row, server, self.workers, self.orphans, self.jobs, self.faults)

    def with_orphan(self, orphan: Orphan) -> "State":
        orphans = tuple(sorted((*self.orphans, orphan)))
        return State(self.row, self.server, self.workers, orphans, self.jobs, self.faults)

    def spend_fault(self) -> "State":
        return State(self.row, self.server, self.workers, self.orphans, self.jobs, self.faults - 1)

    def spend_job(self) -> "State":
        return State(self.row, self.server, self.workers, self.orphans, self.jobs - 1, self.faults)

    def end_worker(self, slot: int) -> "State":
        """The worker is no more; a lease that it did not drop stays until its time is over."""
        row = self.row._replace(owner=GONE) if self.row.owner == slot else self.row
        return self.with_worker(slot, Worker()).with_row(row)
