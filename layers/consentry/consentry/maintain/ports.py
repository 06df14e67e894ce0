"""What an operator's work on the whole table needs: pages of records, and two conditional writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from consentry.model import Connection


@dataclass(frozen=True, slots=True)
class Entry:
    """A record without its access token. `attention_since` says since when it needs its customer, in epoch seconds."""

    record: Connection
    attention_since: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """A row's key as it stands in the table, whether or not the row can be read: where to go on after."""

    tenant: str
    connection: str

    @classmethod
    def of(cls, record: Connection) -> Self:
        return cls(record.key.tenant, record.key.sort_key)


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in the table's own order, but for rows that cannot be read; these are logged. The last has no `end`."""

    entries: Sequence[Entry]
    end: Place | None


@dataclass(frozen=True, slots=True)
class Doubt:
    """An intent as if a request had been sent at `began_at`; None in `due_at` leaves the schedule without it."""

    began_at: int
    due_at: int | None


class Inventory(Protocol):
    """The table `connections` as a whole. Both writes apply only to the very record that was read."""

    def page(self, after: Place | None, *, limit: int) -> Page:
        """Return the next page after a place, which need not exist any more; from the beginning without one."""

    def adopt(self, record: Connection, *, epoch: int, now: int, doubt: Doubt | None = None) -> bool:
        """Bring a record into the epoch, in doubt or as it was; refused while a lease lasts, or if it moved on."""

    def reactivate(self, entry: Entry, *, due_at: int, answered: bool) -> bool:
        """End a flag and let the grant be tried at `due_at`; `answered` ends the doubt that its request began."""
