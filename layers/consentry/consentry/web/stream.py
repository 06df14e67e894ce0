"""The function behind the tables' streams: changes in, events out, and nothing that one change can do to the others."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from consentry import log
from consentry.errors import InvalidRequest, UnreadableRecord
from consentry.events.change import Change, Event
from consentry.events.derive import events_of
from consentry.events.tell import SetAside, TellBus
from consentry.ports import StorageUnavailable
from consentry.web.boundary import place

_LONGEST: Final = 200  # characters of a name that somebody may have written by hand

type Read = Callable[[Mapping[str, Any]], Change | None]


def relay(event: object, read: Read, tell: TellBus, aside: SetAside) -> dict[str, Any]:
    """Tell the bus of a batch of changes; answer with the first that has to come again, and with it all that follow.

    A change that no event can be made of is set aside, and its batch mates go on.
    """
    records = _records(event)
    told: list[tuple[int, Event]] = []
    undone = len(records)
    for number, record in enumerate(records):
        events, reason = _events_of(record, read)
        told += ((number, each) for each in events)
        if reason and not _set_aside(record, reason, aside):
            undone = number
            break
    taken = tell([each for _, each in told])
    for _, each in told[:taken]:
        log.record("event told", _shown(each))
    undone = min([undone, *(number for number, _ in told[taken:])])
    return {"batchItemFailures": [{"itemIdentifier": _sequence(each)} for each in records[undone:][:1]]}


def _records(event: object) -> Sequence[Mapping[str, Any]]:
    """Return a stream batch's records; one without a sequence number could not be reported."""
    records = event.get("Records") if isinstance(event, Mapping) else None
    if isinstance(records, list) and all(_sequence(each) for each in records):
        return records
    message = "the event must be a batch of a DynamoDB stream: Records, each with dynamodb.SequenceNumber"
    raise InvalidRequest(message)


def _sequence(record: object) -> str:
    told = record.get("dynamodb") if isinstance(record, Mapping) else None
    number = told.get("SequenceNumber") if isinstance(told, Mapping) else None
    return number if isinstance(number, str) else ""


def _events_of(record: Mapping[str, Any], read: Read) -> tuple[Sequence[Event], str]:
    """Return the events of a change, or why none could be made of it."""
    try:
        change = read(record)
        return (events_of(change) if change else ()), ""
    except UnreadableRecord as error:
        log.record("change not readable", {"code": error.code, "detail": error.detail}, level="critical")
        return (), error.detail
    except Exception as error:  # noqa: BLE001 - one change's mistake must not hold up the shard
        log.record("unforeseen", {"error": type(error).__name__, "where": place(error)}, level="error")
        return (), f"unforeseen {type(error).__name__}"


def _set_aside(record: Mapping[str, Any], reason: str, aside: SetAside) -> bool:
    keys = record["dynamodb"].get("Keys")
    named = {f"key_{name}": str(value) for name, value in keys.items()} if isinstance(keys, Mapping) else {}
    note = {"reason": reason, "event_id": record.get("eventID"), "sequence": _sequence(record)}
    table = str(record.get("eventSourceARN", "")).partition(":table/")[2].partition("/")[0]
    try:
        aside.put({name: str(value)[:_LONGEST] for name, value in {**note, "table": table, **named}.items()})
    except StorageUnavailable as error:
        log.record("change not set aside", {"code": error.code, "detail": error.detail}, level="error")
        return False
    return True


def _shown(event: Event) -> dict[str, object]:
    detail = event.detail
    connection = f"{detail['integration']}#{detail['name']}" if "name" in detail else ""
    fields = {name: detail.get(name) for name in ("tenant", "integration", "cause", "revoked")}
    return {**fields, "connection": connection, "gen": detail.get("generation"), "outcome": event.kind}
