"""Tell the bus what happened, ten events to a call, until it has taken all of them or time is up."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Final, Protocol

from consentry import log
from consentry.events.change import Event
from consentry.ports import Clock, StorageUnavailable

TOGETHER: Final = 10  # entries in a PutEvents
# A call that hangs ends within three seconds (`adapters`), and then the answer has to get out.
LEAVING_SECONDS: Final = 8
_FIRST_PAUSE: Final = 0.2
_LAST_PAUSE: Final = 5.0


class Bus(Protocol):
    def put(self, events: Sequence[Event]) -> Sequence[tuple[Event, str]]:
        """Hand over at most ten events; return those that were not taken, each with an error code.

        Raise `StorageUnavailable` if nobody knows what was taken.
        """


class SetAside(Protocol):
    """Where a change goes that nobody can make events of: an operator looks at it, and the others go on."""

    def put(self, note: dict[str, str]) -> None:
        """Raise `StorageUnavailable` if it could not be put there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TellBus:
    clock: Clock
    bus: Bus

    def __call__(self, events: Sequence[Event]) -> int:
        """Return how many of the events were taken, counted up to the first one that was not.

        Some after that one may have been taken as well. They come again with it, under the same ids.
        """
        taken = 0
        for together in batched(events, TOGETHER, strict=False):
            left = self._insist(together)
            if left:
                return taken + together.index(left[0])
            taken += len(together)
        return taken

    def _insist(self, events: Sequence[Event]) -> Sequence[Event]:
        """Put events until all are taken; return what is left when time is up."""
        left, pause = events, _FIRST_PAUSE
        while True:
            left, code = self._put(left)
            if not left:
                return left
            if self.clock.remaining_seconds() < LEAVING_SECONDS + pause:
                log.record("events not taken", {"code": code, "count": len(left)}, level="error")
                return left
            self.clock.sleep(pause)
            pause = min(_LAST_PAUSE, pause * 2)

    def _put(self, events: Sequence[Event]) -> tuple[Sequence[Event], str]:
        try:
            refused = self.bus.put(events)
        except StorageUnavailable as trouble:
            return events, trouble.detail
        return [event for event, _ in refused], next((code for _, code in refused), "")
