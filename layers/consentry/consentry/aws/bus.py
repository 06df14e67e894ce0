"""EventBridge as Consentry tells it of events, and the queue of changes that no event could be made of."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from consentry.aws.dynamodb import storage_errors
from consentry.events.change import Event

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef
    from mypy_boto3_sqs import SQSClient


def source_of(stack: str) -> str:
    """Return EventBridge's `source` of a stack's events: two stacks in an account stay apart."""
    return f"consentry.{stack}"


class EventBridgeBus:
    """`events.tell.Bus` on one event bus, by its name."""

    def __init__(self, client: "EventBridgeClient", bus: str, source: str) -> None:
        self._client = client
        self._bus = bus
        self._source = source

    def put(self, events: Sequence[Event]) -> Sequence[tuple[Event, str]]:
        with storage_errors("put events"):
            answer = self._client.put_events(Entries=[self._entry(event) for event in events])
        told = zip(events, answer["Entries"], strict=True)
        return [(event, entry["ErrorCode"]) for event, entry in told if "ErrorCode" in entry]

    def _entry(self, event: Event) -> "PutEventsRequestEntryTypeDef":
        return {
            "EventBusName": self._bus,
            "Source": self._source,
            "DetailType": event.kind,
            "Time": datetime.fromtimestamp(event.at, UTC),
            "Detail": json.dumps(event.detail, separators=(",", ":")),
        }


class SqsSetAside:
    """`events.tell.SetAside`: a dead-letter queue, which raises an alarm."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def put(self, note: dict[str, str]) -> None:
        with storage_errors("set a change aside"):
            self._client.send_message(QueueUrl=self._url, MessageBody=json.dumps(note))
