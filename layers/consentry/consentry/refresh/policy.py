"""What next? Pure functions of record, answer, clock and provider data; no I/O, and nothing remembered.

Constants of the protocol, in seconds. A provider call ends after `CALL` (connecting included), the function is killed
after `FUNCTION`, and a lease outlives both, so that no worker can still act when its lease is taken over. A request
that was given up on may still be processed for `SETTLE`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from consentry.model import Cause, Connection, Status
from consentry.oauth.provider import RefreshBehaviour, Rotation
from consentry.oauth.wire import FailureClass

CALL: Final = 25
COMMIT: Final = 8
FUNCTION: Final = 45
LEASE: Final = FUNCTION + 15
SETTLE: Final = 35
CLOCK_SKEW: Final = 5
# Time that must be left before a request may be sent: the call, connecting, and writing down what came of it.
GUARD: Final = CALL + 3 + COMMIT
# A write, and then a message, may hang for three seconds each (`bootstrap`): below this, a new token goes into escrow.
ESCROW: Final = 7

_BACKOFF_FIRST: Final = 15
_BACKOFF_LAST: Final = 900
_REFUSED_RETRY: Final = 60
_HELD_FIRST: Final = 900
_HELD_LAST: Final = 7200
_BEFORE_EXPIRY: Final = 120
_UNPREPARED_FIRST: Final = 60


class Outcome(StrEnum):
    """How a look at a connection ended."""

    REFRESHED = "refreshed"
    FRESH = "fresh"
    ADOPTED = "adopted"
    BUSY = "busy"
    WAITING = "waiting"
    ABSENT = "absent"
    UNAVAILABLE = "unavailable"
    UNREADABLE = "unreadable"
    TABLE_UNAVAILABLE = "table_unavailable"
    UNFORESEEN = "unforeseen"
    RETRY_LATER = "retry_later"
    OPERATOR = "operator"
    IN_DOUBT = "in_doubt"
    REAUTH_REQUIRED = "reauth_required"
    NOT_ACTIVE = "not_active"
    HELD_BACK = "held_back"
    HELD = "held"
    OTHER_EPOCH = "other_epoch"
    NOT_REFRESHABLE = "not_refreshable"
    ESCROWED = "escrowed"
    ROTATION_LOST = "rotation_lost"
    ERASED = "erased"
    ERASED_UNREVOKED = "erased_unrevoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Why somebody looks at a connection: it is due, or a reader's token of that generation was rejected."""

    now: int
    epoch: int
    min_refresh_seconds: int = 60
    rejected_gen: int | None = None


def settle_seconds(behaviour: RefreshBehaviour) -> int:
    """How long after an unanswered request another may follow: nothing is at stake where nothing rotates."""
    return LEASE + SETTLE if behaviour.rotation is Rotation.ROTATES else LEASE


def reason_to_wait(record: Connection, look: Look, behaviour: RefreshBehaviour) -> Outcome | None:
    """Return why no request should be sent now, or None if one should."""
    forced = look.rejected_gen is not None
    reasons = (
        (record.epoch != look.epoch, Outcome.OTHER_EPOCH),
        (record.status is not Status.ACTIVE, Outcome.NOT_ACTIVE),
        (forced and record.gen != look.rejected_gen, Outcome.FRESH),
        (forced and record.gen > 1 and record.refreshed_at + look.min_refresh_seconds > look.now, Outcome.WAITING),
        (not forced and (record.due_at is None or record.due_at > look.now + CLOCK_SKEW), Outcome.FRESH),
        (record.lease_until > look.now, Outcome.BUSY),
        (record.next_try_at > look.now + CLOCK_SKEW, Outcome.WAITING),
        (record.in_doubt and record.pend_at + settle_seconds(behaviour) > look.now, Outcome.WAITING),
    )
    return next((outcome for holds, outcome in reasons if holds), None)


def in_doubt_due_at(record: Connection, behaviour: RefreshBehaviour, now: int) -> int:
    """Return when to look again if the request about to be sent is never answered.

    Nothing rotates: right after the lease. A grace for reuse: as soon as the first request must have settled. Strict
    rotation: asking again may cost the whole family, so not before shortly before the access token's end.
    """
    settled = now + settle_seconds(behaviour) + 1
    if rotates_strictly(behaviour) and record.expires_at is not None:
        return max(settled, record.expires_at - _BEFORE_EXPIRY)
    return settled


def rotates_strictly(behaviour: RefreshBehaviour) -> bool:
    """Whether presenting a refresh token twice costs the grant."""
    return behaviour.rotation is Rotation.ROTATES and behaviour.reuse_grace_seconds == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to write after a request that brought no token.

    Nobody asks before `next_try_at`, and the schedule not before `due_at`. `answered` ends the doubt that the request
    began.
    """

    outcome: Outcome
    next_try_at: int = 0
    due_at: int = 0
    answered: bool = False
    cause: Cause | None = None


def backoff_seconds(failures: int, fraction: float, retry_after_seconds: int | None = None) -> int:
    """Decorrelated jitter: between the first pause and three times the last one, at most a quarter of an hour."""
    ceiling = min(_BACKOFF_LAST, _BACKOFF_FIRST * 3 ** min(failures, 8))
    pause = int(_BACKOFF_FIRST + fraction * (ceiling - _BACKOFF_FIRST))
    return max(pause, retry_after_seconds or 0)


def unprepared_pause_seconds(failures: int) -> int:
    """How long to leave a connection alone for which a request could not even be prepared: one minute to fifteen."""
    return min(_BACKOFF_LAST, _UNPREPARED_FIRST << min(failures, 8))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A token request's failure.

    `processed` says that the provider may have acted on it before failing, `repeated` that it was the replay of one
    whose answer never came.
    """

    kind: FailureClass
    error: str
    retry_after_seconds: int | None = None
    processed: bool = False
    repeated: bool = False


def verdict(before: Connection, refusal: Refusal, behaviour: RefreshBehaviour, *, now: int, fraction: float) -> Verdict:
    """Decide by class. `before` is the record as it stood when the lease was taken: an intent in it is an older doubt.

    A definite answer ends the doubt that its own request began, never an older one.
    """
    older_doubt = before.in_doubt or refusal.repeated
    match refusal.kind:
        case FailureClass.GONE if before.refused >= behaviour.gone_retries:
            cause = Cause.AMBIGUOUS_ROTATION if older_doubt else Cause.GRANT_REVOKED
            return Verdict(outcome=Outcome.REAUTH_REQUIRED, cause=cause)
        case FailureClass.CREDENTIAL_REJECTED if before.failures > 0 and before.last_error.startswith(refusal.kind):
            return Verdict(outcome=Outcome.REAUTH_REQUIRED, cause=Cause.CREDENTIAL_REJECTED)
    answered = not refusal.processed and not older_doubt
    pause = backoff_seconds(before.failures, fraction, refusal.retry_after_seconds)
    if refusal.kind in {FailureClass.CREDENTIAL_REJECTED, FailureClass.GONE}:
        pause = _REFUSED_RETRY
    if not answered:
        pause = _unanswered_pause(pause, before, behaviour, now)
    again = now + pause
    due_at = max(again, in_doubt_due_at(before, behaviour, now)) if refusal.kind is FailureClass.IN_DOUBT else again
    return Verdict(outcome=_OUTCOMES[refusal.kind], next_try_at=again, due_at=due_at, answered=answered)


def held_verdict(before: Connection, refusal: Refusal, *, now: int, fraction: float) -> Verdict:
    """Decide about a refused grant that is not to be believed, because too many others were refused with it."""
    pause = min(_HELD_LAST, _HELD_FIRST << min(before.failures, 3)) * (1 + fraction) / 2
    again = now + int(pause)
    answered = not (before.in_doubt or refusal.repeated)
    return Verdict(outcome=Outcome.HELD, next_try_at=again, due_at=again, answered=answered)


_OUTCOMES: Final = {
    FailureClass.GONE: Outcome.RETRY_LATER,
    FailureClass.CREDENTIAL_REJECTED: Outcome.RETRY_LATER,
    FailureClass.OPERATOR: Outcome.OPERATOR,
    FailureClass.LATER: Outcome.RETRY_LATER,
    FailureClass.IN_DOUBT: Outcome.IN_DOUBT,
}


def _unanswered_pause(pause: int, before: Connection, behaviour: RefreshBehaviour, now: int) -> int:
    """No lease can be taken before the request has settled; after that no pause may eat what is left of a grace."""
    settled = settle_seconds(behaviour) + 1
    doubt_began = before.pend_at if before.in_doubt else now
    grace_lasts = now + settled < doubt_began + behaviour.reuse_grace_seconds
    return settled if grace_lasts else max(pause, settled)
