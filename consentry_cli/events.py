"""`consentry events tail`: what happens to connections, read from where events come from (docs/events.md)."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import click

from consentry.aws.changes import change_of
from consentry.errors import UnreadableRecord
from consentry.events.change import Event
from consentry.events.derive import events_of
from consentry_cli.aws import Aws
from consentry_cli.failures import Exit
from consentry_cli.installation import Installation
from consentry_cli.output import console, moment, plain
from consentry_cli.settings import Settings, common, needs

PAUSE_SECONDS: Final = 1.0
_TABLES: Final = ("ConnectionsTableName", "IntegrationsTableName")
_SERVICE: Final = "dynamodbstreams"
_ONWARD: Final = "TRIM_HORIZON"
_COMMON: Final = frozenset({"version", "id", "at", "sequence", "tenant", "integration", "name", "provider"})

type Record = Mapping[str, Any]


@click.group()
@common
def events() -> None:
    """What happens to connections and integrations."""


@events.command()
@click.option("--tenant", help="Only this tenant's.")
@click.option("--history", is_flag=True, help="Begin with what the streams still have: 24 hours at most.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after as many.")
@common
@needs
def tail(settings: Settings, /, tenant: str | None, count: int | None, *, history: bool) -> int:
    """Show events as they happen, until Ctrl-C; with --json one object in a line."""
    shown = 0
    for event in happening(settings.installation, history=history):
        if tenant is not None and event.detail.get("tenant") != tenant:
            continue
        _show(event, as_json=settings.json)
        shown += 1
        if shown == count:
            break
    return Exit.OK


def happening(installation: Installation, *, history: bool) -> Iterator[Event]:
    """Yield events for ever. What cannot be read is said on standard error, and the others go on."""
    streams = [Stream(installation.aws, _stream_of(installation, table), history=history) for table in _TABLES]
    while True:
        found = [record for stream in streams for record in stream.read()]
        for record in found:
            yield from _events_in(record)
        if not found:
            time.sleep(PAUSE_SECONDS)


@dataclass(slots=True)
class Stream:
    """One table's changes, shard by shard, each in its order.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
    """

    aws: Aws
    arn: str
    history: bool
    _known: set[str] = field(default_factory=set)
    _places: dict[str, str] = field(default_factory=dict)

    def read(self) -> Iterator[Record]:
        """Yield what there is by now."""
        if not self._places:
            self._look(_ONWARD if self.history or self._known else "LATEST")
        for shard, place in list(self._places.items()):
            answer = self.aws.call(_SERVICE, "get_records", ShardIterator=place)
            self._places[shard] = answer.get("NextShardIterator", "")
            if not self._places[shard]:  # closed: what follows it is read from its beginning
                del self._places[shard]
                self._look(_ONWARD)
            yield from answer["Records"]

    def _look(self, begin: str) -> None:
        more: dict[str, str] = {}
        while True:
            told = self.aws.call(_SERVICE, "describe_stream", StreamArn=self.arn, **more)["StreamDescription"]
            for shard in (each["ShardId"] for each in told["Shards"] if each["ShardId"] not in self._known):
                asked = {"StreamArn": self.arn, "ShardId": shard, "ShardIteratorType": begin}
                self._places[shard] = self.aws.call(_SERVICE, "get_shard_iterator", **asked)["ShardIterator"]
                self._known.add(shard)
            if "LastEvaluatedShardId" not in told:
                return
            more = {"ExclusiveStartShardId": told["LastEvaluatedShardId"]}


def _stream_of(installation: Installation, output: str) -> str:
    told = installation.aws.call("dynamodb", "describe_table", TableName=installation.output(output))
    return str(told["Table"]["LatestStreamArn"])


def _events_in(record: Record) -> Iterator[Event]:
    at = record["dynamodb"]["ApproximateCreationDateTime"]
    seconds = at.timestamp() if isinstance(at, datetime) else at  # a number where Lambda hands it over
    try:
        change = change_of({**record, "dynamodb": {**record["dynamodb"], "ApproximateCreationDateTime": seconds}})
    except UnreadableRecord as error:
        console(errors=True).print(plain(f"A change cannot be read: {error.detail} (docs/runbook/events.md)."))
        return
    yield from events_of(change) if change else ()


def _show(event: Event, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"detail-type": event.kind, "detail": event.detail}))
        return
    about = [str(event.detail[name]) for name in ("tenant", "integration", "name") if name in event.detail]
    more = [f"{name}={value}" for name, value in event.detail.items() if name not in _COMMON and value != ""]
    console().print(plain(f"{moment(event.at)}  {event.kind}  {' '.join(about)}  {' '.join(more)}".rstrip()))
