"""The writes to the record, each as conditional as its variant makes it."""

from typing import Final, NamedTuple

from tests.model.state import NO_GEN, NOBODY, Answer, Row, State
from tests.model.variants import Fence, Refusal, Variant

LIVE_TOKEN_DISCARDED: Final = "live token discarded"
LIVE_TOKEN_CONDEMNED: Final = "live token condemned"
LINEAGE_BROKEN: Final = "lineage broken"


class Write(NamedTuple):
    """The state after a write, whether it was applied, and the property it broke, if any."""

    state: State
    applied: bool
    violation: str = ""


def lease_is_free(row: Row, variant: Variant) -> bool:
    return row.owner == NOBODY or row.lease_age >= variant.lease


def may_attempt(row: Row, variant: Variant) -> bool:
    """The condition of the lease, but for the generation: active, free, and no request that may still be acted on."""
    settled = not (variant.settle and row.in_doubt) or row.pend_age >= variant.lease + variant.settle
    return row.active and lease_is_free(row, variant) and settled


def take_lease(state: State, slot: int, variant: Variant) -> Write:
    """Take the lease, and with it the intent where that is one write."""
    row = state.row
    lineage_kept = variant.fence is not Fence.LINEAGE or row.gen == state.workers[slot].base
    if not (may_attempt(row, variant) and lineage_kept):
        return Write(state, applied=False)
    leased = row._replace(owner=slot, lease_age=0)
    if variant.intent and variant.one_write:
        leased = leased._replace(pend_gen=row.gen, pend_age=0)
    return Write(state.with_row(leased), applied=True)


def write_intent(state: State, slot: int) -> Write:
    """The second of two writes, if generation and lease are still the worker's."""
    row = state.row
    if row.owner != slot or row.gen != state.workers[slot].base:
        return Write(state, applied=False)
    return Write(state.with_row(row._replace(pend_gen=row.gen, pend_age=0)), applied=True)


def commit(state: State, slot: int, variant: Variant) -> Write:
    """Write the new token; a write that was refused gives up what may be the only copy of it."""
    row, worker = state.row, state.workers[slot]
    if not _passes(row, slot, worker.base, variant.fence):
        lost = state.server.lives(worker.got) and row.token != worker.got
        return Write(state, applied=False, violation=LIVE_TOKEN_DISCARDED if lost else "")
    derived = row.gen == worker.base and row.token == worker.sent
    repeated = row.gen == worker.base + 1 and row.token == worker.got
    written = row._replace(gen=worker.base + 1, token=worker.got, active=True)
    if variant.fence is Fence.LINEAGE:
        written = _without_intent(_without_lease(written))
    else:
        written = _released(written, slot, variant)
    return Write(state.with_row(written), applied=True, violation="" if derived or repeated else LINEAGE_BROKEN)


def record_failure(state: State, slot: int, variant: Variant) -> Write:
    """Write down what came of a request that brought no token; `invalid_grant` ends the connection."""
    row, worker = state.row, state.workers[slot]
    if variant.fence is not Fence.NOTHING and row.owner != slot:
        return Write(state, applied=False)
    if variant.fence is Fence.LINEAGE and (row.gen != worker.base or not row.active):
        return Write(state, applied=False)
    written = _released(row, slot, variant)
    if worker.answer is Answer.INVALID_GRANT:
        condemned = state.server.lives(row.token)
        marked = state.with_row(written._replace(active=False))
        return Write(marked, applied=True, violation=LIVE_TOKEN_CONDEMNED if condemned else "")
    if _ends_doubt(worker.answer, variant, older_doubt=worker.doubt):
        written = _without_intent(written)
    return Write(state.with_row(written), applied=True)


def abort(state: State, slot: int, variant: Variant) -> Write:
    """Give up before the request was sent: the lease may go, the intent may not (where the variant knows that)."""
    row = state.row
    if row.owner != slot:
        return Write(state, applied=False)
    released = _without_lease(row)
    return Write(state.with_row(_without_intent(released) if variant.abort_clears_intent else released), applied=True)


def _passes(row: Row, slot: int, base: int, fence: Fence) -> bool:
    match fence:
        case Fence.NOTHING:
            return True
        case Fence.OWNER:
            return row.owner == slot
        case Fence.LINEAGE:
            return row.gen == base


def _ends_doubt(answer: Answer, variant: Variant, *, older_doubt: bool) -> bool:
    definite = answer is Answer.REFUSED or (answer is Answer.ERROR and variant.error_counts_as_refusal)
    match variant.refusal:
        case Refusal.KEEPS_INTENT:
            return False
        case Refusal.ENDS_ITS_OWN:
            return definite and not older_doubt
        case Refusal.ENDS_ANY:
            return definite


def _released(row: Row, slot: int, variant: Variant) -> Row:
    return _without_lease(row) if variant.releases_any or row.owner == slot else row


def _without_lease(row: Row) -> Row:
    return row._replace(owner=NOBODY, lease_age=0)


def _without_intent(row: Row) -> Row:
    return row._replace(pend_gen=NO_GEN, pend_age=0)
