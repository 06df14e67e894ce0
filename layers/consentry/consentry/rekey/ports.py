"""What replacing keys needs: rows as ciphertexts and nothing else, one conditional write, and what else is sealed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from consentry import ports
from consentry.model import Field

type Place = tuple[str, str]
"""Tenant and sort key, as they stand in the table."""
type Ciphertexts = Mapping[Field, bytes]


@dataclass(frozen=True, slots=True)
class Row:
    """A connection's ciphertexts by field. `problem` says why the row is not understood; empty for all others."""

    place: Place
    sealed: Ciphertexts = field(repr=False)
    problem: str = ""

    def context(self, what: Field) -> dict[str, str]:
        tenant, connection = self.place
        return {"tenant": tenant, "connection": connection, "field": what.value}


@dataclass(frozen=True, slots=True)
class RowPage:
    """`end` is where to go on after; None at the end of the table."""

    rows: Sequence[Row]
    end: Place | None


class Rows(Protocol):
    """The table `connections`, of which only ciphertexts are seen and written."""

    def page(self, after: Place | None, *, limit: int) -> RowPage:
        """Return the next page after a place, which need not exist any more; from the beginning without one."""

    def again(self, place: Place) -> Row | None:
        """Return a row as it stands now; None if it is gone."""

    def replace(self, row: Row, successors: Ciphertexts) -> bool:
        """Put successors in the place of the very ciphertexts that were read; False if one is not there any more.

        Raise `StorageUnavailable` if nobody knows whether it was written.
        """


@dataclass(frozen=True, slots=True)
class OpenFlow:
    """A consent under way: what it keeps sealed, and until when that counts, in epoch seconds."""

    sealed: Sequence[bytes] = field(repr=False)
    ends_at: int


class Flows(Protocol):
    def open(self, now: int) -> Iterator[OpenFlow]:
        """Walk through the consents that may still be completed."""


class Envelopes(ports.Envelopes, Protocol):
    def is_current(self, ciphertext: bytes, field: Field) -> bool:
        """Return whether a ciphertext names the key that is sealed with now; no call. Raise `UnreadableRecord`."""
