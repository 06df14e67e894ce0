"""Disconnect: from one conditional write on nobody gets a token; the grant is revoked and the record erased after it.

The revocation is the refresh function's (`consentry.refresh.erasing`), which alone may open a grant.
"""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from consentry import log
from consentry.errors import Conflict, ConsentryError, InvalidRequest, NotConnected, UnreadableRecord
from consentry.model import ConnectionKey, Removal
from consentry.ports import Catalogue, Clock, Connections

_AT_ONCE: Final = 10
_STOP_SECONDS: Final = 15  # a read and a write that hang, each with its one retry (`bootstrap`), and the answer


class Marked(StrEnum):
    """`REPLACED`: the connection descends from another consent than the one to be ended, and was left as it is.

    `UNREADABLE`: a row of another version than this code knows, which it does not touch.
    """

    DELETING = "deleting"
    ABSENT = "absent"
    REPLACED = "replaced"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class NamedConnections:
    """Some connections of a tenant, as `<integration>#<name>`; the next ones follow after `end`, unless it is empty."""

    names: Sequence[str]
    end: str


class Removals(Protocol):
    def mark(self, key: ConnectionKey, *, now: int, removal: Removal, consent: str | None = None) -> Marked:
        """Take the access token away and leave the grant for its revocation, due now, in one conditional update.

        What is marked already stays as it is, but that uninstalling may still be asked for. With a `consent` (empty for
        a record without one), only a connection that descends from it is marked.
        """

    def names_of(self, tenant: str, *, after: str, limit: int) -> NamedConnections:
        """Return the next page after a name, which need not exist any more; from the beginning without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    clock: Clock
    connections: Connections
    removals: Removals
    catalogue: Catalogue

    def __call__(self, key: ConnectionKey, *, uninstall: bool, consent: str | None = None) -> None:
        """Raise `NotConnected` if there is no such connection, `InvalidRequest` if its provider has no uninstalling.

        With a `consent`, raise `Conflict` if the connection was made anew since.
        """
        if uninstall:
            self._require_uninstalling(key)
        removal = Removal.UNINSTALL if uninstall else Removal.REVOKE
        match self.removals.mark(key, now=self.clock.now(), removal=removal, consent=consent):
            case Marked.ABSENT:
                raise _absent(key)
            case Marked.REPLACED:
                public = "This connection was made anew meanwhile, and was left as it is. Look at it before you end it."
                raise Conflict(public, code="connection_replaced")
            case Marked.UNREADABLE:
                raise UnreadableRecord("The stored connection cannot be read. The operator's log has the reason.")
            case Marked.DELETING:
                return

    def _require_uninstalling(self, key: ConnectionKey) -> None:
        record = self.connections.read(key)
        if record is None:
            raise _absent(key)
        provider = self.catalogue.provider(record.provider)
        if not provider.uninstall_url:
            public = f"{provider.name} has no way to uninstall an application. Leave out uninstall to disconnect."
            raise InvalidRequest(public, code="cannot_uninstall")


@dataclass(frozen=True, slots=True)
class TenantDisconnected:
    """How many connections are on their way out, how many rows could not be touched, and where to go on (or empty)."""

    deleting: int
    skipped: int
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DisconnectTenant:
    clock: Clock
    removals: Removals

    def __call__(self, tenant: str, *, after: str) -> TenantDisconnected:
        """Mark every connection of a tenant, for as long as there is time; doing it again changes nothing."""
        counts = Counter[Marked]()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while True:
                page = self.removals.names_of(tenant, after=after, limit=_AT_ONCE)
                counts.update(pool.map(lambda name: self._marked(tenant, name), page.names))
                after = page.end
                if not after or self.clock.remaining_seconds() < _STOP_SECONDS:
                    return TenantDisconnected(counts[Marked.DELETING], counts[Marked.UNREADABLE], after)

    def _marked(self, tenant: str, name: str) -> Marked:
        try:
            key = ConnectionKey.from_sort_key(tenant, name)
        except InvalidRequest:
            marked = Marked.UNREADABLE
        else:
            marked = self.removals.mark(key, now=self.clock.now(), removal=Removal.REVOKE)
        if marked is Marked.UNREADABLE:
            log.record("row not readable, passed over", {"tenant": tenant, "connection": name}, level="critical")
        return marked


def _absent(key: ConnectionKey) -> ConsentryError:
    return NotConnected(f"{key.tenant} has no connection {key.integration}/{key.name}, or it is gone already")
