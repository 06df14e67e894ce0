"""The event bus of the local stack: takes what functions put, keeps the latest, and calls the targets of its rules.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
"""

import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from dev.account import REGION
from dev.payloads import ACCOUNT
from dev.runtime import Functions

KEPT: Final = 1_000
MOST_ENTRIES: Final = 10
MOST_BYTES: Final = 256 * 1024

type Json = dict[str, Any]


class NotTaken(ValueError):
    """EventBridge would refuse the whole call; the message says why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule of the template matches on which bus, and the functions that it calls."""

    name: str
    bus: str
    pattern: Mapping[str, Any]
    functions: Sequence[str]


class Bus:
    """Every bus of the account; calls targets without waiting for them."""

    def __init__(self, rules: Sequence[Rule], functions: Functions) -> None:
        self._rules = rules
        self._functions = functions
        self._turn = threading.Lock()
        self._kept: deque[Json] = deque(maxlen=KEPT)

    def recent(self) -> Sequence[Json]:
        """Return the latest events, oldest first, as a target sees them."""
        with self._turn:
            return list(self._kept)

    def answer(self, payload: bytes) -> tuple[int, bytes]:
        """Answer a PutEvents on the wire: status and body."""
        try:
            return 200, json.dumps(self.put(json.loads(payload))).encode()
        except NotTaken as reason:
            return 400, json.dumps({"__type": "ValidationException", "message": str(reason)}).encode()

    def put(self, request: Mapping[str, Any]) -> Json:
        """Answer a PutEvents; raise `NotTaken` for one that EventBridge would not take."""
        entries = request.get("Entries") or []
        if not 1 <= len(entries) <= MOST_ENTRIES:
            raise NotTaken(f"Member must have length between 1 and {MOST_ENTRIES}")
        if sum(_size(entry) for entry in entries) > MOST_BYTES:
            raise NotTaken("Total size of the entries in the request is over the limit.")
        return {"FailedEntryCount": 0, "Entries": [{"EventId": self._take(entry)} for entry in entries]}

    def _take(self, entry: Mapping[str, Any]) -> str:
        event = _event(entry)
        with self._turn:
            self._kept.append(event)
        bus = str(entry.get("EventBusName", "default")).rpartition("/")[2]
        threading.Thread(target=self._deliver, args=(bus, event), daemon=True).start()
        return str(event["id"])

    def _deliver(self, bus: str, event: Json) -> None:
        called = [
            each for rule in self._rules if rule.bus == bus and self._matches(rule, event) for each in rule.functions
        ]
        for function in called:
            self._functions.invoke(function, json.dumps(event).encode())

    def _matches(self, rule: Rule, event: Json) -> bool:
        return bool(self._patterns[rule.name].matches_event(event))

    @cached_property
    def _patterns(self) -> Mapping[str, Any]:
        from moto.events.models import EventPattern  # noqa: PLC0415 - takes a second, and not every run has events

        return {rule.name: EventPattern(json.dumps(rule.pattern), dict(rule.pattern)) for rule in self._rules}


def _event(entry: Mapping[str, Any]) -> Json:
    at = datetime.fromtimestamp(entry.get("Time") or time.time(), UTC)
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": entry["DetailType"],
        "source": entry["Source"],
        "account": ACCOUNT,
        "time": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": entry.get("Resources", []),
        "detail": json.loads(entry["Detail"]),
    }


def _size(entry: Mapping[str, Any]) -> int:
    """Return an entry's size as EventBridge counts it; a time counts 14 bytes."""
    texts = [entry.get(name) or "" for name in ("Source", "DetailType", "Detail")]
    return sum(len(text.encode()) for text in (*texts, *entry.get("Resources", []))) + 14 * ("Time" in entry)
