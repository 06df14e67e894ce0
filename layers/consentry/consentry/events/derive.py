"""Which events a change comes to: a pure function of what stood before and what stands after it (docs/events.md).

Everything follows from the record, so that whoever wrote it may die right after; and the same change always comes to
the same events with the same ids.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from consentry.events.change import EVENT_VERSION, Change, ConnectionChange, Event, HealthChange, Moment
from consentry.model import Connection, Status
from consentry.refresh.health import Health

CONNECTED: Final = "connection.connected"
REAUTH_REQUIRED: Final = "connection.reauth_required"
RECOVERED: Final = "connection.recovered"
EXPIRING_SOON: Final = "connection.expiring_soon"
SCOPE_REDUCED: Final = "connection.scope_reduced"
DISCONNECTED: Final = "connection.disconnected"
INTEGRATION_FAILING: Final = "integration.failing"
INTEGRATION_RECOVERED: Final = "integration.recovered"
INTEGRATION_HELD: Final = "integration.held"

_NEEDS_ITS_CUSTOMER: Final = frozenset({Status.REAUTH_REQUIRED, Status.SCOPE_INSUFFICIENT})
# Ten events have to fit into one call of 256 KB, whatever stands in the row; scopes are words of some dozen characters.
_LONGEST: Final = 200
_SCOPES_BYTES: Final = 16_000

type Told = tuple[str, Mapping[str, object]]


def events_of(change: Change) -> Sequence[Event]:
    """Return what happened, in the order in which it should be told; mostly nothing that anybody has to know."""
    if isinstance(change, ConnectionChange):
        return [_of_connection(change, kind, more) for kind, more in _told_of_connection(change)]
    return [_of_integration(change, kind, more) for kind, more in _told_of_integration(change)]


def _told_of_connection(change: ConnectionChange) -> Iterator[Told]:
    if change.gone:
        yield DISCONNECTED, {"revoked": change.seen.revoked}
        return
    was, now = change.before.record if change.before else None, change.seen.record
    if was is None or was.consent_id != now.consent_id:
        yield CONNECTED, {"reconnected": was is not None}
    if now.status is Status.REAUTH_REQUIRED and _entered(was, now):
        yield REAUTH_REQUIRED, {}
    if was and was.status in _NEEDS_ITS_CUSTOMER and now.status is Status.ACTIVE:
        yield RECOVERED, {}
    if now.warned_at and now.warned_at != (was.warned_at if was else 0):
        yield EXPIRING_SOON, {"grant_expires_at": now.grant_expires_at}
    if _lost_more(change) or (now.status is Status.SCOPE_INSUFFICIENT and _entered(was, now)):
        yield SCOPE_REDUCED, {"lost_scopes": list(_as_fit(change.seen.lost_scopes))}


def _entered(was: Connection | None, now: Connection) -> bool:
    """Whether the status is new, or was found to be so again with another consent."""
    return was is None or was.status is not now.status or was.consent_id != now.consent_id


def _lost_more(change: ConnectionChange) -> bool:
    return bool(set(change.seen.lost_scopes) - set(change.before.lost_scopes if change.before else ()))


def _as_fit(scopes: Sequence[str]) -> Iterator[str]:
    room = _SCOPES_BYTES
    for scope in scopes:
        room -= len(json.dumps(scope[:_LONGEST]))
        if room < 0:
            return
        yield scope[:_LONGEST]


def _told_of_integration(change: HealthChange) -> Iterator[Told]:
    before, after, at = change.before, change.after, change.moment.at
    if _is_failing(after) and not _is_failing(before):
        yield INTEGRATION_FAILING, {"until": after.open_until}
    if _is_failing(before) and not _is_failing(after):
        yield INTEGRATION_RECOVERED, {}
    # A hold that is only prolonged was going on at that moment.
    if after.hold_until > before.hold_until and before.hold_until <= at:
        yield INTEGRATION_HELD, {"until": after.hold_until}


def _is_failing(health: Health) -> bool:
    """Whether the breaker has opened, and the provider not answered since: from the first opening to the recovery."""
    return health.opened > 0 and health.recovered_at < health.open_until


def _of_connection(change: ConnectionChange, kind: str, more: Mapping[str, object]) -> Event:
    record = change.seen.record
    about = {
        "tenant": record.key.tenant,
        "integration": record.key.integration,
        "name": record.key.name,
        "provider": record.provider[:_LONGEST],
        "generation": record.gen,
        "cause": record.status_cause[:_LONGEST] if record.status in _NEEDS_ITS_CUSTOMER else "",
    }
    return _event(change.moment, kind, about | dict(more))


def _of_integration(change: HealthChange, kind: str, more: Mapping[str, object]) -> Event:
    return _event(change.moment, kind, {"integration": change.after.integration, **more})


def _event(moment: Moment, kind: str, about: Mapping[str, object]) -> Event:
    detail = {"version": EVENT_VERSION, "id": f"{moment.id}:{kind}", "at": moment.at, "sequence": moment.sequence}
    return Event(kind=kind, at=moment.at, detail={**detail, **about})
