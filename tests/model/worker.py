"""One worker's steps: what each phase may do next, with and without a fault.

Scheduling is free: a worker may pause before every step (but for a hard timeout, see `protocol.tick`). Faults are
paid for: a crash, a reply that is lost, a refusal, an error after rotating, a request that is answered too late.
"""

from collections.abc import Iterator
from typing import Final

from tests.model.checker import Step
from tests.model.provider import ProviderKind, act_on
from tests.model.record import (
    Write,
    abort,
    commit,
    lease_is_free,
    may_attempt,
    record_failure,
    take_lease,
    write_intent,
)
from tests.model.state import NO_TOKEN, Answer, Orphan, Phase, State, Worker
from tests.model.variants import Fence, Variant

NAMES: Final = ("first", "second", "third")


class Steps:
    """The steps of every worker of one variant against one kind of provider."""

    def __init__(self, variant: Variant, kind: ProviderKind) -> None:
        self._variant = variant
        self._kind = kind
        self._phases = {
            Phase.PREPARED: self._take_lease,
            Phase.LEASE_UNCERTAIN: self._find_lease,
            Phase.LEASED: self._write_intent,
            Phase.READY: self._ask,
            Phase.ASKING: self._asking,
            Phase.HOLDING: self._commit,
            Phase.FAILED: self._record_failure,
        }

    def of(self, state: State, slot: int) -> Iterator[Step[State]]:
        """Everything that this worker, and its request, can do next. An idle one is given a job by `start`."""
        phase = state.workers[slot].phase
        if phase is Phase.IDLE:
            return
        yield from self._phases[phase](state, slot)
        if state.faults:
            yield self._crash(state, slot)

    def start(self, state: State, slot: int) -> Iterator[Step[State]]:
        """Deliver a job: the worker reads the record and prepares all that can fail, or finds nothing to do."""
        row = state.row
        if not state.jobs or not may_attempt(row, self._variant):
            return
        phase = Phase.PREPARED if self._variant.lease else Phase.READY
        worker = Worker(phase=phase, base=row.gen, sent=row.token)
        yield Step(f"{NAMES[slot]}: reads gen {row.gen}", state.spend_job().with_worker(slot, worker))

    def _take_lease(self, state: State, slot: int) -> Iterator[Step[State]]:
        written = take_lease(state, slot, self._variant)
        if not written.applied:
            yield Step(f"{NAMES[slot]}: lease refused", state.end_worker(slot))
            return
        row, worker = state.row, state.workers[slot]
        if self._variant.fence is not Fence.LINEAGE:  # a lock is followed by a read of what it protects
            worker = worker._replace(base=row.gen, sent=row.token)
        taken = worker._replace(phase=self._leased, doubt=row.in_doubt)
        yield Step(f"{NAMES[slot]}: takes the lease", written.state.with_worker(slot, taken))
        if state.faults:
            unsure = worker._replace(phase=Phase.LEASE_UNCERTAIN)
            label = f"{NAMES[slot]}: takes the lease, reply lost"
            yield Step(label, written.state.spend_fault().with_worker(slot, unsure))

    @property
    def _leased(self) -> Phase:
        return Phase.LEASED if self._variant.intent and not self._variant.one_write else Phase.READY

    def _find_lease(self, state: State, slot: int) -> Iterator[Step[State]]:
        """Repeat the write: it finds its own lease, but what stood before is no longer known and counts as doubt."""
        if state.row.owner != slot:
            yield Step(f"{NAMES[slot]}: repeats the lease, too late", state.end_worker(slot))
            return
        worker = state.workers[slot]._replace(phase=self._leased, doubt=not self._variant.forgets_doubt)
        yield Step(f"{NAMES[slot]}: repeats the lease and finds it", state.with_worker(slot, worker))

    def _write_intent(self, state: State, slot: int) -> Iterator[Step[State]]:
        written = write_intent(state, slot)
        if not written.applied:
            yield Step(f"{NAMES[slot]}: intent refused", state.end_worker(slot))
            return
        worker = state.workers[slot]._replace(phase=Phase.READY)
        yield Step(f"{NAMES[slot]}: writes the intent", written.state.with_worker(slot, worker))

    def _ask(self, state: State, slot: int) -> Iterator[Step[State]]:
        worker = state.workers[slot]
        if self._time_is_left(state, slot):
            asking = worker._replace(phase=Phase.ASKING, call_age=0)
            yield Step(f"{NAMES[slot]}: sends token {worker.sent}", state.with_worker(slot, asking))
        if self._variant.guarded:
            yield _ended(f"{NAMES[slot]}: gives up before the request", abort(state, slot, self._variant), slot)

    def _time_is_left(self, state: State, slot: int) -> bool:
        if not self._variant.guarded:
            return True
        if self._variant.hard_timeout:
            return state.workers[slot].age + self._variant.call <= self._variant.function
        row = state.row
        answered = row._replace(lease_age=row.lease_age + self._variant.call)
        return row.owner == slot and not lease_is_free(answered, self._variant)

    def _asking(self, state: State, slot: int) -> Iterator[Step[State]]:
        worker = state.workers[slot]
        if worker.answer is Answer.NONE:
            yield from self._provider_acts(state, slot)
        else:
            yield self._receive(state, slot)
        if state.faults:
            orphan = self._orphan_of(worker)
            silent = _failed(state.spend_fault(), slot, Answer.NONE).with_orphan(orphan)
            yield Step(f"{NAMES[slot]}: waits for its answer in vain", silent)
            if self._variant.repeats and self._kind.grace:
                doubt = worker.doubt or not self._variant.forgets_doubt
                again = worker._replace(phase=Phase.READY, got=NO_TOKEN, answer=Answer.NONE, call_age=0, doubt=doubt)
                closed = state.spend_fault().with_worker(slot, again)
                if self._kind.acts_after_close:
                    closed = closed.with_orphan(orphan._replace(closed=True))
                yield Step(f"{NAMES[slot]}: finds the connection closed", closed)

    def _orphan_of(self, worker: Worker) -> Orphan:
        """What remains of a request without its worker: it may still be processed, unless it was."""
        return Orphan(worker.sent if worker.answer is Answer.NONE else NO_TOKEN, self._kind.late)

    def _provider_acts(self, state: State, slot: int) -> Iterator[Step[State]]:
        worker = state.workers[slot]
        response = act_on(state, worker.sent, self._kind)
        answered = worker._replace(answer=response.answer, got=response.token)
        said = response.answer.name.lower()
        label = f"provider: {said} for {NAMES[slot]}'s token {worker.sent}"
        yield Step(label, response.state.with_worker(slot, answered), response.violation)
        if not state.faults:
            return
        refused = worker._replace(answer=Answer.REFUSED)
        yield Step(f"provider: refuses {NAMES[slot]}, later", state.spend_fault().with_worker(slot, refused))
        if response.answer is Answer.ROTATED:
            failed = response.state.spend_fault().with_worker(slot, worker._replace(answer=Answer.ERROR))
            yield Step(f"provider: rotates {NAMES[slot]}'s token {worker.sent} and answers with an error", failed)

    @staticmethod
    def _receive(state: State, slot: int) -> Step[State]:
        worker = state.workers[slot]
        if worker.answer is not Answer.ROTATED:
            return Step(f"{NAMES[slot]}: learns {worker.answer.name.lower()}", _failed(state, slot, worker.answer))
        holding = worker._replace(phase=Phase.HOLDING, answer=Answer.NONE, call_age=0)
        return Step(f"{NAMES[slot]}: holds token {worker.got}", state.with_worker(slot, holding))

    def _commit(self, state: State, slot: int) -> Iterator[Step[State]]:
        written = commit(state, slot, self._variant)
        got = state.workers[slot].got
        label = f"{NAMES[slot]}: stores token {got}" if written.applied else f"{NAMES[slot]}: may not store token {got}"
        yield _ended(label, written, slot)
        if state.faults and written.applied:
            yield Step(f"{label}, reply lost", written.state.spend_fault(), written.violation)

    def _record_failure(self, state: State, slot: int) -> Iterator[Step[State]]:
        written = record_failure(state, slot, self._variant)
        flagged = state.row.active and not written.state.row.active
        label = "flags the connection" if flagged else "records a failure" if written.applied else "finds it moved on"
        yield _ended(f"{NAMES[slot]}: {label}", written, slot)

    def _crash(self, state: State, slot: int) -> Step[State]:
        """The worker is killed (or the table refuses until it is): its request, if any, is on its own."""
        worker = state.workers[slot]
        ended = state.spend_fault().end_worker(slot)
        if worker.phase is Phase.ASKING:
            ended = ended.with_orphan(self._orphan_of(worker))
        return Step(f"{NAMES[slot]}: dies ({worker.phase.name.lower()})", ended)


def _ended(label: str, written: Write, slot: int) -> Step[State]:
    return Step(label, written.state.end_worker(slot), written.violation)


def _failed(state: State, slot: int, answer: Answer) -> State:
    worker = state.workers[slot]
    failed = Worker(Phase.FAILED, worker.age, worker.base, worker.sent, NO_TOKEN, answer, 0, worker.doubt)
    return state.with_worker(slot, failed)
