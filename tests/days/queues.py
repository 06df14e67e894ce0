"""Queues as SQS and its event source treat Lambda: delays, batches, a bound on functions at once, redelivery."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, Final

from tests.simulation.timeline import Timeline

_RECEIVES: Final = 5
_LATEST_POLL: Final = 0.5


@dataclass(slots=True, eq=False)
class Message:
    body: str
    received: int = 0


type Done = Callable[[Message, bool], None]
type Deliver = Callable[[int, Sequence[Message], Done], None]


class Queue:
    """`deliver` is given the number of the function instance, up to `batch` messages, and whom to tell of each end."""

    def __init__(self, timeline: Timeline, deliver: Deliver, *, visibility: float, at_once: int, batch: int) -> None:
        self.open = 0
        self.most = 0
        self.dead_letters: list[Message] = []
        self._timeline = timeline
        self._deliver = deliver
        self._visibility = visibility
        self._batch = batch
        self._waiting: deque[Message] = deque()
        self._idle = list(range(at_once))

    def send(self, message: Message, delay: float) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        self._plan(message, delay)

    def _plan(self, message: Message, delay: float) -> None:
        def appear() -> None:
            self._waiting.append(message)
            self._serve()

        self._timeline.at(self._timeline.now + delay, appear)

    def _serve(self) -> None:
        while self._idle and self._waiting:
            instance = heappop(self._idle)
            some = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
            self._invoke(instance, some)

    def _invoke(self, instance: int, some: Sequence[Message]) -> None:
        """The instance is busy until the slowest message of the batch is done with."""
        visible_at = self._timeline.now + self._visibility
        left = len(some)

        def done(message: Message, handled: bool) -> None:
            nonlocal left
            left -= 1
            self._over(message, visible_at, handled=handled)
            if not left:
                heappush(self._idle, instance)
                self._timeline.at(self._timeline.now, self._serve)

        for message in some:
            message.received += 1
        self._deliver(instance, some, done)

    def _over(self, message: Message, visible_at: float, *, handled: bool) -> None:
        if not handled and message.received < _RECEIVES:
            self._plan(message, visible_at - self._timeline.now)
            return
        self.open -= 1
        if not handled:
            self.dead_letters.append(message)


class Queues:
    """An SQS client over the queues by address; `share` draws how long a message takes to be seen."""

    def __init__(self, queues: dict[str, Queue], share: Callable[[], float]) -> None:
        self.queues = queues
        self._share = share

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - boto3's names
        for entry in Entries:
            self._send(QueueUrl, entry["MessageBody"], entry.get("DelaySeconds", 0))
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        self._send(QueueUrl, MessageBody, 0)
        return {"MessageId": "kept"}

    def get_queue_attributes(self, *, QueueUrl: str, AttributeNames: Sequence[str]) -> dict[str, Any]:  # noqa: N803 - boto3's names
        first, *others = AttributeNames
        return {"Attributes": {first: str(self.queues[QueueUrl].open), **dict.fromkeys(others, "0")}}

    def _send(self, url: str, body: str, delay: float) -> None:
        self.queues[url].send(Message(body), delay + _LATEST_POLL * self._share())
