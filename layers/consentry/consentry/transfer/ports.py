"""What moving connections needs of the table: pages of records with their grants, and nothing of access tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from consentry.model import Connection


@dataclass(frozen=True, slots=True)
class GrantPage:
    """`end` is where to go on after: tenant and sort key; None at the end of the table."""

    records: Sequence[Connection]
    end: tuple[str, str] | None


class Grants(Protocol):
    def page(self, after: tuple[str, str] | None, *, limit: int) -> GrantPage:
        """Return the next page of the table, sealed grants included; rows that cannot be read are logged."""
