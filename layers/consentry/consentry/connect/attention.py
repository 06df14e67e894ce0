"""Who must connect again, across tenants; and a tenant's connections page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from consentry.model import Connection, ConnectionKey, Status

ATTENTION: Final = (Status.REAUTH_REQUIRED, Status.SCOPE_INSUFFICIENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flagged:
    """A connection that needs its customer, as the index shows it; `since` in epoch seconds."""

    key: ConnectionKey
    status: Status
    cause: str
    provider: str
    label: str
    since: int


@dataclass(frozen=True, slots=True)
class FlaggedPage:
    """The longest flagged first, and the last place that was looked at; empty once all was seen."""

    flagged: Sequence[Flagged]
    next: str


@dataclass(frozen=True, slots=True)
class ConnectionPage:
    """Connections without access tokens and grants, by integration and name; `next` as in `FlaggedPage`."""

    connections: Sequence[Connection]
    next: str


class Listings(Protocol):
    """The table `connections` by pages. Rows that cannot be read are logged and left out."""

    def flagged(self, status: Status, *, after: str, limit: int) -> FlaggedPage:
        """Raise `InvalidRequest` unless `after` is empty or what the page before said."""

    def of_tenant(self, tenant: str, *, after: str, limit: int) -> ConnectionPage: ...
