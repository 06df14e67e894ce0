"""Queue batches and direct invocations: one connection's trouble is its own, and no answer holds a token."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from consentry.aws.connections import SHARDS, DynamoConnections
from consentry.errors import InvalidRequest
from consentry.ports import RefreshHint, StorageUnavailable
from consentry.refresh.dispatch import Dispatch
from consentry.web.work import restore, tick, work
from tests.support.logs import Log
from tests.support.provider import tokens
from tests.support.tables import unavailable
from tests.support.vaulted import Vaulted

EVENTS = Path(__file__).parents[3] / "events"
EVENT = json.loads((EVENTS / "refresh.json").read_text())
ESCROWED = json.loads((EVENTS / "escrow.json").read_text())
SECOND = tokens(access_token="CNRY-access-second", refresh_token="CNRY-refresh-second")


def batch(*bodies: object) -> dict[str, Any]:
    return {"Records": [{"messageId": f"m{number}", "body": body} for number, body in enumerate(bodies)]}


def hint(tenant: object = "acme", connection: object = "crm#default", **more: object) -> str:
    return json.dumps({"v": 1, "tenant": tenant, "connection": connection, "gen": 1, **more})


def test_the_sample_event_is_understood(vaulted: Vaulted) -> None:
    assert work(EVENT, vaulted.engine()) == {"batchItemFailures": []}


def test_the_sample_of_a_kept_commit_is_understood(vaulted: Vaulted, log_lines: Log) -> None:
    assert restore(ESCROWED, vaulted.escrow, vaulted.deployment.connections) == {"batchItemFailures": []}
    assert log_lines.named("restored from escrow")[0]["gen"] == 2


def test_a_hint_makes_a_due_connection_fresh(vaulted: Vaulted) -> None:
    vaulted.provider.then(SECOND)
    assert work(batch(hint()), vaulted.engine()) == {"batchItemFailures": []}
    assert vaulted.record.gen == 2


def test_ten_copies_of_one_hint_cause_one_request(vaulted: Vaulted) -> None:
    vaulted.provider.then(SECOND)
    assert work(batch(*[hint()] * 10), vaulted.engine()) == {"batchItemFailures": []}
    assert len(vaulted.provider.requests) == 1


POISON = [
    None, "", "not json", "[]", "{}", "[" * 20_000, hint(v=2), hint(connection="crm"), hint(connection="#default"),
    hint(tenant=""), hint(tenant="a" * 64), hint(connection="../x#y"), hint(tenant=["acme"], connection={"a": 1}),
]  # fmt: skip


@pytest.mark.parametrize("body", POISON)
def test_a_poisonous_message_fails_alone(vaulted: Vaulted, body: object) -> None:
    vaulted.provider.then(SECOND)
    assert work(batch(body, hint()), vaulted.engine()) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert vaulted.record.gen == 2


def test_a_forged_hint_does_no_more_than_a_check(vaulted: Vaulted) -> None:
    forged = hint(tenant="globex", token_url="https://evil.test", gen=99)
    assert work(batch(forged), vaulted.engine()) == {"batchItemFailures": []}
    assert vaulted.provider.requests == []


def test_an_unavailable_table_gives_the_message_back(vaulted: Vaulted) -> None:
    def fail(operation: str) -> None:
        if operation == "get_item":
            raise unavailable(operation)

    vaulted.deployment.ports.before = fail
    assert work(batch(hint()), vaulted.engine()) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}


def test_an_unavailable_key_is_looked_at_again_in_a_minute(vaulted: Vaulted) -> None:
    def fail(operation: str) -> None:
        if operation == "open":
            raise StorageUnavailable("a key is gone")

    vaulted.deployment.ports.before = fail
    assert work(batch(hint()), vaulted.engine()) == {"batchItemFailures": []}
    assert vaulted.record.due_at == vaulted.clock.now() + 60


def test_a_mistake_of_ours_gives_the_message_back_and_is_logged_without_its_text(
    vaulted: Vaulted, log_lines: Log
) -> None:
    def fail(operation: str) -> None:
        if operation == "open":
            message = "CNRY-inside-an-exception"
            raise RuntimeError(message)

    vaulted.deployment.ports.before = fail
    assert work(batch(hint()), vaulted.engine()) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert log_lines.named("unforeseen")[0]["error"] == "RuntimeError"
    assert "CNRY-" not in log_lines.text


def test_a_direct_invocation_answers_with_a_generation_and_never_a_token(vaulted: Vaulted) -> None:
    vaulted.provider.then(SECOND)
    event = {"tenant": "acme", "connection": "crm#default", "rejected_generation": 1}
    assert work(event, vaulted.engine()) == {"generation": 2, "outcome": "refreshed"}


@pytest.mark.parametrize("rejected", [None, "1", True, 1.5])
def test_a_direct_invocation_must_name_the_rejected_generation(vaulted: Vaulted, rejected: object) -> None:
    event = {"tenant": "acme", "connection": "crm#default", "rejected_generation": rejected}
    with pytest.raises(InvalidRequest, match="rejected_generation"):
        work(event, vaulted.engine())
    assert vaulted.provider.requests == []


@pytest.mark.parametrize(
    "event",
    [None, "Records", [], {"Records": None}, {"Records": {}}, {"Records": ["m0"]}, {"Records": [{"body": "{}"}]}],
)
def test_a_batch_whose_messages_could_not_be_given_back_is_refused_whole(vaulted: Vaulted, event: object) -> None:
    with pytest.raises(InvalidRequest, match="an SQS batch with Records"):
        work(event, vaulted.engine())
    with pytest.raises(InvalidRequest, match="an SQS batch with Records"):
        restore(event, vaulted.escrow, vaulted.deployment.connections)
    assert vaulted.provider.requests == []


def test_a_hint_that_a_breaker_holds_back_is_done_with_and_the_record_stays_due(vaulted: Vaulted) -> None:
    before = vaulted.record
    vaulted.deployment.health.open("crm", until=vaulted.clock.now() + 30, opened=1, now=vaulted.clock.now())
    assert work(batch(hint()), vaulted.engine()) == {"batchItemFailures": []}
    assert (vaulted.record, vaulted.provider.requests) == (before, [])


def test_a_direct_invocation_says_that_it_was_held_back(vaulted: Vaulted) -> None:
    vaulted.deployment.health.pause("crm", until=vaulted.clock.now() + 30)
    event = {"tenant": "acme", "connection": "crm#default", "rejected_generation": 1}
    assert work(event, vaulted.engine()) == {"generation": 1, "outcome": "held_back"}


class Taking:
    """A queue that takes everything."""

    def send(self, hints: Sequence[tuple[RefreshHint, int]]) -> Sequence[RefreshHint]:
        return [hint for hint, _ in hints]


def test_a_tick_is_one_line_of_log_and_one_of_metrics(
    vaulted: Vaulted, log_lines: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment, due_at = vaulted.deployment, vaulted.clock.now()
    parked = Vaulted(deployment)
    parked.connect_with_credentials()
    parked.fall_due()
    now = vaulted.clock.now()
    deployment.health.hold("desk", until=now + 60, now=now)
    deployment.health.pause("metrics", until=now + 60)
    dispatch = Dispatch(
        clock=vaulted.clock,
        index=deployment.connections,
        queue=Taking(),
        rates=deployment.health,
        limits=dict,
        shards=SHARDS,
    )
    late = now - due_at
    told = {"due": 2, "dispatched": 1, "parked": 1, "oldest_overdue_seconds": late, "failing": 1, "held": 1}
    assert tick(dispatch) == told
    (line,) = log_lines.named("dispatched")
    assert {name: line[name] for name in told} == told
    (metrics,) = (json.loads(each) for each in capsys.readouterr().out.splitlines())
    (declared,) = metrics["_aws"]["CloudWatchMetrics"]
    units = {each["Name"]: each["Unit"] for each in declared["Metrics"]}
    assert units.pop("OldestOverdue") == "Seconds"
    assert units == dict.fromkeys(("Due", "Dispatched", "Parked", "FailingIntegrations", "HeldIntegrations"), "Count")
    assert (metrics["OldestOverdue"], metrics["Dispatched"], metrics["Parked"]) == ([float(late)], [1.0], [1.0])
    assert (metrics["FailingIntegrations"], metrics["HeldIntegrations"]) == ([1.0], [1.0])


def test_a_tick_whose_index_is_away_is_logged_and_sends_no_heartbeat(
    vaulted: Vaulted, log_lines: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    dispatch = Dispatch(
        clock=vaulted.clock,
        index=DynamoConnections(vaulted.deployment.dynamo.as_client, "no-such-table"),
        queue=Taking(),
        rates=vaulted.deployment.health,
        limits=dict,
        shards=SHARDS,
    )
    with pytest.raises(StorageUnavailable):
        tick(dispatch)
    (line,) = log_lines.named("sweep ended early")
    assert line["level"] == "ERROR"
    assert "ResourceNotFoundException" in line["detail"]
    assert log_lines.named("dispatched") == []
    assert capsys.readouterr().out == ""
