"""Try flagged connections again, after a provider refused them by mistake."""

import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from consentry.maintain.ports import Entry, Inventory
from consentry.maintain.wish import Wish
from consentry.model import Cause, ConnectionKey, Status
from consentry.ports import Clock

SPREAD_SECONDS: Final = 600


class Fate(StrEnum):
    """What becomes of a record: due again, flagged but left so, or not one of those that were asked for."""

    RETRIED = "retried"
    SKIPPED = "skipped"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    clock: Clock
    inventory: Inventory
    epoch: int
    wish: Wish

    def __call__(self, entry: Entry) -> str:
        """Treat one record; a flagged one without a grant, of another epoch, or that moved on stays as it is."""
        record = entry.record
        flagged = record.status is Status.REAUTH_REQUIRED and record.status_cause == self.wish.cause
        if not flagged or entry.attention_since < self.wish.since:
            return Fate.OTHER
        if not record.grant or record.epoch != self.epoch:
            return Fate.SKIPPED
        due_at = self.clock.now() + spread_seconds(record.key)
        # Every other refusal was an answer to the only request there was: no doubt is left. See ADR 5.
        answered = record.status_cause != Cause.AMBIGUOUS_ROTATION
        if not self.wish.dry_run and not self.inventory.reactivate(entry, due_at=due_at, answered=answered):
            return Fate.SKIPPED
        return Fate.RETRIED


def spread_seconds(key: ConnectionKey) -> int:
    """Return how long this connection waits for its turn, always the same: below `SPREAD_SECONDS`."""
    return zlib.crc32(f"{key.tenant}|{key.sort_key}".encode()) * SPREAD_SECONDS >> 32
