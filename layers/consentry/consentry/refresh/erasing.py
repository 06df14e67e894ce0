"""Bring a connection that was disconnected to its end: withdraw its grant, then erase its record; within a day.

Found by the schedule like everything that is due. Nothing happens under another worker's lease: whoever refreshes just
now finishes, and leaves its new grant in the record.
"""

from dataclasses import dataclass
from typing import Final

from consentry import log
from consentry.model import Connection
from consentry.ports import Clock, Connections, Randomness, StorageUnavailable
from consentry.refresh.asking import Unprepared, unprepared
from consentry.refresh.erasures import Claim, Erasures
from consentry.refresh.policy import CLOCK_SKEW, GUARD, LEASE, Outcome, backoff_seconds
from consentry.refresh.saving import insistently, told
from consentry.refresh.withdrawing import NotYet, Unrevocable, WithdrawGrant, Withdrawn

GIVE_UP_SECONDS: Final = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseConnection:
    clock: Clock
    randomness: Randomness
    connections: Connections
    erasures: Erasures
    withdraw: WithdrawGrant
    epoch: int

    def __call__(self, record: Connection) -> Outcome:
        """Bring a record of status `deleting` to its end, or nearer to it.

        Raise `Unprepared` if nothing could be begun.
        """
        now = self.clock.now()
        if record.epoch != self.epoch:
            raise Unprepared(Outcome.OTHER_EPOCH, Outcome.OTHER_EPOCH)
        if record.due_at is None or record.due_at > now + CLOCK_SKEW:
            return Outcome.WAITING
        if self.clock.remaining_seconds() < GUARD:
            raise Unprepared(Outcome.WAITING, "no_time_left")
        claim = Claim(owner=self.randomness.token(), now=now, until=now + LEASE, due_at=now + LEASE + 1)
        with unprepared():
            claimed = self.erasures.claim(record, claim)
            if claimed is None:
                self.connections.unmark(record)  # a lease ends within a minute, and the next sweep looks again
        return self._end(claimed, claim.owner) if claimed else Outcome.BUSY

    def _end(self, record: Connection, owner: str) -> Outcome:
        is_last = self.clock.now() >= record.deleting_since + GIVE_UP_SECONDS
        try:
            withdrawn = self.withdraw(record, owner, last_try=is_last)
        except Unrevocable as reason:
            withdrawn = Withdrawn(record=reason.record or record, shortfall=str(reason))
        except NotYet as trouble:
            if not is_last:
                return self._delay(record, owner, trouble)
            withdrawn = Withdrawn(record=record, shortfall=f"given_up:{trouble.error}")
        return self._erase(withdrawn, owner)

    def _delay(self, record: Connection, owner: str, trouble: NotYet) -> Outcome:
        pause = backoff_seconds(record.failures, self.randomness.fraction(), trouble.retry_after_seconds)
        due_at = self.clock.now() + pause
        fields = {**told(record), "outcome": trouble.outcome, "error": trouble.error, "next_try_at": due_at}
        log.record("revocation put off", fields, level="warning")
        with unprepared():
            began = self.clock.now() if trouble.lost else None
            error = f"revocation:{trouble.error}"
            self.erasures.delay(record, owner, error=error, due_at=due_at, doubt_began_at=began)
        return trouble.outcome

    def _erase(self, withdrawn: Withdrawn, owner: str) -> Outcome:
        record, revoked = withdrawn.record, not withdrawn.shortfall
        outcome = Outcome.ERASED if revoked else Outcome.ERASED_UNREVOKED
        fields = {**told(record), "outcome": outcome, "revoked": revoked, "detail": withdrawn.shortfall}
        try:
            erased = insistently(self.clock, lambda: self.erasures.erase(record, owner, revoked=revoked))
        except StorageUnavailable as trouble:
            raise Unprepared(Outcome.UNAVAILABLE, trouble.detail) from None
        if not erased:  # a refresh left another grant here meanwhile: that one is next
            return Outcome.WAITING
        log.record("connection erased", fields, level="info" if revoked else "warning")
        return outcome
