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
STREAM_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 5.0

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
    """Hands one table's changes to a function, in order; what keeps failing goes to the dead letters, by its place."""

    source: EventSource
    streams: Client
    sqs: Client
    functions: Functions
    report: Report
    stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        described = self.streams.describe_stream(StreamArn=self.source.source_arn)["StreamDescription"]
        for shard in described["Shards"]:
            iterator = self.streams.get_shard_iterator(
                StreamArn=self.source.source_arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            threading.Thread(target=self._poll, args=(iterator, shard["ShardId"]), name="stream", daemon=True).start()

    def _poll(self, iterator: str, shard: str) -> None:
        while iterator and not self.stopping.wait(STREAM_PAUSE_SECONDS):
            try:
                answer = self.streams.get_records(ShardIterator=iterator, Limit=self.source.batch_size)
            except (BotoCoreError, ClientError) as failure:
                self.report(f"stream {self.source.source_arn}: {failure}")
                self.stopping.wait(1)
                continue
            iterator = answer.get("NextShardIterator", "")
            if answer["Records"]:
                records = [{**record, "eventSourceARN": self.source.source_arn} for record in answer["Records"]]
                self.deliver(records, shard)

    def deliver(self, records: Sequence[Mapping[str, Any]], shard: str = "") -> None:
        """Try a batch until it is done or given up, each time from its first record that failed.

        A batch with which the function itself failed is cut in two where the mapping says so, which is no attempt.
        """
        batches, attempts = [list(records)], 0
        while batches and not self.stopping.is_set():
            batch = batches.pop(0)
            left, crashed = self._attempt(batch)
            if len(left) < len(batch):
                attempts = 0
            if not left:
                continue
            if crashed and self.source.bisects and len(left) > 1:
                middle = len(left) // 2
                batches[:0] = [left[:middle], left[middle:]]
            elif self.source.retries is not None and attempts >= self.source.retries:
                self._give_up(left, shard, attempts + 1)
                attempts = 0
            else:
                self.stopping.wait(min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2 ** min(attempts, 8)))
                attempts += 1
                batches.insert(0, left)

    def _attempt(self, batch: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], bool]:
        """Return what is left of a batch, and whether the function itself failed."""
        payload = json.dumps({"Records": batch}, default=_in_json).encode()
        answer = self.functions.invoke(self.source.function_arn, payload)
        numbers = [record["dynamodb"]["SequenceNumber"] for record in batch]
        failed = failed_items(answer, numbers, partial=self.source.partial_failures)
        return list(batch[min((numbers.index(number) for number in failed), default=len(batch)) :]), answer.failed

    def _give_up(self, batch: Sequence[Mapping[str, Any]], shard: str, attempts: int) -> None:
        """https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html: where it is, and no record."""
        self.report(f"stream {self.source.source_arn}: gave up on {len(batch)} records")
        if not self.source.dead_letters_arn:
            return
        first, last = (batch[place]["dynamodb"]["SequenceNumber"] for place in (0, -1))
        told = {
            "requestContext": {
                "functionArn": self.source.function_arn,
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": attempts,
            },
            "version": "1.0",
            "DDBStreamBatchInfo": {
                "shardId": shard,
                "startSequenceNumber": first,
                "endSequenceNumber": last,
                "batchSize": len(batch),
                "streamArn": self.source.source_arn,
            },
        }
        url = self.sqs.get_queue_url(QueueName=self.source.dead_letters_arn.rpartition(":")[2])["QueueUrl"]
        self.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(told))


def _in_json(value: object) -> object:
    """Times as epoch seconds and binary as base64, as Lambda hands them over."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return sorted(value) if isinstance(value, set) else str(value)
