"""A tenant's connections as whoever lists them sees them: never a token, neither open nor encrypted."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Self

from consentry.clients import LISTING, Clients
from consentry.envelope import unreadable
from consentry.errors import ConsentryError
from consentry.model import RECORD_VERSION, ConnectionKey, Metadata
from consentry.record import of_type, plain_values, projection

# All that a lister may see; the exported `list` policy allows these attributes and no others.
LIST_ATTRIBUTES: Final = (
    *("tenant", "connection", "v", "provider", "status", "status_cause", "account", "scopes", "metadata", "label"),
    *("description", "gen", "expires_at", "grant_expires_at", "refreshed_at", "created_at"),
    *("lost_scopes", "scopes_reduced_at"),
)
_LIST, _LIST_NAMES = projection(LIST_ATTRIBUTES)
_LOGGER: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedConnection:
    """What the management API says of a connection, by the same names; times are epoch seconds.

    `status` is `active`, `reauth_required`, `scope_insufficient` or `deleting`; `cause` says why it is not active.
    `lost_scopes` were granted once and are missing, since `scopes_reduced_at`.
    """

    tenant: str
    integration: str
    name: str
    provider: str = ""
    status: str
    cause: str = ""
    account: str = ""
    scopes: tuple[str, ...] = ()
    lost_scopes: tuple[str, ...] = ()
    scopes_reduced_at: int | None = None
    metadata: Metadata = field(default_factory=dict)
    label: str = ""
    description: str = ""
    generation: int = 1
    expires_at: int | None = None
    grant_expires_at: int | None = None
    refreshed_at: int = 0
    created_at: int = 0

    @classmethod
    def of_item(cls, item: Mapping[str, object]) -> Self:
        """Check a row's shape. Raises `UnreadableRecord` for another one, or another record version."""
        if item.get("v") != RECORD_VERSION:
            raise unreadable("record of another version")
        key = ConnectionKey.from_sort_key(item.get("tenant"), item.get("connection"))
        renamed = {"integration": key.integration, "name": key.name, "generation": item.get("gen")}
        return cls.told({**item, **renamed, "cause": item.get("status_cause", "")})

    @classmethod
    def told(cls, said: Mapping[str, object]) -> Self:
        """Check the shape of what the management API says. Raises `UnreadableRecord` for another one."""
        try:
            return cls(
                tenant=of_type(str, said["tenant"]),
                integration=of_type(str, said["integration"]),
                name=of_type(str, said["name"]),
                provider=of_type(str, said.get("provider", "")),
                status=of_type(str, said["status"]),
                cause=of_type(str, said.get("cause", "")),
                account=of_type(str, said.get("account", "")),
                scopes=_texts(said.get("scopes")),
                lost_scopes=_texts(said.get("lost_scopes")),
                scopes_reduced_at=_time(said.get("scopes_reduced_at")),
                metadata=MappingProxyType(of_type(dict, said.get("metadata", {}))),
                label=of_type(str, said.get("label", "")),
                description=of_type(str, said.get("description", "")),
                generation=of_type(int, said["generation"]),
                expires_at=_time(said.get("expires_at")),
                grant_expires_at=_time(said.get("grant_expires_at")),
                refreshed_at=of_type(int, said.get("refreshed_at", 0)),
                created_at=of_type(int, said.get("created_at", 0)),
            )
        except (KeyError, TypeError):
            raise unreadable("listed connection of another shape") from None


def _texts(value: object) -> tuple[str, ...]:
    return () if value is None else tuple(of_type(str, each) for each in of_type(list, value))


def _time(value: object) -> int | None:
    return None if value is None else of_type(int, value)


def connections_of(tenant: str, clients: Clients) -> Sequence[ListedConnection]:
    """One Query for each 1 MB. A row that cannot be read is logged, and hides no other."""
    return [each for item in _items(tenant, clients) if (each := _listed(item))]


def _items(tenant: str, clients: Clients) -> Iterator[Mapping[str, Mapping[str, object]]]:
    with clients.explained(LISTING):
        pages: Iterable[Any] = (
            clients.dynamodb()
            .get_paginator("query")
            .paginate(
                TableName=clients.setting("CONSENTRY_CONNECTIONS_TABLE"),
                Select="SPECIFIC_ATTRIBUTES",
                KeyConditionExpression="#tenant = :tenant",
                ProjectionExpression=_LIST,
                ExpressionAttributeNames=_LIST_NAMES,
                ExpressionAttributeValues={":tenant": {"S": tenant}},
            )
        )
        for page in pages:
            yield from page["Items"]


def _listed(item: Mapping[str, Mapping[str, object]]) -> ListedConnection | None:
    try:
        return ListedConnection.of_item(plain_values(item))
    except ConsentryError as error:
        _LOGGER.warning("a connection could not be listed: %s", error.detail or error.code)
        return None
