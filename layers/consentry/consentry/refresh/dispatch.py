"""Find what is due and ask for it: a level-triggered sweep, most urgent first, that may be lost, doubled or late."""

from dataclasses import dataclass
from itertools import batched
from typing import Final

from consentry.ports import Clock, Due, DueIndex, RefreshQueue

# As long as the queue hides a message that a worker holds; a worker that takes its lease ends it earlier.
ENQUEUED_SECONDS: Final = 270
_PER_SHARD: Final = 250
_PER_MESSAGE_CALL: Final = 10
_STOP_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Dispatched:
    """The heartbeat: what was found, what was sent, and how late the latest is."""

    due: int
    dispatched: int
    oldest_overdue_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    clock: Clock
    index: DueIndex
    queue: RefreshQueue
    shards: int

    def __call__(self) -> Dispatched:
        """Send what is due; what does not fit into this tick's time stays due for the next."""
        now = self.clock.now()
        found = [due for shard in range(self.shards) for due in self.index.due(shard, now=now, limit=_PER_SHARD)]
        found.sort(key=lambda due: due.due_at)
        sent = 0
        for batch in batched(found, _PER_MESSAGE_CALL, strict=False):
            if self.clock.remaining_seconds() < _STOP_SECONDS:
                break
            sent += self._send(batch)
        return Dispatched(len(found), sent, max((now - due.due_at for due in found), default=0))

    def _send(self, batch: tuple[Due, ...]) -> int:
        accepted = set(self.queue.send([due.hint for due in batch]))
        for due in batch:
            if due.hint in accepted:
                self.index.mark_enqueued(due, until=self.clock.now() + ENQUEUED_SECONDS)
        return len(accepted)
