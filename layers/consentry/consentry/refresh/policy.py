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
COMMIT: Final = 5
FUNCTION: Final = 45
LEASE: Final = FUNCTION + 15
SETTLE: Final = 35
# Time that must be left before a request may be sent: the call, connecting, and writing down what came of it.
GUARD: Final = CALL + 3 + COMMIT
LAST_WRITE: Final = 3

_BACKOFF_FIRST: Final = 15
_BACKOFF_LAST: Final = 900
_CREDENTIAL_RETRY: Final = 60
_BEFORE_EXPIRY: Final = 120


class Outcome(StrEnum):
    """How a look at a connection ended."""

    REFRESHED = "refreshed"
    FRESH = "fresh"
    ADOPTED = "adopted"
    BUSY = "busy"
    WAITING = "waiting"
    ABSENT = "absent"
    UNAVAILABLE = "unavailable"
    TABLE_UNAVAILABLE = "table_unavailable"
    UNFORESEEN = "unforeseen"
    RETRY_LATER = "retry_later"
    OPERATOR = "operator"
    IN_DOUBT = "in_doubt"
    REAUTH_REQUIRED = "reauth_required"
    NOT_ACTIVE = "not_active"
    OTHER_EPOCH = "other_epoch"
    NOT_REFRESHABLE = "not_refreshable"
    ROTATION_LOST = "rotation_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Why somebody looks at a connection: it is due, or a reader's token of that generation was rejected."""

    now: int
    epoch: int
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
        (forced and record.gen > (look.rejected_gen or 0), Outcome.FRESH),
        (not forced and (record.due_at is None or record.due_at > look.now), Outcome.FRESH),
        (record.lease_until > look.now, Outcome.BUSY),
        (record.next_try_at > look.now, Outcome.WAITING),
        (record.in_doubt and record.pend_at + settle_seconds(behaviour) > look.now, Outcome.WAITING),
    )
    return next((outcome for holds, outcome in reasons if holds), None)


def in_doubt_due_at(record: Connection, behaviour: RefreshBehaviour, now: int) -> int:
    """Return when to look again if the request about to be sent is never answered.

    Nothing rotates: right after the lease. A grace for reuse: as soon as the first request must have settled. Strict
    rotation: asking again may cost the whole family, so not before shortly before the access token's end.
    """
    settled = now + settle_seconds(behaviour) + 1
    strict = behaviour.rotation is Rotation.ROTATES and behaviour.reuse_grace_seconds == 0
    if strict and record.expires_at is not None:
        return max(settled, record.expires_at - _BEFORE_EXPIRY)
    return settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to write after a request that brought no token. `answered` ends the doubt that the request began."""

    outcome: Outcome
    next_try_at: int = 0
    answered: bool = False
    cause: Cause | None = None


def backoff_seconds(failures: int, fraction: float, retry_after_seconds: int | None = None) -> int:
    """Decorrelated jitter: between the first pause and three times the last one, at most a quarter of an hour."""
    ceiling = min(_BACKOFF_LAST, _BACKOFF_FIRST * 3 ** min(failures, 8))
    pause = int(_BACKOFF_FIRST + fraction * (ceiling - _BACKOFF_FIRST))
    return max(pause, retry_after_seconds or 0)


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
    answered = not refusal.processed and not older_doubt
    pause = backoff_seconds(before.failures, fraction, refusal.retry_after_seconds)
    retry_at = now + (pause if answered else _unanswered_pause(pause, behaviour))
    match refusal.kind:
        case FailureClass.GONE:
            cause = Cause.AMBIGUOUS_ROTATION if older_doubt else Cause.GRANT_REVOKED
            return Verdict(outcome=Outcome.REAUTH_REQUIRED, cause=cause)
        case FailureClass.CREDENTIAL_REJECTED if before.failures > 0 and before.last_error.startswith(refusal.kind):
            return Verdict(outcome=Outcome.REAUTH_REQUIRED, cause=Cause.CREDENTIAL_REJECTED)
        case FailureClass.CREDENTIAL_REJECTED:
            return Verdict(outcome=Outcome.RETRY_LATER, next_try_at=now + _CREDENTIAL_RETRY, answered=answered)
        case FailureClass.OPERATOR:
            return Verdict(outcome=Outcome.OPERATOR, next_try_at=retry_at, answered=answered)
        case FailureClass.LATER:
            return Verdict(outcome=Outcome.RETRY_LATER, next_try_at=retry_at, answered=answered)
        case FailureClass.IN_DOUBT:
            return Verdict(outcome=Outcome.IN_DOUBT, next_try_at=in_doubt_due_at(before, behaviour, now))


def _unanswered_pause(pause: int, behaviour: RefreshBehaviour) -> int:
    """No lease can be taken before the request has settled; after that no pause may eat a provider's grace."""
    settled = settle_seconds(behaviour) + 1
    return settled if behaviour.reuse_grace_seconds else max(pause, settled)
