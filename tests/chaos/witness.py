"""Who looks at the emulator itself: a table that answers nobody for seconds is an outage too, planned or not."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

STALL_SECONDS: Final = 2.0  # functions and readers wait three
_PAUSE_SECONDS: Final = 0.25


@dataclass
class Witness:
    """A thread that calls `ask` again and again, past planned outages. `stalls` are epoch seconds: since, until."""

    ask: Callable[[], object]
    stopping: threading.Event = field(default_factory=threading.Event)
    stalls: list[tuple[float, float]] = field(default_factory=list)
    _asking_since: float = float("inf")

    def start(self) -> None:
        self._thread = threading.Thread(target=self._watch, name="witness", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self._thread.join(60)

    def saw(self, begun: float, ended: float) -> bool:
        """Whether the emulator was silent at some time between two moments."""
        under_way = (self._asking_since, time.time())
        seen = [*self.stalls, under_way]
        return any(_is_stall(*each) and each[0] <= ended and each[1] >= begun for each in seen)

    def _watch(self) -> None:
        while not self.stopping.wait(_PAUSE_SECONDS):
            self._asking_since = time.time()
            self.ask()
            asked = (self._asking_since, time.time())
            if _is_stall(*asked):
                self.stalls.append(asked)
            self._asking_since = float("inf")


def _is_stall(since: float, until: float) -> bool:
    return until - since >= STALL_SECONDS
