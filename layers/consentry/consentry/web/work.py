"""The functions without a browser: the dispatcher's tick, and the worker's batches and direct invocations."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Final

from consentry import log
from consentry.errors import ConsentryError, InvalidRequest
from consentry.model import ConnectionKey
from consentry.ports import HINT_VERSION, TABLE_UNAVAILABLE, CommitOutcome, Connections, Escrow
from consentry.refresh.dispatch import Dispatch
from consentry.refresh.engine import RefreshConnection, Refreshed
from consentry.refresh.policy import Outcome
from consentry.web.boundary import place

_AT_ONCE: Final = 10
_METRICS: Final = {
    "due": "Due",
    "dispatched": "Dispatched",
    "parked": "Parked",
    "oldest_overdue_seconds": "OldestOverdue",
    "failing": "FailingIntegrations",
    "held": "HeldIntegrations",
}
_UNDONE: Final = frozenset({Outcome.TABLE_UNAVAILABLE, Outcome.UNFORESEEN})


def tick(dispatch: Dispatch) -> dict[str, int]:
    """Sweep once, and say so: the heartbeat."""
    try:
        fields = asdict(dispatch())
    except ConsentryError as error:
        log.record("sweep ended early", {"code": error.code, "detail": error.detail}, level="error")
        raise  # the next minute's sweep begins anew, and an alarm sees that this one sent no heartbeat
    log.record("dispatched", fields)
    log.heartbeat({_METRICS[name]: value for name, value in fields.items()})
    return fields


def work(event: object, engine: RefreshConnection) -> dict[str, Any]:
    """Handle a queue batch (answered with the messages to deliver again) or one direct invocation."""
    if isinstance(event, dict) and "Records" not in event:
        return _direct(event, engine)
    records = _records(event)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        handled = list(pool.map(lambda each: _message(each, engine), records))
    return _undone(records, handled)


def restore(event: object, escrow: Escrow, connections: Connections) -> dict[str, Any]:
    """Write what waits in escrow by the same conditional commit; what cannot be written yet is delivered again."""
    records = _records(event)
    return _undone(records, [_restored(each.get("body", ""), escrow, connections) for each in records])


def _records(event: object) -> Sequence[Mapping[str, Any]]:
    """Return a queue batch's records; one without an id could not be reported, so the whole batch is refused."""
    records = event.get("Records") if isinstance(event, Mapping) else None
    whole = isinstance(records, list) and all(isinstance(each, dict) and "messageId" in each for each in records)
    if isinstance(records, list) and whole:
        return records
    message = "the event must be an SQS batch with Records, or an object with tenant, connection, rejected_generation"
    raise InvalidRequest(message)


def _undone(records: Sequence[Mapping[str, Any]], handled: Sequence[bool]) -> dict[str, Any]:
    """Return a partial batch response: the messages that are to be delivered again."""
    undone = [record["messageId"] for record, done in zip(records, handled, strict=True) if not done]
    return {"batchItemFailures": [{"itemIdentifier": each} for each in undone]}


def _restored(body: str, escrow: Escrow, connections: Connections) -> bool:
    try:
        commit = escrow.read(body)
    except InvalidRequest as error:
        # It can never be written, and while it stays nobody may ask for an in-doubt token again.
        log.record("escrow message dropped", {"code": error.code, "error": error.public}, level="critical")
        return True
    fields = {"tenant": commit.key.tenant, "connection": commit.key.sort_key, "gen": commit.expected_gen + 1}
    try:
        outcome = connections.restore(commit)
    except ConsentryError as error:
        log.record("escrow still waits", {**fields, "detail": error.detail}, level="error")
        return False
    # Nobody can revoke the grant of a record that is gone: not what an operator expects of a queue that empties.
    level: log.Level = "error" if outcome is CommitOutcome.GONE else "info"
    log.record("restored from escrow", {**fields, "outcome": outcome}, level=level)
    log.count("Restored", outcome=outcome.value)
    return True


def _direct(event: Mapping[str, Any], engine: RefreshConnection) -> dict[str, Any]:
    key = ConnectionKey.from_sort_key(event.get("tenant"), event.get("connection"))
    rejected = event.get("rejected_generation")
    if not isinstance(rejected, int) or isinstance(rejected, bool):
        raise InvalidRequest("rejected_generation must be the generation of the token that was rejected")
    refreshed = _refresh(engine, key, rejected)
    return {"generation": refreshed.generation, "outcome": refreshed.outcome.value}


def _message(record: Mapping[str, Any], engine: RefreshConnection) -> bool:
    """Return whether the message is done with.

    What ended in the record is done, and so is what left it due for later; an unreadable hint and a missing table are
    not.
    """
    try:
        key = _hinted(record.get("body", ""))
        return _refresh(engine, key, None).outcome not in _UNDONE
    except ConsentryError as error:
        log.record("hint not readable", {"code": error.code, "error": error.public}, level="error")
        return False


def _hinted(body: object) -> ConnectionKey:
    try:
        hint = json.loads(body) if isinstance(body, str) else None
    except (ValueError, RecursionError):
        hint = None
    if not isinstance(hint, dict) or hint.get("v") != HINT_VERSION:
        raise InvalidRequest("a refresh hint must be a JSON object of version 1")
    return ConnectionKey.from_sort_key(hint.get("tenant"), hint.get("connection"))


def _refresh(engine: RefreshConnection, key: ConnectionKey, rejected_gen: int | None) -> Refreshed:
    fields: dict[str, object] = {"tenant": key.tenant, "connection": key.sort_key}
    try:
        refreshed = engine(key, rejected_gen=rejected_gen)
    except ConsentryError as error:
        # Nothing was sent, and what could not be written down either leaves the record as due as it was.
        outcome = Outcome.TABLE_UNAVAILABLE if error.code == TABLE_UNAVAILABLE else Outcome.UNAVAILABLE
        log.record("refresh not attempted", {**fields, "code": error.code, "detail": error.detail}, level="error")
        refreshed = Refreshed(outcome, 0)
    except Exception as error:  # noqa: BLE001 - one connection's mistake must not take its batch mates along
        log.record("unforeseen", {**fields, "error": type(error).__name__, "where": place(error)}, level="error")
        refreshed = Refreshed(Outcome.UNFORESEEN, 0)
    log.record("refresh", {**fields, "outcome": refreshed.outcome, "gen": refreshed.generation})
    log.count("Refreshes", outcome=refreshed.outcome.value)
    return refreshed
