"""What an operator may ask of the whole table, and what the real engine makes of a table that was restored."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

import pytest

from consentry.aws.dynamodb import from_item, to_item
from consentry.aws.maintenance import DynamoInventory
from consentry.aws.rows import connection_from
from consentry.connect.store import Arrival
from consentry.errors import Misconfigured
from consentry.maintain.operate import Maintain, answered
from consentry.maintain.ports import Doubt
from consentry.maintain.reconcile import doubt_about
from consentry.maintain.retry import SPREAD_SECONDS, spread_seconds
from consentry.maintain.walk import AT_ONCE, PAGE, STOP_SECONDS
from consentry.model import Connection, ConnectionKey, Grant, Secret, Status
from consentry.oauth.provider import RefreshBehaviour, Rotation
from consentry.oauth.wire import HttpAnswer, TokenGrant, TokenRequest
from consentry.refresh.health import is_held
from consentry.refresh.policy import Outcome
from tests.simulation.authority import REUSE, Authority, Post
from tests.simulation.faults import Answer
from tests.support.catalogue import CRM, METRICS, FakeCatalogue
from tests.support.clock import FakeClock
from tests.support.deployment import Deployment, body_of
from tests.support.dynamo import MemoryDynamo
from tests.support.escrow import FakeEscrow
from tests.support.events import event
from tests.support.fixtures import log_lines
from tests.support.logs import Log
from tests.support.tables import create_tables, items, unavailable
from tests.support.vaulted import FORGIVING, STATIC, STRICT, Vaulted

__all__ = ["log_lines"]

NOW = 1_800_000_000
HOUR = 3600
SETTLED = 96  # a lease, what may still be processed after it, and a second
KEY = ConnectionKey("acme", "crm")
RECORD = Connection(
    key=KEY, provider="crm", grant_type=Grant.AUTHORIZATION_CODE, status=Status.ACTIVE, gen=4, epoch=1, grant=b"CNRY-g",
    expires_at=NOW + 1800, due_at=NOW + 600,
)  # fmt: skip
ROW = {
    "tenant": "acme", "connection": "crm#default", "v": 1, "provider": "crm", "grant_type": "authorization_code",
    "status": "active", "gen": 4, "epoch": 1, "grant": b"CNRY-grant", "access_token": b"CNRY-token",
    "expires_at": NOW + 1800, "due_shard": 1, "due_at": NOW + 600,
}  # fmt: skip
FLAG = {
    "status": "reauth_required", "status_cause": "grant_revoked", "attention": "reauth_required",
    "attention_since": NOW - 60, "epoch": 2,
}  # fmt: skip
DRY = {"operation": "reconcile", "dry_run": True}
RECONCILE = {"operation": "reconcile", "dry_run": False}
RETRY = {"operation": "retry", "dry_run": False, "integration": "crm", "cause": "grant_revoked", "since": NOW - 3600}
RELEASE = {"operation": "release", "integration": "crm", "hours": 24}


class Table:
    """A table of an older epoch and the function over it, at epoch 2."""

    def __init__(self) -> None:
        self.deployment = memory_deployment(FakeCatalogue())
        self.clock = self.deployment.clock
        self.escrow = FakeEscrow()
        self.name = self.deployment.names["ConnectionsTable"]
        self.maintain = Maintain(
            clock=self.clock,
            inventory=DynamoInventory(self.deployment.dynamo.as_client, self.name),
            catalogue=self.deployment.catalogue,
            escrow=self.escrow,
            health=self.deployment.health,
            epoch=2,
        )

    def put(self, tenant: str, **changes: object) -> None:
        self.deployment.dynamo.client.put_item(TableName=self.name, Item=to_item({**ROW, "tenant": tenant, **changes}))

    def row(self, tenant: str) -> dict[str, Any]:
        return next(each for each in self.rows if each["tenant"] == tenant)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [from_item(each) for each in items(self.deployment.dynamo.client, self.name)]

    def asked(self, event: object) -> dict[str, Any]:
        """Invoke the function; what it answers is JSON."""
        found: dict[str, Any] = json.loads(json.dumps(answered(event, lambda: self.maintain)))
        return found


def memory_deployment(catalogue: FakeCatalogue) -> Deployment:
    client = MemoryDynamo().as_client
    return Deployment(client, create_tables(client), catalogue)


@pytest.fixture
def table() -> Table:
    made = Table()
    made.clock.remaining = 55.0
    return made


# What becomes of a restored record


def test_under_strict_rotation_a_restored_record_is_asked_about_just_before_its_token_ends() -> None:
    doubt = doubt_about(RECORD, STRICT, NOW)
    assert doubt is not None
    assert (doubt.began_at, doubt.due_at) == (NOW, NOW + 1800 - 120)


def test_a_grace_that_has_long_ended_saves_nobody() -> None:
    assert doubt_about(RECORD, FORGIVING, NOW) == doubt_about(RECORD, STRICT, NOW)


def test_a_token_that_has_ended_is_asked_about_as_soon_as_the_intent_settles() -> None:
    doubt = doubt_about(replace(RECORD, expires_at=NOW - 9000, due_at=NOW - 10_000), STRICT, NOW)
    assert doubt is not None
    assert doubt.due_at == NOW + SETTLED


def test_a_token_without_an_end_is_asked_about_when_it_was_due() -> None:
    doubt = doubt_about(replace(RECORD, expires_at=None, due_at=NOW + 90_000), STRICT, NOW)
    assert doubt is not None
    assert doubt.due_at == NOW + 90_000


def test_what_the_schedule_does_not_know_stays_out_of_it() -> None:
    doubt = doubt_about(replace(RECORD, expires_at=None, due_at=None), STRICT, NOW)
    assert doubt is not None
    assert doubt.due_at is None


def test_what_is_on_its_way_out_is_in_doubt_and_due_as_it_was() -> None:
    assert doubt_about(replace(RECORD, status=Status.DELETING), STRICT, NOW) == Doubt(NOW, None)


@pytest.mark.parametrize(
    ("record", "behaviour"),
    [
        (RECORD, STATIC),
        (RECORD, RefreshBehaviour(rotation=Rotation.REMINT)),
        (replace(RECORD, grant=b""), STRICT),
        (replace(RECORD, status=Status.REAUTH_REQUIRED), STRICT),
    ],
    ids=["no rotation", "remint", "no grant", "flagged"],
)
def test_where_no_rotation_can_have_been_missed_there_is_no_doubt(
    record: Connection, behaviour: RefreshBehaviour
) -> None:
    assert doubt_about(record, behaviour, NOW) is None


# Reconciling


def fill(table: Table) -> None:
    table.put("rotating")
    table.put("minting", provider="metrics", grant_type="client_credentials", connection="metrics#default")
    table.put("flagged", **{**FLAG, "epoch": 1})
    table.put("current", epoch=2)
    table.put("orphan", provider="no-such-provider")


def test_reconciling_counts_what_became_of_every_record(table: Table) -> None:
    fill(table)
    assert table.asked(RECONCILE) == {
        "operation": "reconcile", "seen": 5, "adopted": 2, "doubtful": 1, "skipped": 1, "unknown_provider": 1,
        "next": None,
    }  # fmt: skip
    assert {row["tenant"]: row["epoch"] for row in table.rows} == {
        "rotating": 2, "minting": 2, "flagged": 2, "current": 2, "orphan": 1,
    }  # fmt: skip
    assert (table.row("rotating")["pend_gen"], table.row("rotating")["due_at"]) == (4, NOW + 1680)
    assert (table.row("minting")["due_at"], "pend_gen" in table.row("minting")) == (NOW + 600, False)
    assert table.row("flagged")["status"] == "reauth_required"


def test_a_dry_run_counts_the_same_and_writes_nothing(table: Table) -> None:
    fill(table)
    before = table.rows
    counted = table.asked(DRY)
    assert table.rows == before
    assert counted == table.asked(RECONCILE)


def test_a_second_run_finds_nothing_left_to_do(table: Table) -> None:
    fill(table)
    table.asked(RECONCILE)
    before = table.rows
    table.clock.time += 300
    again = table.asked(RECONCILE)
    assert (again["adopted"], again["doubtful"], again["skipped"], again["unknown_provider"]) == (0, 0, 4, 1)
    assert table.rows == before


def moved_on(table: Table) -> None:
    """Just before the first write, a refresh commits the next generation of everything."""
    waiting = ["update_item"]

    def move(operation: str) -> None:
        if operation in waiting:
            waiting.remove(operation)
            for row in table.rows:
                table.deployment.dynamo.client.put_item(TableName=table.name, Item=to_item({**row, "gen": 5}))

    table.deployment.ports.before = move


def test_a_record_that_moved_on_while_it_was_reconciled_is_skipped_as_it_is(table: Table) -> None:
    table.put("rotating")
    moved_on(table)
    answer = table.asked(RECONCILE)
    assert (answer["doubtful"], answer["adopted"], answer["skipped"]) == (0, 0, 1)
    row = table.row("rotating")
    assert (row["gen"], row["epoch"], "pend_gen" in row) == (5, 1, False)


def test_one_integration_may_be_reconciled_alone(table: Table) -> None:
    fill(table)
    assert table.asked({**RECONCILE, "integration": "metrics"})["seen"] == 1
    assert {row["tenant"] for row in table.rows if row["epoch"] == 2} == {"minting", "current"}


def test_a_connection_of_an_unknown_provider_is_named_in_the_log(table: Table, log_lines: Log) -> None:
    fill(table)
    table.asked(RECONCILE)
    (line,) = log_lines.named("not reconciled: no such provider")
    assert (line["tenant"], line["connection"], line["provider"]) == ("orphan", "crm#default", "no-such-provider")


def test_what_is_on_its_way_out_is_adopted_whoever_its_provider_was(table: Table, log_lines: Log) -> None:
    table.put("leaver", provider="no-such-provider", status="deleting", deleting_since=NOW)
    answer = table.asked(RECONCILE)
    assert (answer["adopted"], answer["unknown_provider"]) == (1, 0)
    assert table.row("leaver")["epoch"] == 2
    assert log_lines.named("not reconciled: no such provider") == []


def test_each_page_is_one_line_of_counts_and_no_secret_is_logged(table: Table, log_lines: Log) -> None:
    fill(table)
    table.asked(RECONCILE)
    (line,) = log_lines.named("reconcile did a page")
    assert (line["count"], line["detail"]) == (5, "2 adopted, 1 doubtful, 1 skipped, 1 unknown_provider")
    table.asked(DRY)
    assert len(log_lines.named("reconcile counted a page")) == 1
    assert "CNRY-" not in log_lines.text


def test_nothing_is_reconciled_while_new_tokens_wait_in_escrow(table: Table) -> None:
    fill(table)
    before = table.rows
    table.escrow.messages.append("a commit of the older epoch")
    refused = table.asked(RECONCILE)
    assert refused["error"] == "escrow_not_empty"
    assert "escrow" in refused["message"]
    assert table.rows == before
    assert table.asked(DRY)["doubtful"] == 1


# Time


class Slow:
    """An inventory whose pages and writes take time."""

    def __init__(self, table: Table, seconds: float) -> None:
        self.inner, self.clock, self.seconds = table.maintain.inventory, table.clock, seconds

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - hands every call on
        self.clock.advance(self.seconds)
        return getattr(self.inner, name)


def slowed(table: Table, seconds: float) -> None:
    table.maintain = replace(table.maintain, inventory=cast("DynamoInventory", Slow(table, seconds)))


def test_a_run_stops_in_time_and_goes_on_where_it_stopped(table: Table) -> None:
    tenants = [f"tenant-{number:03}" for number in range(95)]
    for tenant in tenants:
        table.put(tenant)
    slowed(table, 1.0)
    answers = [table.asked(RECONCILE)]
    while answers[-1]["next"]:
        assert table.clock.remaining > STOP_SECONDS - AT_ONCE - 1
        table.clock.remaining = 55.0
        answers.append(table.asked({**RECONCILE, "next": answers[-1]["next"]}))
    assert [each["seen"] for each in answers] == [50, 45]
    assert sum(each["doubtful"] for each in answers) == 95
    assert {row["epoch"] for row in table.rows} == {2}


def test_a_table_of_several_pages_is_gone_through_in_one_run(table: Table) -> None:
    for number in range(PAGE + 5):
        table.put(f"tenant-{number:03}")
    answer = table.asked(RECONCILE)
    assert (answer["doubtful"], answer["next"]) == (PAGE + 5, None)


def test_rows_that_cannot_be_read_stop_no_run(table: Table, log_lines: Log) -> None:
    for number in range(PAGE + 5):
        table.put(f"tenant-{number:03}", v=2)
    table.put("well")
    assert table.asked(RECONCILE)["seen"] == 1
    assert table.row("well")["epoch"] == 2
    assert len(log_lines.named("row not readable, passed over")) == PAGE + 5


def test_a_run_without_time_says_so_instead_of_being_done(table: Table) -> None:
    fill(table)
    table.clock.remaining = STOP_SECONDS - 1
    assert table.asked(RECONCILE)["error"] == "try_later"
    table.clock.remaining = 55.0
    slowed(table, 50.0)
    assert table.asked(RECONCILE)["error"] == "try_later"
    assert {row["epoch"] for row in table.rows if row["tenant"] != "current"} == {1}


def test_a_table_that_fails_is_an_answer_and_the_same_event_may_be_sent_again(table: Table) -> None:
    fill(table)

    def fail(operation: str) -> None:
        if operation == "update_item":
            raise unavailable(operation)

    table.deployment.ports.before = fail
    assert table.asked(RECONCILE)["error"] == "storage_unavailable"
    table.deployment.ports.before = lambda _operation: None
    assert table.asked(RECONCILE)["unknown_provider"] == 1
    assert table.row("rotating")["epoch"] == 2


def test_a_function_that_is_not_configured_says_so_without_a_traceback() -> None:
    def wired() -> Maintain:
        raise Misconfigured("Consentry is not configured completely.")

    assert answered(DRY, wired) == {"error": "misconfigured", "message": "Consentry is not configured completely."}


# Mistakes in the event

FORGED = {
    "text": "somewhere",
    "number": 7,
    "not JSON": "bm90IGpzb24=",
    "not a list": "e30=",
    "another list": "WzEsMl0=",
    "not ASCII": "é",
    "a place that is none": base64.b64encode(json.dumps(["reconcile", False, "", "", 0, "", 7]).encode()).decode(),
    "half a letter": base64.b64encode(json.dumps(["reconcile", False, "", "", 0, "\ud800", "x"]).encode()).decode(),
    "nested too deeply": "W1tb" * 50_000,
}
MISTAKES: Mapping[str, tuple[object, str]] = {
    "no object": ([], "the event must be a JSON object"),
    "nothing": ({}, 'operation must be "reconcile", "retry" or "release"'),
    "an unknown operation": (
        {"operation": "repair", "dry_run": True},
        'operation must be "reconcile", "retry" or "release"',
    ),
    "an operation of another type": ({"operation": ["retry"]}, 'operation must be "reconcile", "retry" or "release"'),
    "no dry_run": ({"operation": "reconcile"}, "dry_run must be true"),
    "dry_run as text": ({**DRY, "dry_run": "false"}, "dry_run must be true"),
    "a field misspelt": ({**RECONCILE, "dryrun": True}, "reconcile has no field 'dryrun'"),
    "a field of the other operation": ({**RECONCILE, "since": 1}, "reconcile has no field 'since'"),
    "an integration that is none": ({**RECONCILE, "integration": "crm#x"}, "integration must be"),
    "an empty integration": ({**RECONCILE, "integration": ""}, "integration must be"),
    "a retry of everything": ({**RETRY, "integration": None}, "integration must be"),
    "a cause that nothing cures": ({**RETRY, "cause": "no_refresh_token"}, "cause must be one of grant_revoked"),
    "a cause of another type": ({**RETRY, "cause": {}}, "cause must be one of grant_revoked"),
    "since in milliseconds": ({**RETRY, "since": NOW * 1000}, "since must be a time in the past"),
    "since as truth": ({**RETRY, "since": True}, "since must be a time in the past"),
    "since as text": ({**RETRY, "since": "2027-01-01"}, "since must be a time in the past"),
    "a release for ever": ({**RELEASE, "hours": 169}, "hours must be a whole number from 1 to 168"),
    "a release of no time": ({**RELEASE, "hours": 0}, "hours must be a whole number"),
    "a release without hours": ({**RELEASE, "hours": None}, "hours must be a whole number"),
    "a release of everything": ({**RELEASE, "integration": None}, "integration must be"),
    "a dry release": ({**RELEASE, "dry_run": True}, "release has no field 'dry_run'"),
    "no since": ({**RETRY, "since": None}, "since must be a time in the past"),
    **{f"next as {what}": ({**RECONCILE, "next": forged}, "next must be") for what, forged in FORGED.items()},
}


@pytest.mark.parametrize(("mistaken", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_event_is_one_sentence_and_nothing_is_written(
    table: Table, mistaken: object, sentence: str
) -> None:
    fill(table)
    before = table.rows
    refused = table.asked(mistaken)
    assert refused.keys() == {"error", "message"}
    assert refused["error"] in {"invalid_request", "invalid_identifier", "invalid_next"}
    assert refused["message"].startswith(sentence)
    assert "\n" not in refused["message"]
    assert table.rows == before


def stopped_after_the_first_page(table: Table, wanted: Mapping[str, object]) -> str:
    for number in range(PAGE + 1):
        table.put(f"tenant-{number:03}")
    slowed(table, 30.0)
    answer = table.asked(wanted)
    assert isinstance(answer["next"], str)
    table.clock.remaining = 55.0
    return answer["next"]


@pytest.mark.parametrize("changed", [{"dry_run": False}, {"integration": "crm"}], ids=str)
def test_a_next_of_another_request_is_refused(table: Table, changed: Mapping[str, object]) -> None:
    token = stopped_after_the_first_page(table, DRY)
    refused = table.asked({**DRY, **changed, "next": token})
    assert refused["error"] == "invalid_next"
    assert refused["message"].startswith("next was given for another request")
    assert table.asked({**DRY, "next": token})["seen"] == 1


def test_the_sample_event_is_a_dry_run_that_this_function_understands(table: Table) -> None:
    sample = Path(__file__).parents[2] / "events" / "maintain.json"
    answer = table.asked(json.loads(sample.read_text(encoding="utf-8")))
    assert (answer["operation"], answer["seen"], answer["next"]) == ("reconcile", 0, None)


# Trying again


def test_connections_flagged_since_then_for_that_cause_are_due_again(table: Table) -> None:
    table.put("flagged", **FLAG, pend_gen=4, pend_at=NOW - 70)
    table.put("earlier", **{**FLAG, "attention_since": NOW - 3601})
    table.put("otherwise", **{**FLAG, "status_cause": "ambiguous_rotation"})
    table.put("elsewhere", **FLAG, connection="desk#default", provider="desk")
    table.put("well", epoch=2)
    assert table.asked(RETRY) == {"operation": "retry", "seen": 4, "retried": 1, "skipped": 0, "next": None}
    row = table.row("flagged")
    assert (row["status"], row["failures"]) == ("active", 0)
    assert NOW <= row["due_at"] < NOW + SPREAD_SECONDS
    assert not {"status_cause", "attention", "attention_since", "next_try_at", "pend_gen"} & row.keys()
    flagged = {row["tenant"] for row in table.rows if row["status"] == "reauth_required"}
    assert flagged == {"earlier", "otherwise", "elsewhere"}


def test_a_flagged_connection_without_a_grant_or_of_another_epoch_stays_as_it_is(table: Table) -> None:
    table.put("bare", **FLAG, grant=b"")
    table.put("old", **{**FLAG, "epoch": 1})
    before = table.rows
    answer = table.asked(RETRY)
    assert (answer["retried"], answer["skipped"]) == (0, 2)
    assert table.rows == before


def test_a_flagged_connection_that_moved_on_meanwhile_is_skipped_as_it_is(table: Table) -> None:
    table.put("flagged", **FLAG)
    moved_on(table)
    answer = table.asked(RETRY)
    assert (answer["retried"], answer["skipped"]) == (0, 1)
    row = table.row("flagged")
    assert (row["gen"], row["status"], row["status_cause"]) == (5, "reauth_required", "grant_revoked")


def test_a_retry_of_what_was_ambiguous_keeps_the_doubt(table: Table) -> None:
    table.put("flagged", **{**FLAG, "status_cause": "ambiguous_rotation"}, pend_gen=4, pend_at=NOW - 70)
    assert table.asked({**RETRY, "cause": "ambiguous_rotation"})["retried"] == 1
    assert table.row("flagged")["pend_gen"] == 4


def test_a_dry_retry_counts_and_writes_nothing(table: Table) -> None:
    table.put("flagged", **FLAG)
    before = table.rows
    assert table.asked({**RETRY, "dry_run": True})["retried"] == 1
    assert table.rows == before


def test_retries_are_spread_over_ten_minutes_and_always_alike() -> None:
    waits = [spread_seconds(ConnectionKey("acme", "crm", f"name-{number}")) for number in range(600)]
    assert min(waits) < 20
    assert SPREAD_SECONDS - 20 < max(waits) < SPREAD_SECONDS
    assert spread_seconds(KEY) == spread_seconds(replace(KEY))


# Releasing


def test_a_release_ends_the_hold_of_one_integration_for_so_many_hours(table: Table) -> None:
    health = table.deployment.health
    for integration in ("crm", "desk"):
        health.hold(integration, until=NOW + 3 * HOUR, now=NOW)
    answer = table.asked(RELEASE)
    assert answer == {"operation": "release", "integration": "crm", "held": True, "released_until": NOW + 24 * HOUR}
    assert [is_held(health.read(each), NOW) for each in ("crm", "desk")] == [False, True]
    assert health.read("crm").released_until == NOW + 24 * HOUR


def test_a_release_ahead_of_a_hold_says_that_there_was_none_and_a_shorter_one_shortens_nothing(table: Table) -> None:
    assert table.asked(RELEASE)["held"] is False
    assert table.asked({**RELEASE, "hours": 1})["released_until"] == NOW + 24 * HOUR
    assert table.deployment.health.read("crm").released_until == NOW + 24 * HOUR


# The engine on a restored table

LIFETIME = 6 * HOUR
BEFORE_THE_END = 120


class AuthorityClient:
    """`ports.TokenEndpointClient` of the simulated authority: strict, with families and reuse detection."""

    def __init__(self, clock: FakeClock) -> None:
        self.authority = Authority(lambda: clock.time)
        self.clock = clock

    def send(self, request: TokenRequest, *, deadline_seconds: float) -> HttpAnswer:
        credential = dict(parse_qsl(request.body.decode()))["refresh_token"]
        family = self.authority.by_token[credential]
        now = self.clock.time
        post = Post(
            key=family.key, credential=credential, behaviour=family.behaviour, answer=Answer.TOKENS, sent_at=now,
            given_up_at=now, settled_at=now,
        )  # fmt: skip
        self.authority.posts.append(post)
        self.authority.settle(post)
        assert post.reply is not None
        return post.reply


class Restored:
    """A hundred connections under strict rotation. A backup, then three rotations of half of them, then the backup.

    They are of ten integrations: what is held because too many of one are refused at once is not the matter here.
    """

    def __init__(self) -> None:
        self.deployment = memory_deployment(FakeCatalogue(CRM, METRICS))
        self.clock = self.deployment.clock
        self.provider = AuthorityClient(self.clock)
        self.keys = [ConnectionKey(f"tenant-{number:02}", f"crm-{number // 10}") for number in range(100)]
        self.rotated = frozenset(self.keys[::2])
        self.epoch = 1

    @property
    def vaulted(self) -> Vaulted:
        made = Vaulted(self.deployment)
        made.epoch = self.epoch
        return made

    def connect(self) -> None:
        store = self.deployment.store
        for key in self.keys:
            issued = self.provider.authority.consent(key, STRICT, LIFETIME)
            tokens = TokenGrant(
                access_token=Secret(issued.access_token), token_type="Bearer", expires_in_seconds=LIFETIME,
                refresh_token=Secret(issued.refresh_token), scopes=None, metadata={}, account="",
            )  # fmt: skip
            arrival = Arrival(
                key=key, provider=CRM, grant_type=Grant.AUTHORIZATION_CODE, client_id="client", tokens=tokens
            )
            store(arrival, store.sealing_keys(key), None)

    def backed_up(self) -> list[dict[str, Any]]:
        return items(self.deployment.dynamo.client, self.deployment.names["ConnectionsTable"])

    def restore(self, backup: list[dict[str, Any]]) -> None:
        """Another table with the backup's items takes the place of the lost one; everything else stays."""
        made = memory_deployment(FakeCatalogue(CRM, METRICS))
        made.clock = self.clock
        made.randomness = self.deployment.randomness
        for item in backup:
            made.dynamo.client.put_item(TableName=made.names["ConnectionsTable"], Item=item)
        self.deployment = made

    def rotate(self, times: int) -> None:
        for _ in range(times):
            self.clock.advance(61)
            for key in self.rotated:
                assert self.ask(key, rejected_gen=self.record(key).gen) is Outcome.REFRESHED

    def ask(self, key: ConnectionKey, *, rejected_gen: int | None = None) -> Outcome:
        vaulted = self.vaulted
        self.clock.remaining = 45.0
        return vaulted.engine(self.provider)(key, rejected_gen=rejected_gen).outcome

    def record(self, key: ConnectionKey) -> Connection:
        record = self.deployment.connections.read(key)
        assert record is not None
        return record

    @property
    def records(self) -> list[Connection]:
        return [connection_from(from_item(item)) for item in self.backed_up()]

    def minutes(self, seconds: int) -> Iterator[None]:
        """Let the schedule work: each minute, every connection that is due is looked at."""
        end = self.clock.time + seconds
        while self.clock.time < end:
            self.clock.advance(60)
            for each in self.records:
                if each.due_at is not None and each.due_at <= self.clock.time:
                    self.ask(each.key)
            yield

    def token(self, key: ConnectionKey) -> str:
        """What a reader is given; empty if nothing."""
        route = "GET /tenants/{tenant}/connections/{integration}/{name}/token"
        wanted = {"tenant": key.tenant, "integration": key.integration, "name": key.name}
        response = self.deployment.manage(event(route, parameters=wanted))
        return str(body_of(response)["access_token"]) if response["statusCode"] == 200 else ""

    def reconcile(self) -> dict[str, Any]:
        self.clock.remaining = 55.0
        maintain = Maintain(
            clock=self.clock,
            inventory=DynamoInventory(self.deployment.dynamo.as_client, self.deployment.names["ConnectionsTable"]),
            catalogue=self.deployment.catalogue,
            escrow=FakeEscrow(),
            health=self.deployment.health,
            epoch=self.epoch,
        )
        return answered(RECONCILE, lambda: maintain)


@pytest.fixture
def restored() -> Restored:
    """Two hours after the consents: the table of one hour ago, and the epoch raised."""
    made = Restored()
    made.connect()
    made.clock.advance(HOUR)
    backup = made.backed_up()
    made.rotate(3)
    made.clock.advance(HOUR - 3 * 61)
    made.restore(backup)
    made.epoch = 2
    made.provider.authority.posts.clear()
    return made


def test_a_restored_table_is_served_and_nothing_is_sent_before_it_is_reconciled(restored: Restored) -> None:
    for _ in restored.minutes(3 * HOUR):
        pass
    assert restored.provider.authority.posts == []
    assert {each.status for each in restored.records} == {Status.ACTIVE}
    assert all(restored.token(key) for key in restored.keys)
    restored.clock.advance(HOUR)
    assert not any(restored.token(key) for key in restored.keys)


def test_after_it_is_reconciled_what_was_never_rotated_is_fresh_and_the_rest_is_served_to_its_end(
    restored: Restored,
) -> None:
    for _ in restored.minutes(HOUR // 4):
        pass
    assert restored.reconcile() == {
        "operation": "reconcile", "seen": 100, "adopted": 0, "doubtful": 100, "skipped": 0, "unknown_provider": 0,
        "next": None,
    }  # fmt: skip
    authority, end = restored.provider.authority, NOW + LIFETIME
    for _ in restored.minutes(int(end - BEFORE_THE_END - 60 - restored.clock.time)):
        assert authority.posts == []
    assert all(authority.honours(restored.token(key), restored.clock.time) for key in restored.keys)
    for _ in restored.minutes(600):
        pass
    assert len(authority.posts) == 100
    assert min(each.sent_at for each in authority.posts) >= end - BEFORE_THE_END - 5
    for key in restored.keys:
        record = restored.record(key)
        if key in restored.rotated:
            assert (record.status, record.status_cause) == (Status.REAUTH_REQUIRED, "ambiguous_rotation")
        else:
            assert (record.status, record.gen) == (Status.ACTIVE, 2)
            assert authority.honours(restored.token(key), restored.clock.time)
    assert {each.key for each in authority.reused} == restored.rotated
    assert {family.key for family in authority.by_token.values() if family.revoked == REUSE} == restored.rotated


def test_reconciling_twice_and_beside_the_engine_costs_nothing(restored: Restored) -> None:
    restored.reconcile()
    before = restored.backed_up()
    for key in restored.keys:
        restored.ask(key)
    again = restored.reconcile()
    assert (again["skipped"], again["doubtful"]) == (100, 0)
    assert restored.backed_up() == before
    assert restored.provider.authority.posts == []
