"""The table as an operator's work sees it: one set of facts for memory and the emulators of DynamoDB."""

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from consentry.aws.connections import DynamoConnections, shard_of
from consentry.aws.dynamodb import from_item, to_item
from consentry.aws.maintenance import DynamoInventory
from consentry.errors import ConsentryError
from consentry.maintain.ports import Doubt, Entry
from consentry.model import Connection, ConnectionKey, Status
from consentry.ports import Commit, CommitOutcome, Lease
from tests.support.dynamo import MemoryDynamo
from tests.support.tables import REGION, create_tables, unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOW = 1_800_000_000
KEY = ConnectionKey("acme", "crm")
DOUBT = Doubt(NOW, NOW + 1680)
ROW = {
    "tenant": "acme", "connection": "crm#default", "v": 1, "provider": "crm", "grant_type": "authorization_code",
    "status": "active", "gen": 4, "epoch": 1, "access_token": b"token", "grant": b"grant", "expires_at": NOW + 1800,
    "due_shard": shard_of(KEY), "due_at": NOW + 600, "enqueued_until": NOW + 270, "failures": 3,
    "last_error": "not_attempted:other_epoch", "label": "ours",
}  # fmt: skip
FLAGGED = {
    **{name: value for name, value in ROW.items() if name not in {"due_shard", "due_at", "enqueued_until"}},
    "status": "reauth_required", "status_cause": "grant_revoked", "attention": "reauth_required",
    "attention_since": NOW - 60, "pend_gen": 4, "pend_at": NOW - 60, "next_try_at": NOW + 60, "epoch": 2,
}  # fmt: skip
_stacks = itertools.count(1)


class Store:
    """The inventory over one client, with a table of its own."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self.client = client
        self.table = create_tables(client, f"maintenance{next(_stacks)}")["ConnectionsTable"]
        self.connections = DynamoConnections(client, self.table)
        self.inventory = DynamoInventory(client, self.table)

    def put(self, *rows: dict[str, Any]) -> None:
        for row in rows:
            self.client.put_item(TableName=self.table, Item=to_item(row))

    def entered(self, row: dict[str, Any]) -> Entry:
        """Put a row, and return what the inventory makes of it."""
        self.put(row)
        (entry,) = self.inventory.page(None, limit=1).entries
        return entry

    @property
    def record(self) -> Connection:
        record = self.connections.read(KEY)
        assert record is not None
        return record

    @property
    def row(self) -> dict[str, Any]:
        key = to_item({"tenant": "acme", "connection": "crm#default"})
        return from_item(self.client.get_item(TableName=self.table, Key=key)["Item"])

    def pages(self, limit: int) -> list[list[str]]:
        page = self.inventory.page(None, limit=limit)
        found = [page]
        while page.end is not None:
            page = self.inventory.page(page.end, limit=limit)
            found.append(page)
        return [[each.record.key.tenant for each in page.entries] for page in found]


@pytest.fixture(scope="module", params=["memory", "moto", "ministack"])
def new_store(request: pytest.FixtureRequest) -> Callable[[], Store]:
    if request.param == "memory":
        return lambda: Store(MemoryDynamo().as_client)
    client = boto3.client("dynamodb", region_name=REGION, endpoint_url=request.getfixturevalue(request.param))
    return lambda: Store(client)


@pytest.fixture
def store(new_store: Callable[[], Store]) -> Store:
    return new_store()


# Pages


def test_an_empty_table_is_one_empty_page(store: Store) -> None:
    page = store.inventory.page(None, limit=10)
    assert (list(page.entries), page.end) == ([], None)


def test_pages_show_every_record_once(store: Store) -> None:
    tenants = [f"tenant-{number}" for number in range(7)]
    store.put(*({**ROW, "tenant": tenant} for tenant in tenants))
    pages = store.pages(3)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert sorted(tenant for page in pages for tenant in page) == tenants


@pytest.mark.parametrize("foreign", [{"v": 2}, {"connection": "no key of ours"}, {"gen": "four"}], ids=str)
def test_a_row_that_cannot_be_read_is_passed_over_wherever_it_stands(store: Store, foreign: dict[str, Any]) -> None:
    store.put({**ROW, "tenant": "a"}, {**ROW, "tenant": "b", **foreign}, {**ROW, "tenant": "c"})
    for limit in (1, 2, 3):
        assert sorted(tenant for page in store.pages(limit) for tenant in page) == ["a", "c"]


def test_an_entry_says_what_a_decision_needs(store: Store) -> None:
    entry = store.entered(FLAGGED)
    record = entry.record
    assert (record.key, record.provider, record.status) == (KEY, "crm", Status.REAUTH_REQUIRED)
    assert (record.gen, record.epoch, record.status_cause, entry.attention_since) == (4, 2, "grant_revoked", NOW - 60)
    assert (bool(record.grant), record.expires_at, record.due_at) == (True, NOW + 1800, None)


def test_no_page_shows_an_access_token(dynamodb: "DynamoDBClient") -> None:
    assert Store(dynamodb).entered(ROW).record.access_token == b""


# Adopting


def test_an_adopted_record_is_of_the_new_epoch_and_due_as_it_was(store: Store) -> None:
    entry = store.entered(ROW)
    assert store.inventory.adopt(entry.record, epoch=2, now=NOW)
    changed = {**ROW, "epoch": 2, "failures": 0}
    del changed["last_error"]
    assert store.row == changed


def test_a_doubtful_record_looks_as_if_a_request_had_been_sent(store: Store) -> None:
    entry = store.entered(ROW)
    assert store.inventory.adopt(entry.record, epoch=2, now=NOW, doubt=DOUBT)
    record = store.record
    assert (record.epoch, record.gen, record.in_doubt, record.pend_at) == (2, 4, True, NOW)
    assert (record.due_at, store.row["due_shard"]) == (NOW + 1680, shard_of(KEY))
    assert "enqueued_until" not in store.row
    assert (record.access_token, record.grant) == (b"token", b"grant")


def test_a_doubt_without_a_time_leaves_the_schedule_as_it_is(store: Store) -> None:
    entry = store.entered({name: value for name, value in ROW.items() if name not in {"due_shard", "due_at"}})
    assert store.inventory.adopt(entry.record, epoch=2, now=NOW, doubt=Doubt(NOW, None))
    assert store.record.in_doubt
    assert not {"due_shard", "due_at"} & store.row.keys()


def test_a_flagged_record_changes_its_epoch_and_nothing_else(store: Store) -> None:
    entry = store.entered({**FLAGGED, "epoch": 1})
    assert store.inventory.adopt(entry.record, epoch=2, now=NOW)
    assert store.row == FLAGGED


def test_a_record_is_adopted_once(store: Store) -> None:
    entry = store.entered(ROW)
    written = [store.inventory.adopt(entry.record, epoch=2, now=NOW + again, doubt=DOUBT) for again in range(2)]
    assert written == [True, False]


@pytest.mark.parametrize("moved", [{"gen": 5}, {"epoch": 2}, {"status": "deleting"}, {"v": 2}], ids=str)
def test_a_record_that_moved_on_is_not_overwritten(store: Store, moved: dict[str, Any]) -> None:
    entry = store.entered(ROW)
    store.put({**ROW, **moved})
    assert not store.inventory.adopt(entry.record, epoch=3, now=NOW, doubt=DOUBT)
    assert store.row == {**ROW, **moved}


def test_a_record_that_was_deleted_is_not_made_again(store: Store) -> None:
    entry = store.entered(ROW)
    store.client.delete_item(TableName=store.table, Key=to_item({"tenant": "acme", "connection": "crm#default"}))
    assert not store.inventory.adopt(entry.record, epoch=2, now=NOW, doubt=DOUBT)
    assert store.connections.read(KEY) is None


def test_nothing_is_adopted_while_a_worker_of_the_older_epoch_may_still_commit(store: Store) -> None:
    entry = store.entered(ROW)
    lease = Lease(owner="me", gen=4, epoch=1, now=NOW, until=NOW + 60, settled_before=NOW - 95, due_at=NOW + 96,
        retry_before=NOW + 5,
    )  # fmt: skip
    assert store.connections.take_lease(KEY, lease)
    assert not any(store.inventory.adopt(entry.record, epoch=2, now=now, doubt=DOUBT) for now in (NOW, NOW + 60))
    commit = Commit(key=KEY, expected_gen=4, expected_epoch=1, epoch=1, commit_id="c", status=Status.ACTIVE,
        set_attributes={"access_token": b"newer", "due_at": NOW + 900},
    )  # fmt: skip
    assert store.connections.commit(commit) is CommitOutcome.COMMITTED
    assert not store.inventory.adopt(entry.record, epoch=2, now=NOW + 61, doubt=DOUBT)
    assert (store.record.gen, store.record.access_token) == (5, b"newer")


def test_a_lease_that_ended_holds_nothing_back(store: Store) -> None:
    entry = store.entered({**ROW, "lease_owner": "dead", "lease_until": NOW - 1})
    assert store.inventory.adopt(entry.record, epoch=2, now=NOW, doubt=DOUBT)


# Reactivating


def test_a_reactivated_connection_is_active_and_due(store: Store) -> None:
    entry = store.entered(FLAGGED)
    assert store.inventory.reactivate(entry, due_at=NOW + 300, answered=True)
    gone = {"status_cause", "attention", "attention_since", "next_try_at", "last_error", "pend_gen", "pend_at"}
    kept = {name: value for name, value in FLAGGED.items() if name not in gone}
    assert store.row == {
        **kept, "status": "active", "failures": 0, "due_at": NOW + 300, "due_shard": shard_of(KEY),
    }  # fmt: skip


def test_a_doubt_that_no_answer_ended_stays(store: Store) -> None:
    entry = store.entered({**FLAGGED, "status_cause": "ambiguous_rotation"})
    assert store.inventory.reactivate(entry, due_at=NOW + 300, answered=False)
    assert store.record.in_doubt


def test_a_flag_is_ended_once(store: Store) -> None:
    entry = store.entered(FLAGGED)
    assert [store.inventory.reactivate(entry, due_at=NOW, answered=True) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("moved", [{"gen": 5}, {"status": "active"}, {"epoch": 3}, {"attention_since": NOW}], ids=str)
def test_what_was_flagged_anew_or_connected_again_is_left_alone(store: Store, moved: dict[str, Any]) -> None:
    entry = store.entered(FLAGGED)
    store.put({**FLAGGED, **moved})
    assert not store.inventory.reactivate(entry, due_at=NOW, answered=True)
    assert store.row == {**FLAGGED, **moved}


# Trouble


def test_a_table_that_does_not_answer_says_so() -> None:
    class Broken:
        def scan(self, **_request: object) -> None:
            raise unavailable("Scan")

    inventory = DynamoInventory(Broken(), "table")  # type: ignore[arg-type]  # one call of a client is enough
    with pytest.raises(ConsentryError) as failed:
        inventory.page(None, limit=1)
    assert failed.value.detail == "scan connections: InternalServerError"
