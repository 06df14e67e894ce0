"""Misbehaviour on order: a queue of faults, each used up by the requests that it matches."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from dev.authserver.options import BadInput, nullable, one_of, seconds, text
from dev.authserver.systems import SYSTEMS

ENDPOINTS: Final = ("token", "api", "authorize")
NEEDS_ANSWER: Final = ("truncated", "drip", "drop_midway", "drop_after", "delay_after")
WITHOUT_ANSWER: Final = ("delay", "drop_before", "status", "html", "json_error", "empty", "huge", "redirect")
DROPS: Final = ("drop_before", "drop_after")
EITHER: Final = ("status", "html", "json_error", "empty", "huge", "redirect")
LONGEST_SECONDS: Final = 120
MOST_TIMES: Final = 100_000


@dataclass(slots=True, kw_only=True)
class Fault:
    """What to do to the next `count` matching requests; `when` says whether the request is acted upon first."""

    endpoint: str
    kind: str
    when: str
    count: int = 1
    system: str | None = None
    grant_type: str | None = None
    status: int | None = None
    error: str | None = None
    policy_name: str | None = None
    seconds: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, order: Mapping[str, object]) -> Self:
        """Raise `BadInput` with a sentence that says what to send."""
        unknown = sorted(set(order) - set(CHECKS))
        if unknown:
            raise BadInput(f"unknown field '{unknown[0]}' of a fault; there are {', '.join(CHECKS)}")
        for name in ("endpoint", "kind"):
            if name not in order:
                raise BadInput(f"a fault needs '{name}'")
        checked: dict[str, Any] = {name: check(name, order[name]) for name, check in CHECKS.items() if name in order}
        kind = checked["kind"]
        checked["when"] = checked.get("when") or ("after" if kind in NEEDS_ANSWER else "before")
        if kind not in EITHER and (kind in NEEDS_ANSWER) != (checked["when"] == "after"):
            raise BadInput(f"'when' of the fault '{kind}' cannot be '{checked['when']}'; leave it out")
        return cls(**checked)

    def matches(self, endpoint: str, system: str, grant_type: str) -> bool:
        return self.endpoint == endpoint and self.system in {None, system} and self.grant_type in {None, grant_type}


class Faults:
    """First in, first used; a request meets at most one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._queue.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._queue.clear()

    def take(self, endpoint: str, system: str, grant_type: str = "") -> Fault | None:
        with self._lock:
            fault = next((fault for fault in self._queue if fault.matches(endpoint, system, grant_type)), None)
            if fault is not None:
                fault.count -= 1
                self._queue = [other for other in self._queue if other.count > 0]
            return fault

    def left(self) -> int:
        with self._lock:
            return sum(fault.count for fault in self._queue)


def _times(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_TIMES:
        raise BadInput(f"'{name}' must be a whole number from 1 to {MOST_TIMES}")
    return value


def _status(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 200 <= value <= 599:  # noqa: PLR2004 - HTTP's range
        raise BadInput(f"'{name}' must be an HTTP status from 200 to 599")
    return value


def _bearable_seconds(name: str, value: object) -> float:
    if seconds(name, value) > LONGEST_SECONDS:
        raise BadInput(f"'{name}' must be at most {LONGEST_SECONDS}")
    return seconds(name, value)


def _headers(name: str, value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(_sendable(part) for item in value.items() for part in item):
        raise BadInput(f"'{name}' must be an object of printable ASCII strings")
    return value


def _sendable(part: object) -> bool:
    return isinstance(part, str) and part.isascii() and part.isprintable()


CHECKS: Final = {
    "endpoint": one_of(*ENDPOINTS),
    "kind": one_of(*WITHOUT_ANSWER, *NEEDS_ANSWER),
    "count": _times,
    "system": nullable(one_of(*SYSTEMS)),
    "grant_type": nullable(text),
    "status": nullable(_status),
    "error": nullable(text),
    "policy_name": nullable(text),
    "seconds": nullable(_bearable_seconds),
    "headers": _headers,
    "when": nullable(one_of("before", "after")),
}
