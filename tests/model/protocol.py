"""The whole model: workers, record, provider and time, and the properties that must hold in every state."""

from collections.abc import Iterator
from typing import Final

from tests.model.checker import Protocol, Result, Step, search
from tests.model.provider import STRICT, ProviderKind, act_on
from tests.model.state import NO_TOKEN, NOBODY, Phase, Row, Server, State, Worker
from tests.model.variants import Variant
from tests.model.worker import NAMES, Steps

TWO_IN_FLIGHT: Final = "two requests in flight"
SILENTLY_DEAD: Final = "silently dead"


def explore(
    variant: Variant, faults: int, horizon: int, jobs: int, *, kind: ProviderKind = STRICT, workers: int = 2
) -> Result:
    """Visit everything that `workers` can do to one connection within `horizon` ticks, `jobs` jobs and `faults` faults.

    Returns the number of states and the violations found. Raises `TooManyStates` where that is more than can be held.
    """
    return search(refresh_protocol(variant, faults, jobs, kind=kind, workers=workers), horizon)


def refresh_protocol(
    variant: Variant, faults: int, jobs: int, *, kind: ProviderKind = STRICT, workers: int = 2
) -> Protocol[State]:
    """Put one connection, its workers and its provider together. Every job finds it due, which is the worst case."""
    if not 1 <= workers <= len(NAMES):
        raise ValueError(f"the model has one to {len(NAMES)} workers, not {workers}")
    initial = State(Row(), Server(), (Worker(),) * workers, (), jobs, faults)
    steps = Steps(variant, kind)

    def everything(state: State) -> Iterator[Step[State]]:
        for slot in range(workers):
            yield from steps.of(state, slot)
        idle = next((slot for slot, worker in enumerate(state.workers) if worker.phase is Phase.IDLE), None)
        if idle is not None:  # idle workers are alike: the first of them stands for all
            yield from steps.start(state, idle)
        yield from _orphans_act(state, kind)
        if _time_may_pass(state, variant):
            yield Step("a tick passes", tick(state, variant, kind), ticks=1)

    return Protocol(initial, everything, violated)


def violated(state: State) -> Iterator[str]:
    """Name what is wrong with a state. What is wrong with a step is said by the step."""
    asking = sum(worker.phase is Phase.ASKING for worker in state.workers)
    unanswered = sum(not orphan.closed for orphan in state.orphans)
    if asking + unanswered > 1:
        yield TWO_IN_FLIGHT
    if _is_silently_dead(state):
        yield SILENTLY_DEAD


def _is_silently_dead(state: State) -> bool:
    """Nothing is under way, the record is active, its token is dead, and nothing on record says that it may be."""
    at_rest = all(worker.phase is Phase.IDLE for worker in state.workers)
    settled = all(orphan.token == NO_TOKEN for orphan in state.orphans)
    row = state.row
    return at_rest and settled and row.active and not row.in_doubt and not state.server.lives(row.token)


def _orphans_act(state: State, kind: ProviderKind) -> Iterator[Step[State]]:
    """A request whose worker has gone is processed late; that it never is, is its time running out."""
    for index, orphan in enumerate(state.orphans):
        if orphan.token != NO_TOKEN:
            rest = (*state.orphans[:index], *state.orphans[index + 1 :])
            response = act_on(state._replace(orphans=rest), orphan.token, kind)
            label = f"provider: {response.answer.name.lower()} for a late token {orphan.token}"
            late = response.state.with_orphan(orphan._replace(token=NO_TOKEN))
            yield Step(label, late, response.violation)


def _time_may_pass(state: State, variant: Variant) -> bool:
    """A call ends in time, and so does a function with a hard timeout: being late is a fault, and has its price."""
    late_call = any(worker.phase is Phase.ASKING and worker.call_age >= variant.call for worker in state.workers)
    late = variant.hard_timeout and any(worker.age >= variant.function for worker in state.workers)
    return not (late_call or late)


def tick(state: State, variant: Variant, kind: ProviderKind) -> State:
    """Everything becomes one tick older, as far as anything can depend on it."""
    row, server = state.row, state.server
    settled = variant.lease + variant.settle
    row = row._replace(
        lease_age=0 if row.owner == NOBODY else min(row.lease_age + 1, variant.lease),
        pend_age=min(row.pend_age + 1, settled) if row.in_doubt else 0,
    )
    server = server._replace(rotated_age=min(server.rotated_age + 1, kind.grace))
    workers = tuple(_older(worker, variant) for worker in state.workers)
    orphans = tuple(orphan._replace(left=orphan.left - 1) for orphan in state.orphans if orphan.left > 1)
    return State(row, server, workers, orphans, state.jobs, state.faults)


def _older(worker: Worker, variant: Variant) -> Worker:
    if worker.phase is Phase.IDLE:
        return worker
    age = worker.age + 1 if variant.hard_timeout else 0
    return worker._replace(age=age, call_age=worker.call_age + 1 if worker.phase is Phase.ASKING else 0)
