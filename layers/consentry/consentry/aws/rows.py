"""Rows of the table `connections` as the model knows them: of this version, whole, and of the right types, or refused.

Somebody may have written a row by hand, or a newer version may have: nothing is sent or written for a row that is not
understood, and one such row stops no other.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from consentry import log
from consentry.errors import ConsentryError, UnreadableRecord
from consentry.model import RECORD_VERSION, Connection, ConnectionKey, Grant, Status
from consentry.ports import Due, RefreshHint

_TYPES: Final[Mapping[type, tuple[str, ...]]] = {
    str: (
        "provider", "client_id", "status_cause", "token_type", "account", "label", "description", "commit_id",
        "consent_id", "lease_owner", "last_error", "removal",
    ),
    int: (
        "gen", "epoch", "created_at", "refreshed_at", "expires_at", "due_at", "grant_expires_at", "warned_at",
        "next_try_at", "lease_until", "pend_gen", "pend_at", "failures", "refused",
        "deleting_since", "scopes_reduced_at",
    ),
    bytes: ("access_token", "grant"),
    dict: ("metadata", "variables"),
}  # fmt: skip
_TOO_LARGE: Final = 2**53
_KNOWN: Final = {name: kind for kind, names in _TYPES.items() for name in names}


def connection_from(item: Mapping[str, Any]) -> Connection:
    """Return the record; raise `UnreadableRecord` if it is of another version or shape."""
    if item.get("v") != RECORD_VERSION:
        raise _unreadable(item, f"record of version {item.get('v')!r:.20}, this code knows {RECORD_VERSION}")
    try:
        return Connection(
            key=ConnectionKey.from_sort_key(item["tenant"], item["connection"]),
            grant_type=Grant(item["grant_type"]),
            status=Status(item["status"]),
            scopes=_texts("scopes", item),
            lost_scopes=_texts("lost_scopes", item),
            **{name: _typed(name, item[name], kind) for name, kind in _KNOWN.items() if name in item},
        )
    except (KeyError, ValueError, TypeError, ConsentryError) as error:
        raise _unreadable(item, f"record of another shape: {error!s:.80}") from None


def readable(items: Iterable[Mapping[str, Any]]) -> Iterator[Connection]:
    """Return the records of those rows that can be read; log the others."""
    for item in items:
        try:
            yield connection_from(item)
        except UnreadableRecord as error:
            _log(item, error.detail)


def due_from(items: Iterable[Mapping[str, Any]]) -> Iterator[Due]:
    """Return what the index says about those rows that can be read; log the others."""
    for item in items:
        try:
            key = ConnectionKey.from_sort_key(item["tenant"], item["connection"])
            hint = RefreshHint(key, _typed("gen", item["gen"], int))
            yield Due(
                hint,
                _typed("due_at", item["due_at"], int),
                _typed("enqueued_until", item.get("enqueued_until", 0), int),
            )
        except (KeyError, TypeError, ConsentryError) as error:
            _log(item, f"row of another shape: {error!s:.80}")


def _texts(name: str, item: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(_typed(name, each, str) for each in _typed(name, item.get(name, []), list))


def _typed[T](name: str, value: object, kind: type[T]) -> T:
    if isinstance(value, kind) and not isinstance(value, bool) and not _absurd(name, value):
        return value
    raise TypeError(name)


def _absurd(name: str, value: object) -> bool:
    """Whether it is no count and no time: a generation could not follow it, and an arithmetic could fail late."""
    return isinstance(value, int) and not (name == "gen") <= value < _TOO_LARGE


def _unreadable(item: Mapping[str, Any], detail: str) -> UnreadableRecord:
    row = f"{item.get('tenant')!s:.63} {item.get('connection')!s:.127}"
    return UnreadableRecord("The stored connection cannot be read.", detail=f"{row}: {detail}")


def _log(item: Mapping[str, Any], detail: str) -> None:
    fields = {"tenant": item.get("tenant"), "connection": item.get("connection"), "detail": detail}
    log.record("row not readable, passed over", fields, level="critical")
