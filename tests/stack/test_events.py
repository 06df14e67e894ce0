"""Events end to end: from a change of the table, whoever made it and whatever became of him, to a rule's target."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from dev.outages import OBSERVER
from dev.running import events, taken_away, tick, workers
from tests.support.person import Company
from tests.support.streams import misfits

pytestmark = pytest.mark.stack
TICKETING = "hubspot-ticketing"
PATIENCE_SECONDS = 60

type Json = dict[str, Any]


def until[Found](seen: Callable[[], Found]) -> Found:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := seen()):
        assert time.monotonic() < deadline, "it was waited for in vain"
        time.sleep(0.1)
    return found


def told(company: Company, tenant: str, kind: str) -> list[Json]:
    """Return the events of a kind about a tenant's connection, each as often as it came."""
    return [
        event for event in events(company.ready) if event["detail-type"] == kind and event["detail"]["tenant"] == tenant
    ]


def heard(company: Company, tenant: str, kind: str) -> Json:
    return until(lambda: told(company, tenant, kind))[0]


def kill(company: Company, function: str) -> int:
    pids = workers(company.ready)[function]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return len(pids)


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_a_connection_s_events_come_in_its_order_and_as_they_are_described(company: Company) -> None:
    company.connect("teller", TICKETING)
    connected = heard(company, "teller", "connection.connected")
    company.connect("teller", TICKETING)
    company.consentry._call("DELETE", f"/tenants/teller/connections/{TICKETING}/default")
    tick(company.ready)
    disconnected = heard(company, "teller", "connection.disconnected")
    every = [event for event in events(company.ready) if event["detail"].get("tenant") == "teller"]
    assert [event["detail-type"] for event in every] == [
        "connection.connected", "connection.connected", "connection.disconnected",
    ]  # fmt: skip
    assert [misfits(event) for event in every] == [[]] * 3
    numbers = [int(event["detail"]["sequence"]) for event in every]
    assert numbers == sorted(set(numbers))
    assert len({event["detail"]["id"] for event in every}) == 3
    assert connected["source"] == f"consentry.{company.ready.stack}"
    assert disconnected["detail"]["revoked"] in {True, False}


def test_a_process_that_dies_right_after_its_commit_has_told_everybody(
    company: Company, elsewhere: ThreadPoolExecutor
) -> None:
    """The table takes the commit and its answer never comes: whoever wrote it is killed while it still waits."""
    begun = company.begin("orphan", TICKETING, completion="direct", return_url="")
    callback = company.consents(begun["authorize_urls"][TICKETING])
    company.control("faults", system="hubspot", endpoint="token", kind="delay_after", seconds=4, count=1)
    answer: Future[Any] = elsewhere.submit(company.get, callback)
    until(lambda: company.asked("stats")["faults_left"] == 0)
    with taken_away(company.ready, "dynamodb", "unanswered"):
        until(lambda: observed(company, "orphan"))
        assert kill(company, "CallbackFunction") > 0
        assert answer.result().status_code >= 500
    assert heard(company, "orphan", "connection.connected")["detail"]["generation"] == 1


def observed(company: Company, tenant: str) -> Json | None:
    """Look into the table past every outage."""
    client: Any = boto3.Session(
        company.ready.access_key_id, company.ready.secret_access_key, region_name=company.ready.region
    ).client("dynamodb", endpoint_url=company.ready.aws_endpoint, config=Config(user_agent_extra=OBSERVER))
    key = {"tenant": {"S": tenant}, "connection": {"S": f"{TICKETING}#default"}}
    found: Json | None = client.get_item(TableName=company.ready.tables["connections"], Key=key).get("Item")
    return found


def test_a_process_that_dies_while_it_tells_is_followed_by_one_that_tells_it_again(company: Company) -> None:
    with taken_away(company.ready, "events", "unanswered"):
        company.connect("halfway", TICKETING)
        heard(company, "halfway", "connection.connected")  # taken, and nobody was told so
        assert kill(company, "EventsFunction") > 0
        before = len(told(company, "halfway", "connection.connected"))
    until(lambda: len(told(company, "halfway", "connection.connected")) > before)
    assert len({event["detail"]["id"] for event in told(company, "halfway", "connection.connected")}) == 1


def test_what_happens_while_the_bus_is_away_is_told_when_it_is_back(company: Company) -> None:
    with taken_away(company.ready, "events", "error"):
        company.connect("patient", TICKETING)
        until(lambda: workers(company.ready)["EventsFunction"])
        time.sleep(1)
        assert told(company, "patient", "connection.connected") == []
    heard(company, "patient", "connection.connected")


def test_a_row_that_nobody_can_read_is_set_aside_and_stops_nobody(company: Company) -> None:
    table, dynamodb = company.ready.tables["connections"], company.client("dynamodb")
    key = {"tenant": {"S": "poison"}, "connection": {"S": "by hand"}}
    dynamodb.put_item(TableName=table, Item={**key, "status": {"N": "7"}})
    company.connect("healthy", TICKETING)
    heard(company, "healthy", "connection.connected")
    sqs = company.client("sqs")
    url = sqs.get_queue_url(QueueName=f"{company.ready.stack}-EventsDeadLetterQueue")["QueueUrl"]
    (message,) = until(lambda: sqs.receive_message(QueueUrl=url).get("Messages", []))
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    note = json.loads(message["Body"])
    assert (note["key_tenant"], note["table"]) == ("{'S': 'poison'}", table)
    dynamodb.delete_item(TableName=table, Key=key)


def test_a_rule_s_target_hears_who_has_to_connect_again(company: Company) -> None:
    company.connect("gone", TICKETING, account="globex")
    company.client("dynamodb").update_item(
        TableName=company.ready.tables["connections"],
        Key={"tenant": {"S": "gone"}, "connection": {"S": f"{TICKETING}#default"}},
        UpdateExpression="SET #s = :s, status_cause = :c REMOVE due_at",
        ExpressionAttributeNames={"#s": "status"},
        ExpressionAttributeValues={":s": {"S": "reauth_required"}, ":c": {"S": "grant_revoked"}},
    )
    assert heard(company, "gone", "connection.reauth_required")["detail"]["cause"] == "grant_revoked"
    until(lambda: f"gone must connect {TICKETING} (default) again" in Path(company.ready.log_file).read_text())
