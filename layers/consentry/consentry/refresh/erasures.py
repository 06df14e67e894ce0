"""The way out of the table `connections`: single-item conditional writes, all but the first under a claim."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from consentry.model import Connection, ConnectionKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A lease on a record that is to be erased. `due_at` is when it must be looked at again if this worker dies."""

    owner: str
    now: int
    until: int
    due_at: int


class Erasures(Protocol):
    def claim(self, record: Connection, claim: Claim) -> Connection | None:
        """Take the lease; return the record as it was before, or None if it is leased or moved on."""

    def keep(self, record: Connection, owner: str, *, grant: bytes, commit_id: str) -> bool:
        """Replace the grant by its successor; return whether the claim still held."""

    def delay(
        self, record: Connection, owner: str, *, error: str, due_at: int, doubt_began_at: int | None = None
    ) -> None:
        """Give the lease back, and look again later, in doubt if one began, if the claim still holds."""

    def erase(self, record: Connection, owner: str, *, revoked: bool) -> bool:
        """Delete the record if the claim holds and its grant is the one that was read; return whether it is gone.

        What became of the grant is written into it first: whoever reads the table's stream finds it in what was erased.
        """

    def of_account(self, client_account: str) -> Iterator[ConnectionKey | None]:
        """Walk through the connections of a client and account; None for a row that cannot be read."""
