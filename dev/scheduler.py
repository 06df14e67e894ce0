"""Calls scheduled functions on every tick, and deletes what DynamoDB's time to live would delete."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dev.deployment import Schedule
from dev.runtime import Functions

type Client = Any  # boto3 makes its clients at run time


@dataclass(slots=True)
class Scheduler:
    """One tick calls every schedule once; a schedule whose last call still runs is left out."""

    schedules: Sequence[Schedule]
    tables_with_ttl: Sequence[tuple[str, str]]
    functions: Functions
    dynamodb: Client
    tick_seconds: float
    report: Callable[[str], None]
    stopping: threading.Event = field(default_factory=threading.Event)
    is_on: Callable[[Schedule], bool] = lambda _schedule: True
    _turns: dict[str, threading.Lock] = field(default_factory=dict)

    def start(self) -> None:
        threading.Thread(target=self._run, name="scheduler", daemon=True).start()

    def tick(self) -> None:
        """Start everything that is due and return; do not wait for it."""
        for schedule in self.schedules:
            threading.Thread(target=self._call, args=(schedule,), name=schedule.name, daemon=True).start()
        try:
            for table, attribute in self.tables_with_ttl:
                self.sweep(table, attribute, int(time.time()))
        except (BotoCoreError, ClientError) as failure:
            self.report(f"time to live: {failure}")

    def sweep(self, table: str, attribute: str, now: int) -> None:
        """Delete the items of `table` whose `attribute` is a time before `now` (epoch seconds)."""
        names, values = {"#ttl": attribute}, {":now": {"N": str(now)}}
        keys = [entry["AttributeName"] for entry in self.dynamodb.describe_table(TableName=table)["Table"]["KeySchema"]]
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=table,
            FilterExpression="#ttl < :now",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
        )
        for item in (item for page in pages for item in page["Items"]):
            self._delete(table, {key: item[key] for key in keys}, names, values)

    def _delete(self, table: str, key: dict[str, object], names: dict[str, str], values: Mapping[str, object]) -> None:
        try:
            self.dynamodb.delete_item(
                TableName=table,
                Key=key,
                ConditionExpression="#ttl < :now",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
            )
        except self.dynamodb.exceptions.ConditionalCheckFailedException:
            return  # it lives longer now

    def _run(self) -> None:
        while not self.stopping.wait(self.tick_seconds):
            self.tick()

    def _call(self, schedule: Schedule) -> None:
        turn = self._turns.setdefault(schedule.name, threading.Lock())
        if turn.acquire(blocking=False):
            try:
                if self.is_on(schedule):
                    self.functions.invoke(schedule.function_arn, schedule.payload)
            finally:
                turn.release()


def is_on(client: Client, schedule: Schedule) -> bool:
    """Return whether the AWS endpoint has the schedule and does not say that it is disabled."""
    if not schedule.recorded_as:
        return True
    try:
        return bool(client.get_schedule(Name=schedule.recorded_as)["State"] == "ENABLED")
    except client.exceptions.ResourceNotFoundException:
        return False
