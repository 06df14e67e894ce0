"""What reached the token endpoints, in order, and how much of it at the same time. Never a token: hash prefixes."""

import hashlib
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final

from dev.authserver.strict import Parameters

ENTRIES_KEPT: Final = 20_000


def fingerprint(value: str) -> str:
    """Twelve hexadecimal digits of the SHA-256, or nothing for nothing."""
    return hashlib.sha256(value.encode()).hexdigest()[:12] if value else ""


@dataclass(slots=True, kw_only=True)
class Entry:
    """One token request. `status` 0: no answer was sent (yet)."""

    n: int
    at: float
    system: str
    grant_type: str
    client_id: str
    grant_id: str
    refresh_token_id: str
    code_id: str
    outcome: str = "in_flight"
    status: int = 0
    fault: str = ""
    scopes: tuple[str, ...] = ()
    in_flight_max_for_grant: int = 1


class Journal:
    """Keeps the latest entries, and counts all of them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._now = clock
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=ENTRIES_KEPT)
        self._in_flight: defaultdict[str, list[Entry]] = defaultdict(list)
        self._by_grant_type: Counter[str] = Counter()
        self._presented: Counter[str] = Counter()
        self._max_in_flight = 0
        self._count = 0
        self.redirects_followed = 0

    @contextmanager
    def request(self, system: str, parameters: Parameters, grant_id: str) -> Iterator[Entry]:
        """Hold a token request as in flight while the block runs."""
        entry = self._begin(system, parameters, grant_id)
        try:
            yield entry
        finally:
            self._end(entry)

    def _begin(self, system: str, parameters: Parameters, grant_id: str) -> Entry:
        with self._lock:
            self._count += 1
            entry = Entry(
                n=self._count,
                at=self._now(),
                system=system,
                grant_type=parameters.get("grant_type", ""),
                client_id=parameters.get("client_id", ""),
                grant_id=grant_id,
                refresh_token_id=fingerprint(parameters.get("refresh_token", "")),
                code_id=fingerprint(parameters.get("code", "")),
            )
            self._entries.append(entry)
            self._by_grant_type[entry.grant_type or "missing"] += 1
            if entry.refresh_token_id:
                self._presented[entry.refresh_token_id] += 1
            self._count_in_flight(entry)
            return entry

    def _count_in_flight(self, entry: Entry) -> None:
        together = self._in_flight[_lane(entry)]
        together.append(entry)
        for other in together:
            other.in_flight_max_for_grant = max(other.in_flight_max_for_grant, len(together))
        if entry.grant_id:
            self._max_in_flight = max(self._max_in_flight, len(together))

    def _end(self, entry: Entry) -> None:
        with self._lock:
            together = [other for other in self._in_flight[_lane(entry)] if other is not entry]
            if together:
                self._in_flight[_lane(entry)] = together
            else:
                del self._in_flight[_lane(entry)]

    def log(self) -> list[dict[str, object]]:
        with self._lock:
            return [asdict(entry) for entry in self._entries]

    def stats(self) -> dict[str, object]:
        with self._lock:
            return {
                "by_grant_type": dict(self._by_grant_type),
                "refresh_token_posts_max": max(self._presented.values(), default=0),
                "max_in_flight_per_grant": self._max_in_flight,
                "redirects_followed": self.redirects_followed,
            }


def _lane(entry: Entry) -> str:
    """Requests that must not overlap: of one grant, or of one customer's credentials."""
    return entry.grant_id or f"{entry.system} {entry.client_id}"
