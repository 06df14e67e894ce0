"""Records of the tables' streams, as Lambda hands them over: their attributes in clear, and nothing encrypted.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html
"""

from collections.abc import Mapping
from typing import Any, Final

from consentry.aws.dynamodb import from_item
from consentry.aws.health import SUFFIX, health_from
from consentry.aws.rows import connection_from
from consentry.errors import ConsentryError, UnreadableRecord
from consentry.events.change import Change, ConnectionChange, HealthChange, Moment, Seen
from consentry.model import identifier

# Named one by one: of the others, ciphertexts above all, not even the bytes are looked at.
_CLEAR: Final = frozenset({
    "tenant", "connection", "v", "provider", "grant_type", "status", "status_cause", "gen", "epoch", "consent_id",
    "warned_at", "grant_expires_at", "lost_scopes", "revoked",
})  # fmt: skip


def change_of(record: Mapping[str, Any]) -> Change | None:
    """Return what a record says, None if it is about a registration, which is nobody's event.

    Raise `UnreadableRecord` for a record that is no such thing, or whose row is of another version or shape.
    """
    try:
        told = record["dynamodb"]
        moment = Moment(
            id=_text(record["eventID"]), sequence=_text(told["SequenceNumber"]), at=_seconds(told),
        )  # fmt: skip
        if "connection" in told["Keys"]:
            return _of_connection(moment, told)
        return _of_health(moment, told)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        message = "A change of a table cannot be read."
        raise UnreadableRecord(message, detail=f"record of another shape: {type(error).__name__}") from None


def _of_connection(moment: Moment, told: Mapping[str, Any]) -> ConnectionChange:
    before = _seen(told["OldImage"]) if "OldImage" in told else None
    if "NewImage" in told:
        return ConnectionChange(moment=moment, before=before, seen=_seen(told["NewImage"]))
    return ConnectionChange(moment=moment, before=before, seen=_seen(told["OldImage"]), gone=True)


def _seen(image: Mapping[str, Any]) -> Seen:
    item = from_item({name: value for name, value in image.items() if name in _CLEAR})
    lost = item.get("lost_scopes", [])
    if not isinstance(lost, list) or not all(isinstance(each, str) for each in lost):
        raise TypeError
    return Seen(record=connection_from(item), lost_scopes=tuple(lost), revoked=item.get("revoked") is True)


def _of_health(moment: Moment, told: Mapping[str, Any]) -> HealthChange | None:
    """Return None for a registration, and for a health record that somebody took away."""
    key = _text(told["Keys"]["integration"]["S"])
    if not key.endswith(SUFFIX) or "NewImage" not in told:
        return None
    integration = _integration(key.removesuffix(SUFFIX))
    before, after = (health_from(integration, from_item(told.get(side, {}))) for side in ("OldImage", "NewImage"))
    return HealthChange(moment=moment, before=before, after=after)


def _integration(name: str) -> str:
    try:
        return identifier(name, "integration")
    except ConsentryError:
        raise ValueError from None


def _text(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    raise TypeError


def _seconds(told: Mapping[str, Any]) -> int:
    at = told["ApproximateCreationDateTime"]
    if isinstance(at, (int, float)) and not isinstance(at, bool):
        return int(at)
    raise TypeError
