"""Queues with visibility, redelivery, duplicates and a dead-letter queue, as SQS and its event source treat Lambda."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.simulation.faults import Chaos
from tests.simulation.timeline import Timeline

_RECEIVES: Final = 5
_DOUBLED: Final = 0.1
_LATE: Final = 0.05
_NOT_DELETED: Final = 0.03
_LATEST_SECONDS: Final = 400.0


@dataclass(slots=True)
class Message:
    id: str
    body: str
    queue: str
    received: int = 0
    over: bool = False


# Delivers one message; tells later whether it was handled, or whether its worker died.
type Deliver = Callable[[Message, Callable[[bool], None]], None]


class SimulatedQueues:
    """An SQS service: `deliver` and the visibility in seconds by queue address."""

    def __init__(self, timeline: Timeline, chaos: Chaos, deliver: Mapping[str, tuple[Deliver, float]]) -> None:
        self._timeline = timeline
        self._chaos = chaos
        self._deliver = deliver
        self.messages: list[Message] = []
        self.dead_letters: list[Message] = []

    @property
    def open(self) -> list[Message]:
        return [message for message in self.messages if not message.over]

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[Mapping[str, str]]) -> dict[str, Any]:  # noqa: N803 - boto3's names
        for entry in Entries:
            self.send_message(QueueUrl=QueueUrl, MessageBody=entry["MessageBody"])
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        message = Message(f"m{len(self.messages)}", MessageBody, QueueUrl)
        self.messages.append(message)
        self._plan(message)
        if self._chaos.share() < _DOUBLED and not self._chaos.calm:
            self._timeline.note(f"{message.id} is delivered twice")
            self._plan(message)
        return {"MessageId": message.id}

    def get_queue_attributes(self, *, QueueUrl: str, AttributeNames: Sequence[str]) -> dict[str, Any]:  # noqa: N803 - boto3's names
        waiting = sum(message.queue == QueueUrl for message in self.open)
        return {"Attributes": {name: str(waiting) if name == AttributeNames[0] else "0" for name in AttributeNames}}

    def _plan(self, message: Message, delay: float = 0.0) -> None:
        late = self._chaos.share() < _LATE and not self._chaos.calm
        pause = self._chaos.share() * (_LATEST_SECONDS if late else 1.0)
        self._timeline.at(self._timeline.now + delay + pause, lambda: self._receive(message))

    def _receive(self, message: Message) -> None:
        if message.received >= _RECEIVES:
            if not message.over:
                message.over = True
                self.dead_letters.append(message)
            return
        message.received += 1
        deliver, visibility = self._deliver[message.queue]
        visible_at = self._timeline.now + visibility

        def handled(done: bool) -> None:
            if done and (self._chaos.calm or self._chaos.share() >= _NOT_DELETED):
                message.over = True
            elif not message.over:
                self._plan(message, visible_at - self._timeline.now)

        deliver(message, handled)
