"""Feed functions from queues and streams, as Lambda's event source mappings do.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

import base64
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from dev.deployment import EventSource
from dev.runtime import Answer, Functions

PAUSE_SECONDS: Final = 0.2
STREAM_ATTEMPTS: Final = 3  # AWS repeats until the record expires, unless told otherwise

type Client = Any  # boto3 makes its clients at run time
type Report = Callable[[str], None]


class MalformedFailures(ValueError):
    """An answer that names failures which are not in the batch; all of the batch counts as failed."""


def failed_items(answer: Answer, identifiers: Sequence[str], *, partial: bool) -> set[str]:
    """Return which of the batch's identifiers have to come again."""
    if answer.failed:
        return set(identifiers)
    if not partial:
        return set()
    try:
        return _named_failures(answer.payload, set(identifiers))
    except (MalformedFailures, ValueError, KeyError, TypeError):
        return set(identifiers)


def _named_failures(payload: bytes, identifiers: set[str]) -> set[str]:
    told = json.loads(payload) or {}
    named = {failure["itemIdentifier"] for failure in told.get("batchItemFailures") or []}
    if not named <= identifiers:
        raise MalformedFailures
    return named


@dataclass(slots=True)
class QueuePoller:
    """Takes messages off one queue, several batches at a time; deletes those that the function handled."""

    source: EventSource
    sqs: Client
    functions: Functions
    report: Report
    region: str
    stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        name = self.source.source_arn.rpartition(":")[2]
        url = self.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        for number in range(self.source.concurrency):
            threading.Thread(target=self._poll, args=(url,), name=f"{name}-{number}", daemon=True).start()

    def _poll(self, url: str) -> None:
        pause = PAUSE_SECONDS * self.source.concurrency
        while not self.stopping.is_set():
            try:
                if not self.step(url):
                    self.stopping.wait(pause)
            except (BotoCoreError, ClientError) as failure:
                self.report(f"queue {self.source.source_arn}: {failure}")
                self.stopping.wait(1)

    def step(self, url: str) -> bool:
        """Handle one batch; return whether there was any."""
        messages = self.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=min(10, self.source.batch_size),
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        if not messages:
            return False
        event = {"Records": [self._record(message) for message in messages]}
        answer = self.functions.invoke(self.source.function_arn, json.dumps(event).encode())
        identifiers = [message["MessageId"] for message in messages]
        failed = failed_items(answer, identifiers, partial=self.source.partial_failures)
        for message in messages:
            if message["MessageId"] not in failed:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return True

    def _record(self, message: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message.get("Attributes", {}),
            "messageAttributes": {
                name: {key[0].lower() + key[1:]: value for key, value in attribute.items()}
                for name, attribute in message.get("MessageAttributes", {}).items()
            },
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.source.source_arn,
            "awsRegion": self.region,
        }


@dataclass(slots=True)
class StreamPoller:
    """Hands one table's changes to a function, in order; a batch that keeps failing is reported and passed over."""

    source: EventSource
    streams: Client
    functions: Functions
    report: Report
    stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        described = self.streams.describe_stream(StreamArn=self.source.source_arn)["StreamDescription"]
        for shard in described["Shards"]:
            iterator = self.streams.get_shard_iterator(
                StreamArn=self.source.source_arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            threading.Thread(target=self._poll, args=(iterator,), name=shard["ShardId"], daemon=True).start()

    def _poll(self, iterator: str) -> None:
        while iterator and not self.stopping.wait(PAUSE_SECONDS):
            try:
                answer = self.streams.get_records(ShardIterator=iterator, Limit=self.source.batch_size)
            except (BotoCoreError, ClientError) as failure:
                self.report(f"stream {self.source.source_arn}: {failure}")
                self.stopping.wait(1)
                continue
            iterator = answer.get("NextShardIterator", "")
            if answer["Records"]:
                self.deliver([{**record, "eventSourceARN": self.source.source_arn} for record in answer["Records"]])

    def deliver(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Try a batch a few times, each time from its first record that failed."""
        left = list(records)
        for _ in range(STREAM_ATTEMPTS):
            payload = json.dumps({"Records": left}, default=_in_json).encode()
            answer = self.functions.invoke(self.source.function_arn, payload)
            numbers = [record["dynamodb"]["SequenceNumber"] for record in left]
            failed = failed_items(answer, numbers, partial=self.source.partial_failures)
            left = left[min((numbers.index(number) for number in failed), default=len(left)) :]
            if not left:
                return
        self.report(f"stream {self.source.source_arn}: gave up on {len(left)} records")


def _in_json(value: object) -> object:
    """Times as epoch seconds and binary as base64, as Lambda hands them over."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return sorted(value) if isinstance(value, set) else str(value)
