"""What one sweep of the dispatcher costs in calls, with nothing due and with a thousand connections due."""

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from consentry.aws.connections import SHARDS, DynamoConnections
from consentry.aws.dynamodb import to_item
from consentry.aws.health import DynamoHealth
from consentry.aws.registry import DynamoIntegrations, SqsRefreshQueue
from consentry.refresh.dispatch import Dispatch, RegisteredLimits
from tests.support.catalogue import FakeCatalogue
from tests.support.clock import FakeClock

COSTS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("calls.toml").read_text(encoding="utf-8"))
NOW = 1_800_000_000 + 60  # a minute past the hour: no shard is counted in it
DUE = 1_000
QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/RefreshQueue"

type Json = dict[str, Any]


class Endpoint:
    """AWS as far as a sweep asks, in the place of the network: counts requests by `service:Operation thing`."""

    def __init__(self, due: int) -> None:
        self.made: Counter[str] = Counter()
        self._due = due

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes clients at run time
        session: Any = boto3.Session("testing", "testing", region_name="eu-central-1")
        client = session.client(service)
        client.meta.events.register("before-send", self._answer)
        return client

    def _answer(self, request: Any, **_rest: object) -> AWSResponse:  # noqa: ANN401 - botocore's own
        service, operation = request.headers["X-Amz-Target"].decode().split(".")
        asked = json.loads(request.body)
        about = asked.get("TableName") or asked["QueueUrl"].rpartition("/")[2]
        index = f"/index/{asked['IndexName']}" if "IndexName" in asked else ""
        self.made[f"{service.removeprefix('Amazon').partition('_')[0].lower()}:{operation} {about}{index}"] += 1
        return _Answer(request.url, getattr(self, f"_{operation}")(asked))

    def _Query(self, asked: Json) -> Json:  # noqa: N802 - named after the operation
        shard = int(asked["ExpressionAttributeValues"][":shard"]["N"])
        rows = [self._row(number) for number in range(shard, self._due, SHARDS)]
        return {"Items": rows, "Count": len(rows)}

    @staticmethod
    def _row(number: int) -> Json:
        return to_item({"tenant": f"t{number}", "connection": "crm#default", "due_at": NOW, "gen": 1})

    @staticmethod
    def _Scan(_asked: Json) -> Json:  # noqa: N802 - as above
        return {"Items": [], "Count": 0}

    @staticmethod
    def _UpdateItem(_asked: Json) -> Json:  # noqa: N802 - as above
        return {}

    @staticmethod
    def _SendMessageBatch(asked: Json) -> Json:  # noqa: N802 - as above
        return {"Successful": [{"Id": entry["Id"], "MessageId": "1"} for entry in asked["Entries"]]}


class _Answer(AWSResponse):
    def __init__(self, url: str, content: Json) -> None:
        super().__init__(url, 200, HTTPHeaders(), None)
        self._content = json.dumps(content).encode()  # botocore keeps here what it has read


@pytest.mark.parametrize(("operation", "due"), [("dispatch_idle", 0), ("dispatch_1000", DUE)])
def test_a_sweep_makes_exactly_these_calls(operation: str, due: int) -> None:
    endpoint = Endpoint(due)
    dynamodb = endpoint.client("dynamodb")
    dispatch = Dispatch(
        clock=FakeClock(now=NOW),
        index=DynamoConnections(dynamodb, "ConnectionsTable"),
        queue=SqsRefreshQueue(endpoint.client("sqs"), QUEUE),
        rates=DynamoHealth(dynamodb, "IntegrationsTable"),
        limits=RegisteredLimits(DynamoIntegrations(dynamodb, "IntegrationsTable"), FakeCatalogue()),
        shards=SHARDS,
    )
    assert dispatch().dispatched == due
    assert dict(endpoint.made) == COSTS[operation]["counts"]
